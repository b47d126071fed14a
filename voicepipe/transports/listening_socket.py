"""A bound TCP socket that can stop listening, and listen again, without giving up its address.

To close the socket and bind a new one would leave the port to other processes for a moment. On Linux `shutdown(2)`
makes a listening socket a bound one again (`inet_shutdown` disconnects it): the kernel refuses new connections and
resets those that were not accepted yet, and `listen(2)` undoes it. On other systems shutdown is an error, and the
socket goes on listening.
"""

from __future__ import annotations

import socket
from math import inf
from typing import Final

import trio

BACKLOG: Final = 1024
"""The most connections that may wait to be accepted; Asterisk gives up after 2 s."""
AGAIN_S: Final = 1.0
"""The interval of attempts to listen again while the system refuses it, in s."""


class ListeningSocket:
    """A bound socket that accepts connections while listening is switched on.

    Attributes:
        listening: whether the kernel accepts connections for it.

    """

    def __init__(self, listening: socket.socket) -> None:
        """Takes over a non-blocking socket that listens, bound to a port by number and not by 0."""
        self._socket = listening
        self.listening = self._wanted = True
        self._changed = trio.Event()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._socket.fileno() == -1

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that it is bound to."""
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
        except OSError:  # `accept` tries to listen again; a system that can't stop leaves the refusal to the listener
            pass
        self._changed.set()
        self._changed = trio.Event()

    def _stopped(self) -> bool:
        return not self.listening

    async def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """Waits for the next connection; returns its non-blocking socket, and the host and port of the peer.

        Raises:
            OSError: the connection can't be accepted, or is gone.
            trio.ClosedResourceError: the socket was closed.

        """
        while True:
            if self.closed:
                raise trio.ClosedResourceError
            if self.listening:
                await trio.lowlevel.wait_readable(self._socket)
                if self._stopped():  # that made it readable, and no connection
                    continue
                connection, (host, port, *_) = self._socket.accept()
                connection.setblocking(False)
                return connection, (host, port)
            with trio.move_on_after(AGAIN_S if self._wanted else inf):
                await self._changed.wait()
            if self._wanted and not self.listening and not self.closed:
                self._socket.listen(BACKLOG)
                self.listening = True

    def close(self) -> None:
        """Closes the socket and gives up its address; accepted connections go on."""
        if not self.closed:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._changed.set()
