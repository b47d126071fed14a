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

Two tasks work on a connection, so that neither a slow network nor a slow reader stops the other:

- `_send_all` takes one step at a time from `_send_next`, whose order of cases is the protocol: first a due request for
  a final, then audio up to the next end of an utterance, then that end itself, then changed keyterms, then the end of
  the stream; with nothing to do it waits in `_wait_for_work`. A step that fails just ends the task, because the
  receiving task gets the same error from the same socket, with a better reason.
- `_receive_all` turns messages into events and is the only one to raise. It waits in a cancel scope whose deadline
  `_set_deadline` moves whenever one of the two receiving timers changes, from whichever task.

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
    from collections.abc import Awaitable, Callable, Iterable

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

LOUD = 300
"""The RMS level, of 32767, from which audio may be speech, so that Deepgram owes an answer."""


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
        self._work = self._sent_more = trio.Event()

    def wake(self) -> None:
        """Wakes the sending task: there is something to send, or to reconsider."""
        self._work.set()

    def notify_sent(self) -> None:
        """Wakes whoever waits in `wait_sent`: audio was sent, or none will be any more."""
        self._sent_more.set()

    async def wait_work(self) -> None:
        """Waits until `wake` is called."""
        self._work = trio.Event()
        await self._work.wait()

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
        emit: takes the events, and may wait.

    """

    def __init__(
        self,
        connection: DeepgramWebSocket,
        listen: Listen,
        assembler: TranscriptAssembler,
        outbox: Outbox,
        *,
        timeouts: ListenTimeouts,
        emit: Callable[[Iterable[TranscriptEvent]], Awaitable[None]],
    ) -> None:
        self._connection, self._assembler, self._outbox = connection, assembler, outbox
        self._timeouts, self._emit = timeouts, emit
        self.stalled = False
        """Whether `run` failed because the answer timer ran out."""
        self._timeline = Timeline(outbox.replay.ms(outbox.replay.start))
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

    async def run(self) -> None:
        """Sends and receives until Deepgram has sent everything, after the stream has finished.

        Raises:
            ComponentError: the connection broke, Deepgram reports an error, or an answer is overdue.

        """
        replay = self._outbox.replay
        self._outbox.sent = replay.start
        await self._emit(self._assembler.connected(self._timeline))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_all)
            failure = await self._receive_all()
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # --- Sending ------------------------------------------------------------------------------------------------

    async def _send_all(self) -> None:
        try:
            while not self._closing:
                await self._send_next()
        except ComponentError:
            pass  # the receiving task gets an error from the same socket

    async def _send_next(self) -> None:
        """Does the next step: sends audio up to the next end of an utterance, else whatever else is due, or waits."""
        outbox, assembler = self._outbox, self._assembler
        end_is_next = len(assembler.waiting) > assembler.asked
        until = outbox.replay.end
        if end_is_next:
            until = min(until, outbox.audio.bytes_in(assembler.waiting[assembler.asked]))
        if self._finalise_due and assembler.can_finalise:
            self._finalise_due = False
            await self._command(assembler.finalise_by)
        elif assembler.asked and trio.current_time() < self._hold_until:
            await self._wait_for_work()
        elif piece := outbox.replay.read(outbox.sent, until, PIECE_MS):
            await self._send_audio(piece)
        elif end_is_next:
            await self._mark_end_sent()
        elif not assembler.reconfiguring and (changes := assembler.changes(outbox.listen)) != self._configured:
            self._configured, assembler.reconfiguring = changes, True
            await self._connection.configure(changes or {})
            self._sent_at = trio.current_time()
        elif outbox.finishing:
            self._closing = True
            await self._command("send_close_stream")
            self._start_answer_timer()
        else:
            await self._wait_for_work()

    async def _command(self, method: str, *args: Any) -> None:
        await self._connection.call(getattr(self._connection.sdk, method), *args)
        self._sent_at = trio.current_time()

    async def _send_audio(self, piece: bytes) -> None:
        outbox = self._outbox
        outbox.sent += len(piece)
        self._timeline.sent_ms = outbox.replay.ms(outbox.sent)
        await self._command("send_media", piece)
        self._had_audio = True
        outbox.replay.forget(self._assembler.covered_ms, outbox.sent)
        outbox.notify_sent()
        if level(to_pcm16(piece, outbox.audio.encoding)) >= LOUD:
            self._speech_ms, self._answer_owed = outbox.replay.ms(outbox.sent), True
            if self._assembler.reports:
                self._start_answer_timer()

    async def _mark_end_sent(self) -> None:
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
        await self._emit(known)

    async def _wait_for_work(self) -> None:
        """Waits for something to send until the hold is over; sends a keep-alive when its timer is over."""
        silent_until = self._sent_at + self._timeouts.keep_alive_s
        held_until = self._hold_until if self._hold_until > trio.current_time() else inf
        with trio.move_on_at(min(silent_until, held_until)) as scope:
            await self._outbox.wait_work()
        if scope.cancelled_caught and trio.current_time() >= silent_until:
            await self._keep_alive()

    async def _keep_alive(self) -> None:
        if self._assembler.keep_alive_by is not None:
            await self._command(self._assembler.keep_alive_by)
        if self._assembler.keep_alive_by is None or not self._had_audio:
            # Without any audio Deepgram closes in spite of keep-alive messages.
            silence = self._outbox.audio.silence * (self._outbox.audio.rate * SILENCE_MS // 1000)
            self._timeline.pad(self._outbox.replay.ms(self._outbox.sent), SILENCE_MS)
            await self._command("send_media", silence)
            self._had_audio = True

    # --- Receiving -------------------------------------------------------------------------------------------------

    async def _receive_all(self) -> ComponentError | None:
        """Emits events until Deepgram has sent everything; returns the error that ended it, or None.

        The error is returned, not raised, so that the nursery puts it in no group.
        """
        while True:
            message = None
            try:
                with trio.CancelScope() as self._waiting:
                    self._set_deadline()
                    message = await self._connection.receive()
                if self._waiting.cancelled_caught:
                    await self._time_out()
                    continue
                if message is None:
                    return self._closing_error()
                await self._handle(message)
            except ComponentError as failure:
                return failure
            if self._closing and self._assembler.over:
                return None

    def _closing_error(self) -> ComponentError | None:
        """The error of an orderly close by Deepgram; None if the stream was closing and nothing is owed."""
        if not self._closing:
            return closed(1000, "", self._connection.request_id)
        return ComponentError("ended without an answer to what was said") if self._answer_owed else None

    async def _handle(self, message: Any) -> None:
        assembler, now = self._assembler, trio.current_time()
        asked = assembler.asked
        events = assembler.hear(message)
        self._answer_owed = False
        self._answer_since = now if self._closing else inf
        near = bool(assembler.waiting) and assembler.heard_ms + NEAR_MS >= assembler.waiting[0]
        if assembler.asked < asked or (near and self._final_since == inf):
            self._final_since = now
        self._reset_final_timer()
        await self._emit(events)
        self._outbox.replay.forget(assembler.covered_ms, self._outbox.sent)
        self._outbox.wake()  # the sending task may wait for this message

    async def _time_out(self) -> None:
        """Handles a deadline: raises if the answer is overdue, else makes the final transcript of what is known."""
        now = trio.current_time()
        if self._answer_since + self._timeouts.answer_s <= now:
            self.stalled = True
            raise ComponentError(f"nothing came for {self._timeouts.answer_s:g} s")
        known = self._assembler.answer()
        self._final_since = now
        self._reset_final_timer()
        await self._emit(known)

    def _reset_final_timer(self) -> None:
        """Stops the final timer if no final transcript is asked for any more."""
        if self._assembler.asked == 0:
            self._final_since, self._finalise_due = inf, False
        self._set_deadline()

    def _start_answer_timer(self) -> None:
        """Starts the answer timer, unless it runs."""
        self._answer_since = min(self._answer_since, trio.current_time())
        self._set_deadline()

    def _set_deadline(self) -> None:
        """Has the receiving task wake when the earlier of the answer and the final timer is over."""
        self._waiting.deadline = min(self._answer_since + self._timeouts.answer_s, self._final_since + FINAL_S)
