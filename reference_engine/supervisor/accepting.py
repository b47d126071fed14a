"""Accepts connections on sockets that listen, and that can stop listening without giving up their address.

On Linux `shutdown(2)` turns a listening socket into a bound one: the kernel refuses new connections, and resets those
that were not accepted yet, until `listen(2)` is called again.
"""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import trio

from reference_engine.upkeep.shortage import EXHAUSTED, RETRY_S

if TYPE_CHECKING:
    from collections.abc import Callable

BACKLOG: Final = 1024
"""The most connections that wait to be accepted."""
LISTEN_AGAIN_S: Final = 1.0
"""The interval of attempts to listen again while the system refuses it, in s."""


class AcceptingSocket:
    """A bound, listening socket; it accepts while that is switched on.

    Args:
        bound: a stream socket, which is taken over.
        take: called with each connection, which is non-blocking, and its peer's `host:port`; it must not wait.
        on_shortage: called when a connection can't be accepted for lack of descriptors or memory.
        on: whether it is switched on at first. A Unix socket can't be switched off and on again.

    """

    def __init__(
        self,
        bound: socket.socket,
        take: Callable[[socket.socket, str], None],
        on_shortage: Callable[[OSError], None],
        *,
        on: bool,
    ) -> None:
        bound.setblocking(False)
        self._socket, self._take, self._on_shortage = bound, take, on_shortage
        self._on, self._closed = True, False
        self._turned = trio.Event()
        self._accepting = trio.CancelScope()
        if on:
            self._turned.set()
        else:
            self.switch(on=False)

    def switch(self, *, on: bool) -> None:
        """Accepts connections from now on, or has the kernel refuse them; no-op if nothing changes."""
        if self._closed or on == self._on:
            return
        self._on = on
        if on:
            self._turned.set()
        else:
            self._turned = trio.Event()
            self._accepting.cancel()
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RD)

    def close(self) -> None:
        """Gives up the address; connections that were accepted go on. No-op if it is closed."""
        if not self._closed:
            self._closed = True
            self._accepting.cancel()
            self._turned.set()
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()

    async def serve(self) -> None:
        """Accepts until it is closed."""
        while not self._closed:
            await self._turned.wait()
            with trio.CancelScope() as self._accepting:
                if self._is_on():
                    await self._accept()

    def _is_on(self) -> bool:
        return self._on and not self._closed

    async def _accept(self) -> None:
        while True:
            try:
                self._socket.listen(BACKLOG)
                break
            except OSError:
                await trio.sleep(LISTEN_AGAIN_S)
        while True:
            await trio.lowlevel.wait_readable(self._socket)
            try:
                connection, address = self._socket.accept()
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._on_shortage(error)
                    await trio.sleep(RETRY_S)
                continue  # any other error concerns this connection only
            connection.setblocking(False)
            self._take(connection, _peer(address))


def _peer(address: object) -> str:
    """Returns `host:port` of an address; empty for a Unix socket's."""
    if not isinstance(address, tuple):
        return ""
    host, port, *_ = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
