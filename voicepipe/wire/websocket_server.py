"""A WebSocket that was accepted, over the sans-I/O half of `websockets`, for a hub that reads many of them.

A call sends and receives a hundred messages a second, and the library makes three objects and steps through two
generators for each. So small whole frames are made and taken apart here. Everything else goes to the library:
fragments, control frames, large frames, and every frame with a fault, whose error and close code are the library's.

Only `voicepipe.transports.websocket_serving` imports this module, since it imports the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import trio
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol

from voicepipe.wire.websocket_connection import BINARY, TEXT, WebSocket

try:
    from websockets.speedups import apply_mask
except ImportError:  # the library was built without its C part
    from websockets.utils import apply_mask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from websockets.http11 import Request, Response
    from websockets.typing import Subprotocol

    from voicepipe.wire.byte_stream import AcceptedStream

__all__ = ["ServerWebSocket", "accept_websocket"]

SMALL: Final = 16_384
"""The largest payload that a server takes out of its frame by itself, in bytes."""
FIN_TEXT, FIN_BINARY = 0x80 | TEXT, 0x80 | BINARY
"""The first byte of a frame that is a whole message."""
WHOLE: Final = frozenset({FIN_TEXT, FIN_BINARY})
MASKED: Final = 0x80
"""The bit of a client's frames, in their second byte."""
LONG: Final = 126
"""With this length or one more, the length itself follows, in 2 or 8 bytes (RFC 6455, 5.2)."""
BEGIN: Final = 8
"""The place of the payload in a masked frame of 126 to 65,535 bytes."""


async def accept_websocket(
    stream: AcceptedStream, head: bytes, rest: bytes, *, max_size: int
) -> ServerWebSocket | Response:
    """Answers a request for a WebSocket, and returns the WebSocket, or the answer if the request is not valid.

    Args:
        stream: the connection; the caller closes it, in any case.
        head: the request, to the empty line.
        rest: what came after it.
        max_size: the largest message that is accepted, in bytes; a larger one ends the connection with code 1009.

    Raises:
        OSError: the connection broke.

    """
    protocol = ServerProtocol(max_size=max_size, select_subprotocol=_first_offered)
    protocol.receive_data(head)
    if protocol.handshake_exc is not None or not protocol.events:
        response = protocol.reject(400, f"{protocol.handshake_exc}\n")
    else:
        response = protocol.accept(cast("Request", protocol.events.pop(0)))
        protocol.send_response(response)
    stream.write_nowait(b"".join(protocol.data_to_send()))
    await stream.flush()
    return ServerWebSocket(stream, protocol, rest) if protocol.state is OPEN else response


