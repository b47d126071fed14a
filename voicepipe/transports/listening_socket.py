"""A bound TCP socket that can stop listening, and listen again, without giving up its address.

Closing a socket and binding a new one would do the same, but somebody else could take the port meanwhile. On Linux
`shutdown(2)` takes a listening socket back to a bound one (`inet_shutdown` disconnects it): whoever connects is refused
by the kernel, those who wait to be accepted are reset, and `listen(2)` undoes it. Elsewhere shutdown is an error, and
the socket goes on listening.
"""

from __future__ import annotations

import socket
from math import inf
from typing import Final

import trio

BACKLOG: Final = 1024
"""Connections that may wait to be accepted; Asterisk gives up after 2 s."""
AGAIN_S: Final = 1.0
"""How often listening again is tried while the system refuses it."""


class ListeningSocket:
    """Accepts connections while it is to listen.

    Attributes:
        listening: whether the kernel takes connections for it.

    """

    def __init__(self, listening: socket.socket) -> None:
        """Takes over a socket that listens, non-blocking, on a port that it was bound to by number."""
        self._socket = listening
        self.listening = self._wanted = True
        self._changed = trio.Event()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._socket.fileno() == -1

    @property
    def address(self) -> tuple[str, int]:
        """Host and port it is bound to."""
        host, port, *_ = self._socket.getsockname()
        return host, port

    def listen(self, on: bool) -> None:
        """Listens, or has the kernel refuse whoever connects; no-op if it does already, or is closed."""
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
        except OSError:  # listening again is tried again; where one can't stop, the listener refuses them itself
            pass
        self._changed.set()
        self._changed = trio.Event()

    def _stopped(self) -> bool:
        return not self.listening

    async def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        """The next connection, non-blocking, and whose it is.

        Raises:
            OSError: the system can't accept it, or it is gone.
            trio.ClosedResourceError: this was closed.

        """
        while True:
            if self.closed:
                raise trio.ClosedResourceError
            if self.listening:
                await trio.lowlevel.wait_readable(self._socket)
                if self._stopped():  # which is what made it readable
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
        """Gives up the address; connections that were accepted go on."""
        if not self.closed:
            trio.lowlevel.notify_closing(self._socket)
            self._socket.close()
            self._changed.set()
