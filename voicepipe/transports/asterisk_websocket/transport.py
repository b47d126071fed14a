"""One WebSocket of Asterisk's `chan_websocket` as the transport of a call.

Theory of operation
===================

Asterisk connects, says what call it is (`MEDIA_START`), and sends a binary message of audio about every 20 ms. What it
gets goes into a queue of its own, from which it plays a frame every 20 ms. So audio is written as it is made, marks
report what was played, and `clear` empties the queue. `wire_format` has the messages, `flow_control` knows the queue,
`stale_audio` sorts out what a stall has delayed. A `CallSocket` carries the messages; a `Delivery` is the way to the
sink, which keeps what comes before `run`.

The states::

    starting --- MEDIA_START came, in a format that is supported --> open
    starting, open --- `closed` or `fail` was called --------------> over
    any state --- `hang_up` ---------------------------------------> over

Before MEDIA_START nothing is sent: Asterisk does not look at what comes with its handshake until the next message.
Audio may come before it, and is kept, the newest second.

Buffering mode (`START_MEDIA_BUFFERING`) is not used. It makes whole frames of pieces of any size. But a flush ends it,
so it would have to be started again after each barge-in, and a rest of less than a frame stays in it unplayed until it
is stopped. The call writes whole frames anyway, and the last one of a speech that is no whole frame is filled up with
silence here.

Nothing is lost between a full socket and Asterisk. A message that the socket does not take waits in `_unsent`; `write`
then takes nothing more, and a task of `run` sends it when there is room. So commands keep their place among audio: a
MARK_MEDIA comes after what it marks, and what is written after a FLUSH_MEDIA is not flushed.

The end of a call:

- *The caller hangs up*: Asterisk closes the connection (1000); a broken connection ends the call too. Whatever was held
  as perhaps stale is delivered before the end.
- *This side hangs up*: HANGUP, which Asterisk carries out at once, whatever is in its queue. A call that wants its
  goodbye to be heard waits for the mark at its end before it calls `hang_up`. Then Asterisk closes, and if it does not
  within `HANGUP_S`, this side does.

`take_message` runs 50 times a second: no object, log, lock, scope or task switch for a frame.
"""

from __future__ import annotations

import logging
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, Literal

import trio
from attrs import evolve

from voicepipe.audio import AudioFormat
from voicepipe.components.requests import CallInfo
from voicepipe.errors import TransportError
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.transports.asterisk_websocket.caller_details import DetailNames, call_info
from voicepipe.transports.asterisk_websocket.flow_control import FlowControl
from voicepipe.transports.asterisk_websocket.stale_audio import StaleAudio
from voicepipe.transports.asterisk_websocket.wire_format import (
    DTMF_DIGITS,
    MAX_AUDIO_BYTES,
    Command,
    DtmfEnd,
    ErrorReported,
    MarkProcessed,
    MediaStart,
    QueueFull,
    decode_event,
    encode_command,
)
from voicepipe.transports.delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.components.trace_context import TraceContext
    from voicepipe.transports.call_socket import CallSocket
    from voicepipe.transports.protocol import CallSink, Capability

_log = logging.getLogger("voicepipe")

HANGUP_S: Final = 2.0
"""The longest wait for Asterisk to close after HANGUP, in s."""
GOODBYE_S: Final = 0.5
"""The time in which a hang-up still sends what waits, even when it is cancelled, in s."""
EARLY_MESSAGES: Final = 25
"""The most messages of audio that are kept before MEDIA_START; of more, the newest."""
MAX_RECEIVED_BYTES: Final = 32_768
"""The largest message of audio that is taken, in bytes: 80 ms at 192 kHz."""


