"""Sending whole frames over a non-blocking socket, when the kernel may take only a part of one.

Asterisk drops a call whose frame comes in pieces with a pause between them. So a frame of which the kernel took a part
is completed before anything else is sent, and as soon as there is room: the transport starts a task for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    import socket


class FrameSender:
    """The outgoing side of one connection; never blocks, and keeps at most the rest of one frame."""

    __slots__ = ("_room", "_socket", "unsent")

    def __init__(self, connection: socket.socket) -> None:
        """Sends over a connected, non-blocking socket, which stays its owner's to close."""
        self._socket = connection
        self.unsent = b""
        """The rest of the last frame, of which the kernel has taken only a part; `finish` sends it."""
        self._room: trio.Event | None = None  # set while a task waits for room in the kernel's buffer

    def send(self, frame: bytes) -> bool:
        """Sends a frame, after the rest of the one before; False if nothing of it was taken.

        A connection that was reset takes everything: reading from it reports the reset.
        """
        if self.unsent and not self._flush():
            return False
        try:
            sent = self._socket.send(frame)
        except BlockingIOError:
            return False
        except OSError:
            return True
        if sent != len(frame):
            self.unsent = frame[sent:]
        return True

    def append(self, frame: bytes) -> None:
        """Adds a frame, for `finish` to send after the rest of the one before."""
        self.unsent += frame

    async def finish(self) -> None:
        """Returns when nothing is left to send, or the connection is gone."""
        while self.unsent and not self._flush():
            await self.wait_room()

    def _flush(self) -> bool:
        try:
            self.unsent = self.unsent[self._socket.send(self.unsent) :]
        except BlockingIOError:
            return False
        except OSError:
            self.unsent = b""
        return not self.unsent

    async def wait_room(self) -> None:
        """Waits for room in the kernel's buffer; returns also when the socket is closed."""
        if self._room is not None:  # trio lets one task wait for a socket: the others wait for that task
            await self._room.wait()
            return
        self._room = trio.Event()
        try:
            await trio.lowlevel.wait_writable(self._socket)
        except trio.ClosedResourceError:
            pass
        finally:
            self._room.set()
            self._room = None
