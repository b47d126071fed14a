"""The connections that another process hands over to a listener, in place of a listening socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import socket

    from voicepipe.transports.listener import ConnectionSource


class HandedConnections:
    """What a `ListeningSocket` is to a listener, on a `ConnectionSource`.

    Attributes:
        listening: whether connections are wanted; those that come all the same are to be refused one by one.
        closed: whether `close` was called.

    """

    def __init__(self, source: ConnectionSource) -> None:
        self._source = source
        self._accepting = trio.CancelScope()
        self.listening = True
        self.closed = False

    @property
    def address(self) -> tuple[str, int]:
        """The host and port on which the other process listens."""
        return self._source.address

    def listen(self, on: bool) -> None:
        """Notes whether connections are wanted: the other process decides by itself whether it listens."""
        self.listening = on

    async def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """Waits for the next connection; returns its non-blocking socket, and the host and port of the peer.

        Raises:
            OSError: a connection could not be taken.
            trio.ClosedResourceError: `close` was called.

        """
        if not self.closed:
            with trio.CancelScope() as self._accepting:
                return await self._source.accept()
        raise trio.ClosedResourceError

    def release(self, connection: socket.socket) -> None:
        """Reports that a connection was served and is closed."""
        self._source.release(connection)

    def close(self) -> None:
        """Takes no more connections; those that were accepted go on."""
        self.closed = True
        self._accepting.cancel()
