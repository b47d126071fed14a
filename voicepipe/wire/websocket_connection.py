"""An open WebSocket over the sans-I/O half of `websockets`; `websocket` explains who reads and who writes.

Only `load_websockets`, `open_websocket` and `websocket_server` import this module, since it imports the library.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, cast

import trio
from websockets.client import ClientProtocol
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.frames import OK_CLOSE_CODES, CloseCode, Frame, Opcode
from websockets.http11 import USER_AGENT, Response
from websockets.protocol import CLOSED, OPEN
from websockets.uri import parse_uri

from voicepipe.wire.byte_stream import open_byte_stream

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping, Sequence

    from websockets.server import ServerProtocol

    from voicepipe.wire.byte_stream import ByteStream

__all__ = ["WebSocket"]

MOST_BYTES = 1 << 20
"""The largest message that is accepted, in bytes; a larger one ends the connection with code 1009."""

PONG_S = 20.0
"""How long to wait for the answer to a ping, in s."""

TEXT, BINARY, CONTINUATION, PONG = Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PONG


async def connect(
    url: str,
    headers: Mapping[str, str],
    tls: ssl.SSLContext | None,
    *,
    subprotocols: Sequence[str] | None,
    ping_interval: float | None,
) -> WebSocket:
    """Opens a WebSocket.

    Raises:
        OSError: the server can't be reached, or the connection broke.
        InvalidHandshake: the server refuses, or answers something else.

    """
    uri = parse_uri(url)
    protocol = ClientProtocol(uri, subprotocols=subprotocols, max_size=MOST_BYTES)  # type: ignore[arg-type]
    request = protocol.connect()
    request.headers.update(headers)
    request.headers.setdefault("User-Agent", USER_AGENT)
    protocol.send_request(request)
    stream = await open_byte_stream(uri.host, uri.port, tls if uri.secure else None)
    try:
        response = await _shake_hands(stream, protocol)
    except BaseException:
        await stream.aclose()
        raise
    return WebSocket(stream, protocol, ping_interval, dict(response.headers.raw_items()))


async def _shake_hands(stream: ByteStream, protocol: ClientProtocol) -> Response:
    """Sends the request that the protocol has made, and returns the response to it; raises as `connect`."""
    stream.write_nowait(b"".join(protocol.data_to_send()))
    await stream.flush()
    while not protocol.events and protocol.handshake_exc is None:
        if data := await stream.read():
            protocol.receive_data(data)
        else:
            protocol.receive_eof()
    if protocol.handshake_exc is not None:
        raise protocol.handshake_exc
    return cast("Response", protocol.events.pop(0))


class WebSocket:
    """A WebSocket that is open. One task receives; several may send.

    Args:
        stream: the connection, after the handshake.
        protocol: the protocol, after the handshake.
        ping_interval: how often to ping the other side while a task receives, in s; None: never.
        response_headers: of the handshake's response.

    """

    def __init__(
        self,
        stream: ByteStream,
        protocol: ClientProtocol | ServerProtocol,
        ping_interval: float | None,
        response_headers: Mapping[str, str],
    ) -> None:
        self._stream, self._protocol = stream, protocol
        self.response_headers = response_headers
        """The headers of the handshake's response."""
        self._messages: deque[bytes | str] = deque()
        self._fragments: list[bytes] = []  # the beginning of a message
        self._fragments_are_text = False
        self._ping_interval = ping_interval
        self._ping_at = inf if ping_interval is None else trio.current_time() + ping_interval
        self._pong_by = inf
        self._broke: OSError | None = None  # why nothing can be written any more
        self._take_events()
        self._answer()

    @property
    def stream(self) -> ByteStream:
        """The connection."""
        return self._stream

    @property
    def is_flushed(self) -> bool:
        """Whether all that was sent is written."""
        return self._stream.is_flushed

    def send_nowait(self, message: bytes | str) -> None:
        """Sends a message, str as text and bytes as binary, without waiting.

        What the socket does not take of it is left for `flush`.

        Raises:
            trio.WouldBlock: earlier messages are not written yet; this one is not sent.
            ConnectionClosed: the connection has ended.

        """
        self._check_open()
        if not self._stream.is_flushed:
            raise trio.WouldBlock
        self._frame(message)
        self._write()

    async def send(self, message: bytes | str) -> None:
        """Sends a message, str as text and bytes as binary, and waits until it is written.

        If it is cancelled while it waits, the message is written later, before the next one.

        Raises:
            ConnectionClosed: the connection has ended.

        """
        self._check_open()
        self._frame(message)
        self._write()
        await self.flush()

    async def flush(self) -> None:
        """Waits until all messages are written; raises as `send`."""
        try:
            await self._stream.flush()
        except OSError as error:
            self._fail(error)
            self._check_open()

    async def recv(self) -> bytes | str:
        """The next message, text as str and binary as bytes. A cancelled `recv` loses none.

        Raises:
            ConnectionClosed: the connection has ended, and each message that came before was received.

        """
        if self._messages:
            await trio.lowlevel.checkpoint_if_cancelled()
        while not self._messages:
            self._check_open()
            if self._ping_interval is None:
                await self._read()
            else:
                await self._read_and_ping(self._ping_interval)
        return self._messages.popleft()

    def recv_nowait(self) -> bytes | str:
        """The next message that has come; reads the socket if none was read before.

        Raises:
            trio.WouldBlock: no message has come.
            ConnectionClosed: as from `recv`.

        """
        while not self._messages:
            self._check_open()
            try:
                data = self._stream.read_nowait()
            except OSError as error:
                self._fail(error)
                continue
            if data is None:
                raise trio.WouldBlock
            self._take(data)
            self._answer()
        return self._messages.popleft()

    def send_close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Sends a Close frame without waiting, if none was sent; `flush` and `recv` see to the rest."""
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, reason)
            self._write()

    async def close(self, close_s: float, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Sends a Close frame, and drops messages until the other side has closed too or `close_s` is over."""
        with trio.move_on_after(close_s), suppress(ConnectionClosed):
            if self._protocol.state is OPEN:
                self.send_close(code, reason)
                await self.flush()
            while self._protocol.state is not CLOSED and not self._protocol.eof_sent:  # a server waits for no EOF
                self._messages.clear()
                await self._read()

    async def aclose(self) -> None:
        """Cuts the TCP connection at once."""
        self._broke = self._broke or ConnectionAbortedError("the connection was closed here")
        self._protocol.parser.close()  # it refers to the protocol, which refers to it
        await self._stream.aclose()

    # --- Frames and bytes -------------------------------------------------------------------------------------------

    def _frame(self, message: bytes | str) -> None:
        if isinstance(message, str):
            self._protocol.send_text(message.encode())
        else:
            self._protocol.send_binary(message)

    def _write(self) -> None:
        """Writes the frames that the protocol has made."""
        for data in self._protocol.data_to_send():
            if data:  # an empty one says that the connection is to be closed, which happens in any case
                try:
                    self._stream.write_nowait(data)
                except OSError as error:
                    self._fail(error)
                    self._check_open()

    def _answer(self) -> None:
        """Writes what the protocol answers to frames that came, such as pongs; `recv` sees to the rest of it."""
        if self._protocol.writes:
            with suppress(ConnectionClosed):  # the messages that came before are received first
                self._write()

    async def _read(self) -> None:
        """Waits for bytes, and takes the messages in them."""
        try:
            data = await (self._stream.read() if self._stream.is_flushed else self._read_beside_flush())
        except OSError as error:
            self._fail(error)
        else:
            self._take(data)
            self._answer()

    async def _read_beside_flush(self) -> bytes:
        """Reads, and writes meanwhile what the socket had not taken: neither may hold up the other."""

        async def flush() -> None:
            with suppress(ConnectionClosed):
                await self.flush()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(flush)
            try:
                return await self._stream.read()
            except OSError as error:
                self._fail(error)
                return b""
            finally:
                nursery.cancel_scope.cancel()

    async def _read_and_ping(self, ping_interval: float) -> None:
        """As `_read`; sends a ping when it is time to, and ends the connection if it is not answered."""
        if self._pong_by <= trio.current_time():
            self._pong_by = trio.current_time() + PONG_S  # it may have come: nobody has read since
        with trio.move_on_at(min(self._ping_at, self._pong_by)) as scope:
            await self._read()
        if not scope.cancelled_caught or self._protocol.state is not OPEN:
            return
        now = trio.current_time()
        if now >= self._pong_by:
            self._protocol.fail(CloseCode.INTERNAL_ERROR, "keepalive ping timeout")
        else:
            self._ping_at, self._pong_by = now + ping_interval, min(self._pong_by, now + PONG_S)
            self._protocol.send_ping(b"voicepipe")
        self._answer()

    def _take(self, data: bytes) -> None:
        """Takes the messages of bytes that were read; b"" is the end."""
        if self._broke is not None:
            return
        if data:
            self._protocol.receive_data(data)
        else:
            self._protocol.receive_eof()
        self._take_events()

    def _take_events(self) -> None:
        for frame in cast("list[Frame]", self._protocol.events_received()):
            if frame.opcode is PONG:
                self._pong_by = inf
            elif frame.opcode is BINARY or frame.opcode is TEXT or frame.opcode is CONTINUATION:
                if frame.opcode is not CONTINUATION:
                    self._fragments_are_text = frame.opcode is TEXT
                if not frame.fin:
                    self._fragments.append(bytes(frame.data))
                    continue
                data = bytes(frame.data)
                if self._fragments:
                    data = b"".join([*self._fragments, data])
                    self._fragments.clear()
                try:
                    self._messages.append(data.decode() if self._fragments_are_text else data)
                except UnicodeDecodeError as error:
                    self._protocol.fail(CloseCode.INVALID_DATA, f"{error.reason} at position {error.start}")
                    return

    # --- The end ----------------------------------------------------------------------------------------------------

    def _fail(self, error: OSError) -> None:
        """Takes notice that the connection broke. What has come until then is read: it may say why."""
        if self._broke is not None:
            return
        self._broke = error
        try:
            while data := self._stream.read_nowait():
                self._protocol.receive_data(data)
        except OSError:
            pass
        self._take_events()
        self._protocol.receive_eof()
        self._stream.shut_down()  # a task that reads is woken

    def _check_open(self) -> None:
        """Raises `ConnectionClosed` if the connection has ended."""
        protocol = self._protocol
        if protocol.state is OPEN and self._broke is None:
            return
        received, sent = protocol.close_rcvd, protocol.close_sent
        codes = {close.code for close in (received, sent) if close is not None}
        is_orderly = received is not None and sent is not None and codes <= OK_CLOSE_CODES
        kind = ConnectionClosedOK if is_orderly else ConnectionClosedError
        raise kind(received, sent, protocol.close_rcvd_then_sent) from (self._broke or protocol.parser_exc)
