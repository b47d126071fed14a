"""A bound TCP socket that can stop listening, and listen again, without giving up its address.

To close the socket and bind a new one would leave the port to other processes for a moment. On Linux, `shutdown(2)`
turns a listening socket into a bound one (`inet_shutdown` disconnects it): the kernel refuses new connections, and
resets those that were not accepted yet, until `listen(2)` is called again. On other systems `shutdown` is an error, and
the socket goes on listening.
"""

from __future__ import annotations

import socket
from math import inf
from typing import Final

import trio

BACKLOG: Final = 1024
"""The most connections that wait to be accepted; Asterisk gives up after 2 s."""
RETRY_S: Final = 1.0
"""The interval of attempts to listen again while the system refuses it, in s."""


class ListeningSocket:
    """A bound socket that accepts connections while listening is switched on.

    Attributes:
        listening: whether the kernel accepts connections.

    """

    def __init__(self, listening: socket.socket) -> None:
        """Takes over a non-blocking, listening socket that was bound to a port by its number, not by 0."""
        self._socket = listening
        self.listening = self._wanted = True
        self._changed = trio.Event()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._socket.fileno() == -1

    @property
    def address(self) -> tuple[str, int]:
        """The host and port to which the socket is bound."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    def listen(self, on: bool) -> None:
        """Switches listening on, or off so that the kernel refuses connections; no-op if unchanged or closed."""
        if self.closed or on == self._wanted:
            return
        self._wanted = on
        try:
            if on and not self.listening:
                self._socket.listen(BACKLOG)
                self.listening = True
            elif self.listening and not on:
                self._socket.shutdown(socket.SHUT_RD)
                self.listening = False
        except OSError:  # `accept` retries to listen; where listening can't stop, the listener refuses each connection
            pass
        self._changed.set()
        self._changed = trio.Event()

    def _has_stopped(self) -> bool:  # a call, for mypy: `listen` may change it while `accept` waits
        return not self.listening

    async def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """Waits for the next connection; returns its non-blocking socket, and the host and port of the peer.

        Raises:
            OSError: the connection can't be accepted, or has been closed.
            trio.ClosedResourceError: the socket was closed.

        """
        while True:
            if self.closed:
                raise trio.ClosedResourceError
            if self.listening:
                await trio.lowlevel.wait_readable(self._socket)
                if self._has_stopped():  # which makes the socket readable too
                    continue
                connection, (host, port, *_) = self._socket.accept()
                connection.setblocking(False)
                return connection, (host, port)
            with trio.move_on_after(RETRY_S if self._wanted else inf):
                await self._changed.wait()
            if self._wanted and not self.listening and not self.closed:
                self._socket.listen(BACKLOG)
                self.listening = True

    def release(self, connection: socket.socket) -> None:
        """Is called when a connection was served; nothing depends on it here."""

    def close(self) -> None:
        """Closes the socket and gives up its address; accepted connections go on."""
        if not self.closed:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._changed.set()
