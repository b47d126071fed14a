"""A caller behind a carrier's media stream.

The carrier buffers what it gets and plays it at its own pace, so speech is sent as it is made. `clear` drops what it
has buffered, and a mark reports when what was sent before it was played. The stream ends when either side closes the
WebSocket. The carrier then goes on with what its instructions say after the stream, and hangs up if that is nothing.

Messages that the socket has no room for are kept in order: the rest of a piece of speech of which some was taken, marks
and clears, which a call sends without waiting. Speech is not taken while something is kept, so there is little of it.
A clear drops the speech and the marks that are kept, and goes out as soon as there is room.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Literal
from uuid import uuid4

import trio
from attrs import evolve

from voicepipe.components.requests import CallInfo
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.transports.delivery import Delivery
from voicepipe.transports.media_stream.texts import variables
from voicepipe.transports.media_stream.wire_format import (
    StreamDecoder,
    StreamEncoder,
    StreamKey,
    StreamMark,
    StreamStarted,
    StreamStopped,
)

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat
    from voicepipe.components.trace_context import TraceContext
    from voicepipe.transports.call_socket import CallSocket
    from voicepipe.transports.media_stream.dialects import ByteOrder, Dialect
    from voicepipe.transports.media_stream.tickets import WebhookFacts
    from voicepipe.transports.media_stream.wire_format import StreamEvent
    from voicepipe.transports.protocol import CallSink, Capability

GOODBYE_S: Final = 0.5
"""The time in which a hang-up sends what is kept, even when it is cancelled, in s."""


class MediaStreamTransport:
    """A call of a carrier's media stream; made by a listener, which hangs up when the call's handler returns.

    It can't transfer: carriers do that by their own interfaces, or with what their instructions say after the stream.
    """

    pacing: Literal["theirs"] = "theirs"

    def __init__(
        self,
        socket: CallSocket,
        dialect: Dialect,
        audio: AudioFormat,
        *,
        listener: str,
        facts: WebhookFacts | None = None,
        byte_order: ByteOrder | None = None,
        trace: TraceContext | None = None,
    ) -> None:
        """Takes over a WebSocket.

        Args:
            socket: the connection, which its listener closes.
            dialect: the carrier.
            audio: the format that the carrier was asked for, unless its start message says another.
            listener: the name for `CallInfo.listener`.
            facts: what the carrier's webhook said of the call; None: nothing is known of it but what the stream says.
            byte_order: of linear audio; None: the dialect's.
            trace: the span that the call is made for; None: the stream's parameters may say it.

        """
        self.info = CallInfo(listener=listener, trace=trace)
        self.audio = audio
        self.can: frozenset[Capability] = frozenset({"clear", "mark"})
        if dialect.send_keys is not None:
            self.can |= {"send_dtmf"}
        self._socket, self._dialect, self._facts, self._byte_order = socket, dialect, facts, byte_order
        self._decoder = StreamDecoder(dialect, audio, byte_order)
        self._encoder: StreamEncoder | None = None  # None: the stream has not started
        self._delivery = Delivery()
        self._decided = trio.Event()  # the stream has started, or never will
        self._kept: deque[bytes | str] = deque()  # messages that the socket had no room for
        self._sends_kept = trio.Event()  # set when a task must send them, since no other waits for room

    async def answer(self) -> bool:
        """Waits for the start message; False if the carrier closed before it.

        Raises:
            TransportError: the other side is no carrier of this dialect, or its audio can't be used.

        """
        await self._decided.wait()
        if self._encoder is None:
            self._delivery.raise_failure()
        return self._encoder is not None

    async def run(self, sink: CallSink) -> None:
        """Delivers audio and events to the sink until either side ends the call; to be called once.

        Raises:
            TransportError: the carrier sent what can't be read.

        """
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(self._send_when_asked)
            await self._delivery.run(sink)
            nursery.cancel_scope.cancel()

    def take_message(self, message: bytes | str) -> None:
        """Takes the carrier's next message, for the listener."""
        item = self._decoder.feed(message)
        if item.__class__ is bytes:
            self._delivery.sink.audio(item)
        elif item is not None:
            self._take_event(item)

    def _take_event(self, event: StreamEvent | bytes) -> None:
        match event:
            case StreamStarted():
                self._start(event)
            case StreamKey(digit):
                self._delivery.sink.dtmf(digit)
            case StreamMark(mark):
                self._delivery.sink.heard(mark)
            case StreamStopped(reason):
                self._delivery.end(reason)

    def _start(self, started: StreamStarted) -> None:
        facts = self._facts
        self.audio = started.audio
        self.info = evolve(
            self.info,
            caller=(facts.caller if facts else "") or started.caller,
            called=(facts.called if facts else "") or started.called,
            transport_id=started.call_id or (facts.call_id if facts else "") or started.stream_id or str(uuid4()),
            variables=variables(facts.variables if facts else {}, started.variables),
        )
        self._encoder = StreamEncoder(self._dialect, started, self._byte_order)
        self._decided.set()

    def closed(self, reason: str) -> None:
        """Takes the end of the connection, for the listener."""
        self._delivery.end(f"the carrier closed the stream: {reason}")
        self._decided.set()

    def fail(self, error: Exception | SystemExit) -> None:
        """Ends the call with an exception, which `answer` or `run` raises."""
        self._delivery.fail(error)
        self._decided.set()

    def write(self, audio: bytes | memoryview) -> bool:
        """Sends up to 200 ms of speech and never blocks; False if nothing was taken. After the end it is dropped."""
        encoder = self._encoder
        if encoder is None or self._delivery.is_over:
            return True
        if self._kept and not self._send_kept():
            return False
        messages = iter(encoder.audio(audio))
        is_first = True
        for message in messages:
            if not self._socket.send_nowait(message):
                if is_first:
                    return False
                self._kept.append(message)
                self._kept.extend(messages)
                self._sends_kept.set()
            is_first = False
        return True

    def _send_kept(self) -> bool:
        """Sends what is kept as far as there is room; False if some is left."""
        while self._kept:
            if not self._socket.send_nowait(self._kept[0]):
                return False
            self._kept.popleft()
        return True

    async def _send_when_asked(self) -> None:
        """Sends what is kept as soon as there is room, each time that something was kept."""
        while True:
            await self._sends_kept.wait()
            self._sends_kept = trio.Event()
            await self.wait_writable()

    async def wait_writable(self) -> None:
        """Returns when there is room for another `write`, or the call is over."""
        await self._socket.wait_writable()
        while not self._send_kept():
            await self._socket.wait_writable()

    def clear(self) -> None:
        """Drops all speech that the carrier has buffered."""
        if self._encoder is not None:
            self._kept.clear()
            self._post(self._encoder.clear())

    def mark(self, mark: int) -> None:
        """Requests `sink.heard(mark)` for when the speech written so far was played."""
        if self._encoder is not None:
            self._post(self._encoder.mark(mark))

    def _post(self, message: str) -> None:
        """Sends a message after those that are kept, at once or as soon as there is room."""
        if not self._send_kept() or not self._socket.send_nowait(message):
            self._kept.append(message)
            self._sends_kept.set()

    async def transfer(self, target: str) -> None:
        """Unsupported (not in `can`): carriers transfer by their own interfaces."""
        raise NotImplementedError(f"a media stream can't transfer a call to {target}")

    async def send_dtmf(self, digits: str) -> None:
        """Sends keys, if the carrier has a message for that (`can`)."""
        if self._encoder is not None:
            self._post(self._encoder.keys(digits))
        await trio.lowlevel.checkpoint()

    async def hang_up(self) -> None:
        """Ends the stream after all written audio was sent; the carrier goes on with its instructions.

        Takes at most `GOODBYE_S` and the time of closing the WebSocket; no-op if the stream has ended.
        """
        self._delivery.stop()
        if self._kept:
            with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_S):
                await self.wait_writable()
        await self._socket.close()
