"""One WebSocket of a Deepgram stream: what is sent, what is received, and every timer in between.

Theory of operation
===================

A stream (`stt_stream.DeepgramTranscriptStream`) lives as long as a call; a connection (`ListenSession`) lives until it
breaks. What must survive a break is held outside of the connection:

- `Outbox`: the audio that no final transcript covers yet (`ReplayBuffer`), what is expected next, and whether the
  stream is finishing. Positions in it count from the beginning of the *stream*.
- `TranscriptAssembler` (`Nova` or `Flux`): what was recognised, and which ends of utterances still wait for a final.

A new connection starts at `replay.start`, so Deepgram hears everything again that it has not put into a final
transcript. Its own clock starts at zero each time; `Timeline` maps its times to the stream's, and takes out silence
that was sent only to keep the connection open.

Sending needs no task. Whatever changes (`send_nowait` of the stream, an end of an utterance, a message, a timer) calls
`advance`, which takes one step after the other (`_step`) until nothing is due. The order of its cases is the protocol:
first a due request for a final, then audio up to the next end of an utterance, then that end itself, then changed
keyterms, then the end of the stream, then a keep-alive. So a caller's audio goes from the line to Deepgram's socket in
one go. If the socket is full, a task waits for it (`_flush`), and then goes on. A step that fails just ends the
sending, because the receiving task gets the same error from the same socket, with a better reason.

One task receives: `run` turns messages into events, and is the only one to raise. It waits in a cancel scope with the
deadline of the earliest timer. `_wake_by` only ever makes that deadline earlier; a timer that was put off meanwhile is
not due when the deadline comes, and is waited for again. So audio that is sent, which puts off the keep-alive a dozen
times a second, touches no deadline.

Ends of utterances. `end_utterance()` notes the position (`assembler.waiting`). When all audio before it was sent, the
end counts as `asked`, and Deepgram is told to finalise. Nova finalises in order: what was sent before, nothing of what
comes after. Flux ends the turn wherever recognition has got to, so audio of the next utterance is held back until the
final has come (`_hold_until`).

The timers, all on trio's clock:

==================  =====================  =============================================================================
timer               default                starts; what happens when it is over
==================  =====================  =============================================================================
connect             `connect_timeout_s`    An attempt to connect starts; the attempt fails (`open_websocket`).
reconnect           `connect_timeout_s`    A connection breaks; all attempts together have this long, then the stream
                                           fails with the last error (`stt_stream`).
pause               `PAUSES_S`             Before each attempt of a reconnect. A third break within `FORGIVEN_S` is not
                                           mended any more: the call's failover is quicker.
keep-alive          `keep_alive_s`         Something was sent; with nothing more to send, a KeepAlive is (Nova), or
                                           100 ms of silence (Flux, and any connection that has had no audio yet).
                                           Deepgram hangs up after 10 s without either.
answer              `timeout_s`            Speech was sent, or the stream is closing; without any message by then the
                                           stream fails, and is not opened again, which would double the silence.
final               `FINAL_S`              Recognition has got to the end of an utterance; a final is then made of the
                                           partial transcript, since Deepgram does not always send one.
hold                `FINAL_S`              Flux was told to finalise; audio of the next utterance then goes on.
close               `client.CLOSE_S`       The stream is left; the connection is cut if Deepgram has not closed it.
==================  =====================  =============================================================================

The answer timer starts only for audio that is loud enough to be speech (`LOUD`): of silence Deepgram owes nothing, and
a caller may be silent for minutes. Audio is dropped from the replay buffer when a final covers it, or `MOST_KEPT_MS`
after it was sent.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from voicepipe.adapters.deepgram.errors import closed
from voicepipe.adapters.deepgram.replay_buffer import ReplayBuffer, Timeline
from voicepipe.audio import level, to_pcm16
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from voicepipe.adapters.deepgram.client import DeepgramWebSocket
    from voicepipe.adapters.deepgram.transcript_assembler import TranscriptAssembler
    from voicepipe.audio import AudioFormat
    from voicepipe.components.events import TranscriptEvent
    from voicepipe.components.requests import Listen

FINAL_S = 1.0
"""How long to wait for a final transcript once recognition has got to the end of the utterance, in s."""

NEAR_MS = 1000
"""How far what Deepgram reports may be behind what it has recognised, in ms."""

PIECE_MS = 250
"""The most audio in a message, in ms."""

SILENCE_MS = 100
"""How much silence is sent where only audio keeps a connection open, in ms."""

FORGET_MS = 1000
"""How much audio is sent before covered audio is dropped from the replay buffer again, in ms."""

LOUD = 300
"""The RMS level, of 32767, from which audio may be speech, so that Deepgram owes an answer."""

CLOSE_STREAM = {"type": "CloseStream"}
"""The message that ends a stream: Deepgram recognises what it has, and closes."""


@frozen
class ListenTimeouts:
    """The timeouts of a stream that its options set, in s; the theory of operation above says what each bounds."""

    connect_s: float
    """Until a connection is open; after a break, for all attempts together."""
    answer_s: float
    """Until any message comes while Deepgram owes one."""
    keep_alive_s: float
    """From the last message sent to the next keep-alive."""


class Outbox:
    """What a stream has to send; it outlives each connection."""

    def __init__(self, audio: AudioFormat, listen: Listen) -> None:
        self.audio = audio
        """The format of its audio."""
        self.replay = ReplayBuffer(audio)
        """The audio."""
        self.sent = 0
        """The position in `replay` up to which the present connection was sent the audio."""
        self.listen = listen
        """What the conversation expects next."""
        self.finishing = False
        """Whether no more audio comes."""
        self._sent_more: trio.Event | None = None

    def notify_sent(self) -> None:
        """Wakes whoever waits in `wait_sent`: audio was sent, or none will be any more."""
        if self._sent_more is not None:
            self._sent_more.set()
            self._sent_more = None

    async def wait_sent(self) -> None:
        """Waits until `notify_sent` is called."""
        self._sent_more = trio.Event()
        await self._sent_more.wait()


class ListenSession:
    """One connection, which sends the stream from the first audio that no final transcript covers.

    Args:
        connection: a new connection.
        listen: what the connection was opened to expect.
        assembler: what was recognised on earlier connections; makes events of messages.
        outbox: what there is to send.
        timeouts: how long to wait for what.
        emit: takes the events.

    """

    def __init__(
        self,
        connection: DeepgramWebSocket,
        listen: Listen,
        assembler: TranscriptAssembler,
        outbox: Outbox,
        *,
        timeouts: ListenTimeouts,
        emit: Callable[[Iterable[TranscriptEvent]], None],
    ) -> None:
        self._connection, self._assembler, self._outbox = connection, assembler, outbox
        self._timeouts, self._emit = timeouts, emit
        self.stalled = False
        """Whether `run` failed because the answer timer ran out."""
        self._timeline = Timeline(outbox.replay.ms(outbox.replay.start))
        self._most_bytes = outbox.audio.bytes_in(PIECE_MS)
        self._forget_at_ms = 0
        self._configured = assembler.changes(listen)
        self._closing = False  # CloseStream was sent
        self._finalise_due = False  # the next step asks for a final transcript
        self._had_audio = False
        self._sent_at = trio.current_time()
        self._speech_ms = 0  # where in the stream the last audio ends that may be speech
        self._answer_owed = False  # whether such audio was sent since the last message came
        self._answer_since = self._final_since = inf
        self._hold_until = -inf  # until then audio of the next utterance waits
        self._waiting = trio.CancelScope()
        self._nursery: trio.Nursery | None = None  # None: nothing is sent
        self._is_flushing = False
        self._silence_due = False  # the keep-alive that was sent is to be followed by silence

    async def run(self, wait_for_room: Callable[[], Awaitable[float]]) -> None:
        """Sends and receives until Deepgram has sent everything, after the stream has finished.

        Args:
            wait_for_room: returns when more events may be emitted, and how long that took, in s: until then nothing
                is received.

        Raises:
            ComponentError: the connection broke, Deepgram reports an error, or an answer is overdue.

        """
        self._outbox.sent = self._outbox.replay.start
        self._emit(self._assembler.connected(self._timeline))
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            self.advance()
            failure = await self._receive_all(wait_for_room)
            self._nursery = None
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # --- Sending ------------------------------------------------------------------------------------------------

    def send_nowait(self, audio: bytes) -> None:
        """Takes the next audio of the stream, and sends whatever is due."""
        outbox = self._outbox
        outbox.replay.append(audio)
        if (
            outbox.sent + len(audio) == outbox.replay.end
            and len(audio) <= self._most_bytes
            and not (self._assembler.waiting or self._finalise_due or self._closing or self._is_flushing)
            and self._nursery is not None
            and self._connection.is_flushed
        ):
            # As a rule: all else was sent, and no end of an utterance lies in between.
            try:
                self._send_audio(audio)
            except ComponentError:
                return  # the receiving task gets an error from the same socket
            if self._connection.is_flushed:
                return
        self.advance()

    def advance(self) -> None:
        """Sends whatever is due, as far as the socket takes it."""
        try:
            while self._nursery is not None and not self._is_flushing:
                if not self._connection.is_flushed:
                    self._is_flushing = True
                    self._nursery.start_soon(self._flush)
                elif self._closing or not self._step():
                    return
        except ComponentError:
            pass  # the receiving task gets an error from the same socket

    async def _flush(self) -> None:
        """Waits until the socket has taken everything, then goes on."""
        try:
            await self._connection.flush()
        except ComponentError:
            return  # the receiving task gets an error from the same socket
        self._is_flushing = False
        self.advance()
        self._wake_by(self._next_timer())

    def _step(self) -> bool:
        """Takes the next step: sends audio up to the next end of an utterance, or else whatever is due.

        Returns:
            Whether there was one.

        """
        outbox, assembler = self._outbox, self._assembler
        end_is_next = len(assembler.waiting) > assembler.asked
        until = outbox.replay.end
        if end_is_next:
            until = min(until, outbox.audio.bytes_in(assembler.waiting[assembler.asked]))
        if self._finalise_due and assembler.can_finalise:
            self._finalise_due = False
            self._send(assembler.finalise)
        elif assembler.asked and trio.current_time() < self._hold_until:
            self._wake_by(self._hold_until)
            return False
        elif piece := outbox.replay.read(outbox.sent, until, PIECE_MS):
            self._send_audio(piece)
        elif end_is_next:
            self._mark_end_sent()
        elif not assembler.reconfiguring and (changes := assembler.changes(outbox.listen)) != self._configured:
            self._configured, assembler.reconfiguring = changes, True
            self._send({"type": "Configure", **(changes or {})})
        elif outbox.finishing:
            self._closing = True
            self._send(CLOSE_STREAM)
            self._start_answer_timer()
        elif self._silence_due:
            self._send_silence()
        elif trio.current_time() >= self._sent_at + self._timeouts.keep_alive_s:
            self._keep_alive()
        else:
            return False
        return True

    def _send(self, message: bytes | Mapping[str, Any]) -> None:
        self._connection.send_nowait(message)
        self._sent_at = trio.current_time()

    def _send_audio(self, piece: bytes) -> None:
        outbox = self._outbox
        outbox.sent += len(piece)
        self._timeline.sent_ms = sent_ms = outbox.replay.ms(outbox.sent)
        self._send(piece)
        self._had_audio = True
        if sent_ms >= self._forget_at_ms:
            self._forget_at_ms = sent_ms + FORGET_MS
            outbox.replay.forget(self._assembler.covered_ms, outbox.sent)
        outbox.notify_sent()
        if level(to_pcm16(piece, outbox.audio.encoding)) >= LOUD:
            self._speech_ms, self._answer_owed = sent_ms, True
            if self._assembler.reports:
                self._start_answer_timer()

    def _mark_end_sent(self) -> None:
        """Asks for a final transcript, now that all audio of the utterance was sent."""
        assembler, now = self._assembler, trio.current_time()
        assembler.asked += 1
        self._finalise_due = True
        if not assembler.finalises_in_order:
            self._hold_until = now + FINAL_S
        if self._speech_ms > assembler.covered_ms:
            self._start_answer_timer()
        elif self._final_since == inf:
            self._final_since = now
        known = assembler.reached()
        self._reset_final_timer()
        self._emit(known)

    def _keep_alive(self) -> None:
        # Without any audio Deepgram closes in spite of keep-alive messages.
        self._silence_due = self._assembler.keep_alive is None or not self._had_audio
        if self._assembler.keep_alive is not None:
            self._send(self._assembler.keep_alive)

    def _send_silence(self) -> None:
        self._silence_due = False
        silence = self._outbox.audio.silence * (self._outbox.audio.rate * SILENCE_MS // 1000)
        self._timeline.pad(self._outbox.replay.ms(self._outbox.sent), SILENCE_MS)
        self._send(silence)
        self._had_audio = True

    # --- Receiving -------------------------------------------------------------------------------------------------

    async def _receive_all(self, wait_for_room: Callable[[], Awaitable[float]]) -> ComponentError | None:
        """Emits events until Deepgram has sent everything; returns the error that ended it, or None.

        The error is returned, not raised, so that the nursery puts it in no group.
        """
        while True:
            message = None
            try:
                if (waited_s := await wait_for_room()) and self._answer_since < inf:
                    self._answer_since += waited_s  # nobody could have heard an answer
                with trio.CancelScope(deadline=self._next_timer()) as self._waiting:
                    message = await self._connection.receive()
                if self._waiting.cancelled_caught:
                    self._time_out()
                    self.advance()
                    continue
                if message is None:
                    return self._closing_error()
                self._handle(message)
                self.advance()
            except ComponentError as failure:
                return failure
            if self._closing and self._assembler.over:
                return None

    def _closing_error(self) -> ComponentError | None:
        """The error of an orderly close by Deepgram; None if the stream was closing and nothing is owed."""
        if not self._closing:
            return closed(1000, "", self._connection.request_id)
        return ComponentError("ended without an answer to what was said") if self._answer_owed else None

    def _handle(self, message: Mapping[str, Any] | bytes) -> None:
        assembler, now = self._assembler, trio.current_time()
        asked = assembler.asked
        events = assembler.hear(message)
        self._answer_owed = False
        self._answer_since = now if self._closing else inf
        near = bool(assembler.waiting) and assembler.heard_ms + NEAR_MS >= assembler.waiting[0]
        if assembler.asked < asked or (near and self._final_since == inf):
            self._final_since = now
        self._reset_final_timer()
        self._emit(events)
        self._outbox.replay.forget(assembler.covered_ms, self._outbox.sent)

    def _time_out(self) -> None:
        """Handles the timers that are over.

        Raises:
            ComponentError: the answer is overdue.

        """
        now = trio.current_time()
        if self._answer_since + self._timeouts.answer_s <= now:
            self.stalled = True
            raise ComponentError(f"nothing came for {self._timeouts.answer_s:g} s")
        if self._final_since + FINAL_S <= now:
            known = self._assembler.answer()
            self._final_since = now
            self._reset_final_timer()
            self._emit(known)

    # --- Timers ----------------------------------------------------------------------------------------------------

    def _next_timer(self) -> float:
        """The time at which the first of the timers is over."""
        if self._assembler.asked and self._hold_until > trio.current_time():
            sending = self._hold_until  # nothing is sent before
        elif self._is_flushing or self._closing:
            sending = inf
        else:
            sending = self._sent_at + self._timeouts.keep_alive_s
        return min(self._answer_since + self._timeouts.answer_s, self._final_since + FINAL_S, sending)

    def _wake_by(self, at: float) -> None:
        """Has the receiving task look at the timers at that time, if not before."""
        self._waiting.deadline = min(self._waiting.deadline, at)

    def _reset_final_timer(self) -> None:
        """Stops the final timer if no final transcript is asked for any more."""
        if self._assembler.asked == 0:
            self._final_since, self._finalise_due = inf, False
        self._wake_by(self._final_since + FINAL_S)

    def _start_answer_timer(self) -> None:
        """Starts the answer timer, unless it runs."""
        if self._answer_since == inf:
            self._answer_since = trio.current_time()
            self._wake_by(self._answer_since + self._timeouts.answer_s)
