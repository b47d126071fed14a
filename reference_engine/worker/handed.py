"""The connections that a worker is handed for one of its listeners, or for its control."""

from __future__ import annotations

import socket
from math import inf
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Callable


class HandedSource:
    """A `ConnectionSource` of voicepipe: it gives a listener what the supervisor has accepted for it.

    Connections that come before the listener accepts wait here. After it has closed, they are closed at once.

    Args:
        address: the host and port that the supervisor listens on.
        on_closed: called with the number of each connection that is closed.

    """

    def __init__(self, address: tuple[str, int], on_closed: Callable[[int], None]) -> None:
        self.address = address
        self._on_closed = on_closed
        self._numbers: dict[socket.socket, int] = {}
        self._send, self._receive = trio.open_memory_channel[tuple[socket.socket, tuple[str, int]]](inf)
        self._closed = False

    def hand(self, number: int, descriptor: int, peer: str) -> None:
        """Takes over a connection by its descriptor; `peer` is its `host:port`, or empty."""
        connection = socket.socket(fileno=descriptor)
        connection.setblocking(False)
        self._numbers[connection] = number
        if self._closed:
            connection.close()
            self.release(connection)
            return
        host, _, port = peer.rpartition(":")
        self._send.send_nowait((connection, (host.strip("[]"), int(port or 0))))

    async def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """Waits for the next connection; returns its socket, and the host and port of the peer."""
        return await self._receive.receive()

    def release(self, connection: socket.socket) -> None:
        """Tells the supervisor that a connection is closed."""
        self._on_closed(self._numbers.pop(connection))

    def close(self) -> None:
        """Closes the connections that nobody has accepted, and those that come later."""
        self._closed = True
        while True:
            try:
                connection, _peer = self._receive.receive_nowait()
            except trio.WouldBlock:
                return
            connection.close()
            self.release(connection)
