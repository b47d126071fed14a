"""One connection of a stream: what is said to Deepgram, what it answers, and how long for."""

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
"""How long to wait for the final transcript that was asked for, once Deepgram has heard so far, in s."""

NEAR_MS = 1000
"""How far it may be behind with what it reports, in ms."""

PIECE_MS = 250
"""How much audio a message holds at most, in ms."""

SILENCE_MS = 100
"""What is sent where only audio keeps a connection open, in ms."""

LOUD = 300
"""From what level on, of 32767, audio may be speech, so that Deepgram owes an answer to it."""


@frozen
class ListenTimeouts:
    """How long a stream waits for what, in s."""

    connect_s: float
    """For a connection; for one that broke, all attempts together."""
    answer_s: float
    """For any message at all while one is due."""
    keep_alive_s: float
    """With nothing to send, before it says that it is still there."""


class Outbox:
    """What a stream has to say, over whichever connection."""

    def __init__(self, audio: AudioFormat, listen: Listen) -> None:
        self.audio = audio
        """The format of its audio."""
        self.replay = ReplayBuffer(audio)
        """The audio."""
        self.sent = 0
        """How much of it the present connection has got; a position in `replay`."""
        self.listen = listen
        """What is expected."""
        self.finishing = False
        """Whether no more audio comes."""
        self._news = self._progress = trio.Event()

    def wake(self) -> None:
        """There is something to say."""
        self._news.set()

    def moved(self) -> None:
        """Something was said, or nothing will be any more."""
        self._progress.set()

    async def news(self) -> None:
        """Waits for something to say."""
        self._news = trio.Event()
        await self._news.wait()

    async def progress(self) -> None:
        """Waits until something was said."""
        self._progress = trio.Event()
        await self._progress.wait()


