"""The link between a supervisor and a worker: messages, file descriptors and blobs over a pair of Unix sockets.

A frame is its header's length and its blob's, each 4 bytes, then the header, one JSON object, then the blob. The header
names the class of the message. A descriptor travels beside the first byte of its frame (`SCM_RIGHTS`); the kernel never
puts the descriptors of two sends into one receive, and keeps their order, so they are matched to frames that say that
they bring one.

Neither side waits for the other for long: each reads in a task of its own and answers from there.
"""

from __future__ import annotations

import array
import json
import os
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from reference_engine.link import messages
from reference_engine.link.messages import Message

if TYPE_CHECKING:
    from typing import Self

_LENGTHS: Final = struct.Struct("!II")
_READ: Final = 65536
_DESCRIPTORS: Final = 64
_CLASSES: Final[dict[str, Any]] = {
    name: value for name, value in vars(messages).items() if isinstance(value, type) and attrs.has(value)
}


class LinkClosedError(Exception):
    """The other side has ended, or has closed the link."""


@attrs.frozen
class ReceivedMessage:
    """A message, with what came along."""

    message: Message
    """The message."""
    descriptor: int | None = None
    """The file descriptor that came with it, which the receiver owns and closes; None: none."""
    blob: bytes = b""
    """The blob that came with it."""


class Link:
    """One end of a link. `send` may be called by many tasks, `receive` by one.

    Args:
        end: a connected Unix stream socket, which the link takes over.

    """

    def __init__(self, end: socket.socket) -> None:
        end.setblocking(False)
        self._socket = trio.socket.from_stdlib_socket(end)
        self._sending = trio.Lock()
        self._bytes = bytearray()
        self._descriptors: deque[int] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes it, with descriptors that came and that nobody has received; no-op if it is closed."""
        self._socket.close()
        while self._descriptors:
            os.close(self._descriptors.popleft())

    async def send(self, message: Message, *, descriptor: int | None = None, blob: bytes = b"") -> None:
        """Sends a message whole, or, if it is cancelled before its first byte, not at all.

        The descriptor stays the sender's: it may be closed when this returns.

        Raises:
            LinkClosedError: the other side has ended.

        """
        header = json.dumps(
            {"is": type(message).__name__, "brings": descriptor is not None, **attrs.asdict(message)}
        ).encode()
        frame = memoryview(_LENGTHS.pack(len(header), len(blob)) + header + blob)
        rights = [] if descriptor is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        try:
            async with self._sending:
                sent = await self._socket.sendmsg([frame], rights)
                with trio.CancelScope(shield=True):  # half a frame would end the link
                    while sent < len(frame):
                        sent += await self._socket.send(frame[sent:])
        except (OSError, trio.ClosedResourceError) as error:
            raise LinkClosedError("the other side has ended") from error

    async def receive(self) -> ReceivedMessage:
        """Returns the next message.

        Raises:
            LinkClosedError: the other side has ended.

        """
        header_length, blob_length = _LENGTHS.unpack(await self._read(_LENGTHS.size))
        header = json.loads(await self._read(header_length))
        blob = await self._read(blob_length)
        descriptor = self._descriptors.popleft() if header.pop("brings") else None
        return ReceivedMessage(_CLASSES[header.pop("is")](**header), descriptor, blob)

    async def _read(self, length: int) -> bytes:
        while len(self._bytes) < length:
            try:
                data, ancillary, _flags, _address = await self._socket.recvmsg(
                    _READ, socket.CMSG_SPACE(_DESCRIPTORS * array.array("i").itemsize), _CLOSE_ON_EXEC
                )
            except (OSError, trio.ClosedResourceError) as error:
                raise LinkClosedError("the link was closed") from error
            for level, kind, content in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    numbers = array.array("i")
                    numbers.frombytes(content[: len(content) - len(content) % numbers.itemsize])
                    self._descriptors.extend(numbers)
            if not data:
                raise LinkClosedError("the other side has ended")
            self._bytes += data
        read = bytes(self._bytes[:length])
        del self._bytes[:length]
        return read


_CLOSE_ON_EXEC: Final = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


def open_links() -> tuple[Link, socket.socket]:
    """Returns the supervisor's end, and the socket that a worker inherits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with suppress(OSError):  # a blob moves in fewer pieces
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    return Link(ours), theirs