def _first_offered(_protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Takes whatever the client calls its messages: one that offers a name, as Asterisk does, may insist on it."""
    return offered[0] if offered else None


class ServerWebSocket(WebSocket):
    """A WebSocket that was accepted, whose messages go to a function while a hub reads."""

    _delivers = False  # whether messages go to `_deliver` instead of `recv`

    def __init__(self, stream: AcceptedStream, protocol: ServerProtocol, rest: bytes) -> None:
        """Takes over a connection after the handshake; `rest` are bytes that came after it."""
        super().__init__(stream, protocol, None, {})
        self._stream: AcceptedStream = stream
        self._small = min(SMALL, protocol.max_message_size or SMALL)
        self._rest = rest  # the beginning of a small frame
        self._owed = 0  # how much of a frame that the library takes is still to come
        self._deliver: Callable[[bytes | str], object] = self._messages.append
        self.has_ended = False
        """Whether the connection broke, or either side has sent a Close frame."""

    @property
    def end_reason(self) -> str:
        """The words for a connection that has ended, for a log."""
        received, sent = self._protocol.close_rcvd, self._protocol.close_sent
        if received is not None:
            return f"the other side closed with code {received.code}{_in_brackets(received.reason)}"
        if sent is not None:
            return f"it was closed with code {sent.code}{_in_brackets(sent.reason)}"
        if self._broke is not None:
            return f"the connection broke: {self._broke.strerror or self._broke}"
        return "the connection ended without a Close frame"

    def deliver_to(self, deliver: Callable[[bytes | str], object]) -> None:
        """Passes each message to a function, those that have come first; what it raises, `receive_nowait` raises."""
        self._deliver, self._delivers = deliver, True
        rest, self._rest = self._rest, b""
        if rest:
            self._take(rest)
            self._answer()

    def receive_nowait(self) -> bool:
        """Reads what the socket has, delivers the messages in it, and answers control frames; never blocks.

        Returns whether it wrote something.
        """
        try:
            data = self._stream.read_nowait()
            while data is not None:
                self._take(data)
                # After a failed write all that came is read, to its end: it may say why.
                has_more = data and (self._broke is not None or self._stream.has_more)
                data = self._stream.read_nowait() if has_more else None
        except OSError as error:
            self._fail(error)
        if self._protocol.writes:
            self._answer()
            return True
        return False

    def ping(self) -> None:
        """Sends a ping, which any data that comes answers; no-op while earlier data waits to be written."""
        if not self.has_ended and self._stream.is_flushed:
            self._protocol.send_ping(b"")
            self._answer()

    def try_send(self, message: bytes | str) -> bool:
        """Sends a message without waiting; False if it was not sent because earlier ones are not written yet.

        After the connection has ended, messages are taken and dropped: the task that reads learns of the end.
        """
        if self.has_ended:
            return True
        stream = self._stream
        if not stream.is_flushed:
            return False
        try:
            if isinstance(message, str):
                stream.write_nowait(_frame(FIN_TEXT, message.encode()))
            else:
                stream.write_nowait(_frame(FIN_BINARY, message))
        except OSError as error:
            self._fail(error)
        return True

    async def wait_writable(self) -> None:
        """Returns when another message may be sent, or the connection has ended."""
        try:
            await self.flush()
        except (ConnectionClosed, trio.ClosedResourceError):
            await trio.lowlevel.checkpoint()

    def _take(self, data: bytes) -> None:
        # Usually it is one frame, with the length of a caller's audio; this is that case of the loop in `_take_all`.
        size = len(data)
        if (
            size > BEGIN
            and data[0] == FIN_BINARY
            and data[1] == MASKED | LONG
            and (data[2] << 8 | data[3]) == size - BEGIN
            and size <= self._small
            and not (self._rest or self._owed or self._fragments or self.has_ended)
        ):
            self._deliver(apply_mask(data[BEGIN:], data[4:BEGIN]))
        else:
            self._take_all(data)

    def _take_all(self, data: bytes) -> None:
        """Takes the messages of the frames that are whole, and keeps the beginning of the next one."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if not data or self.has_ended:
            self._feed(data)
            return
        at, size = 0, len(data)
        try:
            while at < size:
                if self._owed:
                    at = self._leave_to_library(data, at)
                    continue
                begin = _payload_begin(data, at)
                if not begin:
                    break
                kind, length = data[at], data[at + 1] & 0x7F
                if length >= LONG:
                    length = int.from_bytes(data[at + 2 : at + (4 if length == LONG else 10)], "big")
                end = begin + length
                if end > size and length <= SMALL:
                    break
                if kind not in WHOLE or length > self._small or not data[at + 1] & MASKED or self._fragments:
                    self._owed = end - at
                    continue
                message = _message(kind, apply_mask(data[begin:end], data[begin - 4 : begin]))
                if message is None:  # the library closes with the code for it
                    self._owed = end - at
                    continue
                at = end
                self._deliver(message)
        finally:
            self._rest = data[at:]

    def _leave_to_library(self, data: bytes, at: int) -> int:
        """Gives the library what there is of the frame that it is owed; returns the place of the next one."""
        part = data[at : at + self._owed]
        self._owed -= len(part)
        self._feed(part)
        if not self.has_ended:
            return at + len(part)
        if rest := data[at + len(part) :]:
            self._feed(rest)  # which the library discards: the connection is closing
        return len(data)

    def _feed(self, data: bytes) -> None:
        if not self._protocol.reader.eof:
            self._protocol.receive_data(data) if data else self._protocol.receive_eof()
            self._take_events()

    def _fail(self, error: OSError) -> None:
        """Takes notice that the connection broke, and wakes the hub, which reads what has come until then."""
        if self._broke is None:
            self._broke, self.has_ended = error, True
            self._stream.shut_down()

    def send_close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Sends a Close frame without waiting, if none was sent; `flush` and `recv` see to the rest."""
        self.has_ended = True
        super().send_close(code, reason)

    def _take_events(self) -> None:
        super()._take_events()
        self.has_ended = self._protocol.state is not OPEN or self._broke is not None
        while self._delivers and self._messages:
            self._deliver(self._messages.popleft())


def _payload_begin(data: bytes, at: int) -> int:
    """The place of the payload of the frame that begins at a place; 0 if its head is not complete (RFC 6455, 5.2)."""
    if len(data) < at + 2:
        return 0
    length = data[at + 1] & 0x7F
    begin = at + 2 + (4 if data[at + 1] & MASKED else 0)
    if length >= LONG:
        begin += 2 if length == LONG else 8
    return begin if len(data) >= begin else 0


def _message(kind: int, payload: bytes) -> bytes | str | None:
    """The message of a whole frame; None if it is text that is not UTF-8."""
    if kind == FIN_BINARY:
        return payload
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return None


def _frame(kind: int, payload: bytes) -> bytes:
    """A frame of a server, which is not masked."""
    length = len(payload)
    if length < LONG:
        return bytes((kind, length)) + payload
    if length < 1 << 16:
        return bytes((kind, LONG, length >> 8, length & 0xFF)) + payload
    return bytes((kind, LONG + 1)) + length.to_bytes(8, "big") + payload


def _in_brackets(reason: str) -> str:
    return f" ({reason[:120]})" if reason else ""