class ListenSession:
    """One connection, from the first audio that no final transcript covers.

    Args:
        connection: a new one.
        listen: what it was opened with.
        assembler: what was recognised on those before, and makes events of what comes.
        outbox: what there is to say.
        patience: how long to wait.
        tell: takes the events.

    """

    def __init__(
        self,
        connection: DeepgramWebSocket,
        listen: Listen,
        assembler: TranscriptAssembler,
        outbox: Outbox,
        *,
        patience: ListenTimeouts,
        tell: Callable[[Iterable[TranscriptEvent]], Awaitable[None]],
    ) -> None:
        self._connection, self._assembler, self._outbox = connection, assembler, outbox
        self._patience, self._tell = patience, tell
        self.stalled = False
        """Whether it ended because nothing came."""
        self._timeline = Timeline(outbox.replay.ms(outbox.replay.start))
        self._told = assembler.changes(listen)
        self._closing = False  # the server was told to end
        self._finalise = False  # a final transcript is to be asked for
        self._had_audio = False
        self._said_at = trio.current_time()
        self._loud_ms = 0  # how far audio reaches that may be speech
        self._owed = False  # whether such audio was sent since the last message
        self._due_since = self._final_since = inf
        self._held_until = -inf  # audio that belongs to the next utterance
        self._waiting = trio.CancelScope()

    async def run(self) -> None:
        """Says and hears until Deepgram has said everything.

        Raises:
            ComponentError: the connection broke, Deepgram reports an error, or nothing comes although it should.

        """
        replay = self._outbox.replay
        self._outbox.sent = replay.start
        await self._tell(self._assembler.connected(self._timeline, replay.ms(replay.end)))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak)
            failure = await self._hear()
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # --- Speaking ------------------------------------------------------------------------------------------------

    async def _speak(self) -> None:
        try:
            while not self._closing:
                await self._say_next()
        except ComponentError:
            pass  # who hears is told too

    async def _say_next(self) -> None:
        """Says what is next: audio up to the next end of an utterance, or else whatever else there is."""
        outbox, assembler = self._outbox, self._assembler
        asks = len(assembler.waiting) > assembler.asked
        until = outbox.replay.end
        if asks:
            until = min(until, outbox.audio.bytes_in(assembler.waiting[assembler.asked]))
        if self._finalise and assembler.can_finalise:
            self._finalise = False
            await self._say(assembler.finalise_by)
        elif assembler.asked and trio.current_time() < self._held_until:
            await self._idle()
        elif piece := outbox.replay.read(outbox.sent, until, PIECE_MS):
            await self._send(piece)
        elif asks:
            await self._reach_end_of_utterance()
        elif not assembler.reconfiguring and (changes := assembler.changes(outbox.listen)) != self._told:
            self._told, assembler.reconfiguring = changes, True
            await self._connection.configure(changes or {})
            self._said_at = trio.current_time()
        elif outbox.finishing:
            self._closing = True
            await self._say("send_close_stream")
            self._expect()
        else:
            await self._idle()

    async def _say(self, method: str, *args: Any) -> None:
        await self._connection.call(getattr(self._connection.sdk, method), *args)
        self._said_at = trio.current_time()

    async def _send(self, piece: bytes) -> None:
        outbox = self._outbox
        outbox.sent += len(piece)
        self._timeline.sent_ms = outbox.replay.ms(outbox.sent)
        await self._say("send_media", piece)
        self._had_audio = True
        outbox.replay.forget(self._assembler.covered_ms, outbox.sent)
        outbox.moved()
        if level(to_pcm16(piece, outbox.audio.encoding)) >= LOUD:
            self._loud_ms, self._owed = outbox.replay.ms(outbox.sent), True
            if self._assembler.reports:
                self._expect()

    async def _reach_end_of_utterance(self) -> None:
        """Everything was said that a final transcript was asked for."""
        assembler, now = self._assembler, trio.current_time()
        assembler.asked += 1
        self._finalise = True
        if not assembler.finalises_in_order:
            self._held_until = now + FINAL_S
        if self._loud_ms > assembler.covered_ms:
            self._expect()
        elif self._final_since == inf:
            self._final_since = now
        known = assembler.reached()
        self._settle()
        await self._tell(known)

    async def _idle(self) -> None:
        """Waits for something to say; says that it is still there when there is nothing for long."""
        silent_until = self._said_at + self._patience.keep_alive_s
        held_until = self._held_until if self._held_until > trio.current_time() else inf
        with trio.move_on_at(min(silent_until, held_until)) as quiet:
            await self._outbox.news()
        if quiet.cancelled_caught and trio.current_time() >= silent_until:
            await self._keep_alive()

    async def _keep_alive(self) -> None:
        if self._assembler.keep_alive_by is not None:
            await self._say(self._assembler.keep_alive_by)
        if self._assembler.keep_alive_by is None or not self._had_audio:
            # Without any audio Deepgram closes in spite of keep-alive messages.
            silence = self._outbox.audio.silence * (self._outbox.audio.rate * SILENCE_MS // 1000)
            self._timeline.pad(self._outbox.replay.ms(self._outbox.sent), SILENCE_MS)
            await self._say("send_media", silence)
            self._had_audio = True

    # --- Hearing -------------------------------------------------------------------------------------------------

    async def _hear(self) -> ComponentError | None:
        """Passes on what Deepgram says, until it has said everything; what went wrong, if anything did."""
        while True:
            message = None
            try:
                with trio.CancelScope() as self._waiting:
                    self._arm()
                    message = await self._connection.receive()
                if self._waiting.cancelled_caught:
                    await self._lose_patience()
                    continue
                if message is None:
                    return self._closed()
                await self._take(message)
            except ComponentError as failure:
                return failure
            if self._closing and self._assembler.over:
                return None

    def _closed(self) -> ComponentError | None:
        """What is wrong with a proper end of the connection; None: nothing."""
        if not self._closing:
            return closed(1000, "", self._connection.request_id)
        return ComponentError("ended without an answer to what was said") if self._owed else None

    async def _take(self, message: Any) -> None:
        assembler, now = self._assembler, trio.current_time()
        asked = assembler.asked
        events = assembler.hear(message)
        self._owed = False
        self._due_since = now if self._closing else inf
        near = bool(assembler.waiting) and assembler.heard_ms + NEAR_MS >= assembler.waiting[0]
        if assembler.asked < asked or (near and self._final_since == inf):
            self._final_since = now
        self._settle()
        await self._tell(events)
        self._outbox.replay.forget(assembler.covered_ms, self._outbox.sent)
        self._outbox.wake()  # it may have been waited for

    async def _lose_patience(self) -> None:
        """Nothing comes: that is the end, or a final transcript is made of what is known."""
        now = trio.current_time()
        if self._due_since + self._patience.answer_s <= now:
            self.stalled = True
            raise ComponentError(f"nothing came for {self._patience.answer_s:g} s")
        known = self._assembler.answer()
        self._final_since = now
        self._settle()
        await self._tell(known)

    def _settle(self) -> None:
        """Waits for a final transcript no longer than one is asked for."""
        if self._assembler.asked == 0:
            self._final_since, self._finalise = inf, False
        self._arm()

    def _expect(self) -> None:
        """A message is due from now on, if none was before."""
        self._due_since = min(self._due_since, trio.current_time())
        self._arm()

    def _arm(self) -> None:
        """Sets how long the next message is waited for."""
        self._waiting.deadline = min(self._due_since + self._patience.answer_s, self._final_since + FINAL_S)