class AsteriskWebSocketTransport:
    """A caller behind Asterisk's chan_websocket; made by a listener.

    A transfer ends this leg, and the dialplan goes on after `Dial()` if that has the option `g`.
    """

    pacing: Literal["theirs"] = "theirs"
    can: frozenset[Capability] = frozenset({"clear", "mark", "transfer"})

    def __init__(
        self,
        socket: CallSocket,
        *,
        listener: str = "listener",
        query: Mapping[str, str] | None = None,
        names: DetailNames | None = None,
        trace: TraceContext | None = None,
    ) -> None:
        """Takes over an open WebSocket.

        Args:
            socket: carries the messages.
            listener: the name for `CallInfo.listener`.
            query: the parameters of the URL, without secrets.
            names: the names of the variables that have the call's numbers.
            trace: the span that the call is made for, where no variable says it; None: it is not known.

        """
        self.info = CallInfo(listener=listener, trace=trace)
        self.audio = AudioFormat(8000)
        """The format of the call; known when `answer` has returned."""
        self._socket, self._query, self._names = socket, query or {}, names or DetailNames()
        self._delivery = Delivery()
        self._flow = FlowControl()
        self._stale = StaleAudio(inf)
        self._early: deque[bytes] = deque(maxlen=EARLY_MESSAGES)
        self._is_json = self._is_started = self._has_ended = False
        self._started = trio.Event()  # MEDIA_START came, or never will
        self._closed = trio.Event()
        self._left: trio.Event | None = None  # set when `hang_up` has returned
        self._flow_changed = trio.Event()
        self._unsent: deque[bytes | str] = deque()
        self._nursery: trio.Nursery | None = None  # while `run` runs
        self._is_sending = False
        self._frame_bytes = 0
        self._odd = 0  # the mask of sizes that are no whole number of samples

    # --- What comes from Asterisk -----------------------------------------------------------------------------------

    async def answer(self) -> bool:
        """Waits for MEDIA_START; False if the connection closed without it.

        Raises:
            TransportError: the other side is not Asterisk, or its audio's format is not supported.

        """
        await self._started.wait()
        if not self._is_started:
            self._delivery.raise_failure()
        return self._is_started

    async def run(self, sink: CallSink) -> None:
        """Delivers to the sink until either side hangs up; to be called once.

        Raises:
            TransportError: the other side broke the protocol.

        """
        async with open_hidden_nursery() as nursery:
            self._nursery = nursery
            try:
                self._send_unsent_soon()
                await self._delivery.run(sink)
            finally:
                self._nursery = None
            nursery.cancel_scope.cancel()

    def take_message(self, message: bytes | str) -> None:
        """Takes a message of Asterisk's."""
        if isinstance(message, str):
            self._take_event(message)
            return
        size = len(message)
        if size & self._odd or not 0 < size <= MAX_RECEIVED_BYTES:
            self._take_odd_audio(message)
        elif not self._is_started:
            self._early.append(message)
        elif self._stale.passes(size, now := trio.current_time()):
            self._delivery.sink.audio(message)
        else:
            for audio in self._stale.take(message, now):
                self._delivery.sink.audio(audio)

    def _take_odd_audio(self, audio: bytes) -> None:
        size = len(audio)
        if size:
            what = f"a message of {size} bytes, of which at most {MAX_RECEIVED_BYTES} are taken"
            if size <= MAX_RECEIVED_BYTES:
                what = f"{size} bytes of audio, which is no whole number of 16-bit samples"
            raise TransportError(f"Asterisk sent {what}; let only Asterisk's Dial(WebSocket/...) connect here")

    def _take_event(self, text: str) -> None:
        event = decode_event(text)
        if not self._is_started:
            if not isinstance(event, MediaStart):
                raise TransportError(
                    f"the connection began with {type(event).__name__} instead of MEDIA_START; let only Asterisk's "
                    "Dial(WebSocket/...) or external media connect here"
                )
            self._start(event)
        elif isinstance(event, MarkProcessed):
            if event.correlation_id.isascii() and event.correlation_id.isdecimal():
                self._delivery.sink.heard(int(event.correlation_id[:18]))
        elif isinstance(event, DtmfEnd):
            if event.digit and event.digit in DTMF_DIGITS:  # Asterisk reports fax tones as keys too
                self._delivery.sink.dtmf(event.digit)
        elif isinstance(event, QueueFull):
            self._flow.take(event.full)
            self._change_flow()
        elif isinstance(event, MediaStart):
            raise TransportError("a second MEDIA_START came in mid-call; let only Asterisk connect here")
        elif isinstance(event, ErrorReported):
            _log.warning(
                "call %s: Asterisk could not carry out a command: %s", self.info.transport_id, event.text[:200]
            )

    def _start(self, start: MediaStart) -> None:
        audio = start.audio
        self.audio, self._is_json = audio, start.is_json
        info = call_info(start, self._query, self._names, self.info.listener)
        self.info = info if info.trace is not None else evolve(info, trace=self.info.trace)
        self._frame_bytes = start.frame_bytes
        self._odd = audio.sample_bytes - 1
        self._stale = StaleAudio(audio.rate * audio.sample_bytes, self.info.transport_id)
        self._is_started = True
        self._started.set()
        early = list(self._early)
        self._early.clear()
        for message in early:
            self.take_message(message)

    def closed(self, reason: str) -> None:
        """Takes the end of the connection."""
        for audio in self._stale.release():
            self._delivery.sink.audio(audio)
        self._delivery.end(reason)
        self._end()
        self._closed.set()

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what receiving or delivering raised."""
        self._delivery.fail(error)
        self._end()

    def _end(self) -> None:
        self._has_ended = True
        self._started.set()
        self._change_flow()

    # --- What goes to Asterisk --------------------------------------------------------------------------------------

    def write(self, audio: bytes | memoryview) -> bool:
        """Sends audio and never blocks; False if nothing was taken. After the call's end, audio is dropped."""
        if self._has_ended:
            return True
        now = trio.current_time()
        if self._flow.wait_s(now) or not self._send_unsent():
            return False
        if rest := len(audio) % self._frame_bytes:
            missing = (self._frame_bytes - rest) // self.audio.sample_bytes
            audio = bytes(audio) + self.audio.silence * missing
        most = max(MAX_AUDIO_BYTES // self._frame_bytes, 1) * self._frame_bytes
        if not self._socket.send_nowait(bytes(audio[:most])):
            return False
        for at in range(most, len(audio), most):
            self._send(bytes(audio[at : at + most]))
        self._flow.sent(self.audio.ms_in(len(audio)) / 1000, now)
        return True

    async def wait_writable(self) -> None:
        """Returns when there is room for another `write`, or the call is over."""
        await trio.lowlevel.checkpoint()
        while not self._has_ended:
            if wait_s := self._flow.wait_s(trio.current_time()):
                with trio.move_on_after(wait_s):
                    await self._flow_changed.wait()
                continue
            await self._socket.wait_writable()
            if self._send_unsent():
                return

    def clear(self) -> None:
        """Drops all audio that Asterisk has not played yet, and what it was not sent yet."""
        if self._has_ended:
            return
        # Marks of audio that is dropped need no report.
        self._unsent.clear()
        self._send_command("FLUSH_MEDIA")
        self._flow.flushed()
        self._change_flow()

    def mark(self, mark: int) -> None:
        """Requests `sink.heard(mark)` for when the audio written so far was played."""
        if not self._has_ended:
            self._send_command("MARK_MEDIA", str(mark))

    async def transfer(self, target: str) -> None:  # noqa: ARG002 - the dialplan asks the engine for it
        """Hangs up; the dialplan goes on after `Dial()`."""
        await self.hang_up()

    async def send_dtmf(self, digits: str) -> None:
        """Unsupported (not in `can`): chan_websocket carries keys only from Asterisk."""
        raise NotImplementedError(f"chan_websocket can't send the keys {digits}")

    async def hang_up(self) -> None:
        """Ends the call with HANGUP and waits for Asterisk to close, for at most `HANGUP_S`; no-op if it has ended.

        Audio that Asterisk has not played yet is not heard. When cancelled, what waits has `GOODBYE_S` to be sent.
        """
        if self._left is not None:
            await self._left.wait()
            return
        self._left = trio.Event()
        self._delivery.stop()
        try:
            if self._is_started and not self._has_ended and not self._socket.has_ended:
                await self._send_hangup()
            self._end()
            await self._socket.close()
        finally:
            self._left.set()

    async def _send_hangup(self) -> None:
        self._send_command("HANGUP")
        self._end()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_S):
            while not self._send_unsent():
                await self._socket.wait_writable()
        with trio.move_on_after(HANGUP_S):
            await self._closed.wait()

    def _send_command(self, command: Command, correlation_id: str = "") -> None:
        self._send(encode_command(command, correlation_id, as_json=self._is_json))

    def _send(self, message: bytes | str) -> None:
        """Sends a message after all before it, now or when there is room."""
        if not self._send_unsent() or not self._socket.send_nowait(message):
            self._unsent.append(message)
            self._send_unsent_soon()

    def _send_unsent(self) -> bool:
        """Sends what waits as far as there is room; False if something still waits."""
        while self._unsent:
            if not self._socket.send_nowait(self._unsent[0]):
                return False
            self._unsent.popleft()
        return True

    def _send_unsent_soon(self) -> None:
        if self._unsent and not self._is_sending and self._nursery is not None:
            self._is_sending = True
            self._nursery.start_soon(self._send_when_writable)

    async def _send_when_writable(self) -> None:
        try:
            while not self._send_unsent():
                await self._socket.wait_writable()
        finally:
            self._is_sending = False

    def _change_flow(self) -> None:
        self._flow_changed.set()
        self._flow_changed = trio.Event()
