"""Speaking: a reply's text as speech in playout, by the synthesiser, or by the next one when that fails."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from attrs import frozen

from voicepipe.audio import open_converter
from voicepipe.calls.failover import Alternatives, BudgetExceeded
from voicepipe.calls.replies.composing import compose
from voicepipe.calls.replies.heard import Segment, split_spoken
from voicepipe.calls.replies.playout import Playout
from voicepipe.components.boundary import raised_in_use, refuse
from voicepipe.components.events import SpeechAudio
from voicepipe.components.validation import fault_of_output
from voicepipe.config.call_settings import BudgetsSettings
from voicepipe.errors import ComponentError, without_frames
from voicepipe.nurseries import forget_cancellation, open_hidden_nursery
from voicepipe.pipelines.snapshot import OpenedLanguageModel, OpenedTextToSpeech
from voicepipe.text.spoken.settings import SpeechSettings

if TYPE_CHECKING:
    from voicepipe.audio import Converter
    from voicepipe.calls.failover import Attempts
    from voicepipe.calls.replies.reply import SpokenReply
    from voicepipe.components.protocols import SpeechStream
    from voicepipe.components.requests import ReplyRequest
    from voicepipe.pipelines.snapshot import CachedSpeech

NEAR_S = 0.01
"""How far a deadline may be off, in s: moving it costs more than all else that is done about 20 ms of speech."""


@frozen
class Speaker:
    """What turns a call's replies into speech."""

    models: Alternatives[OpenedLanguageModel]
    """Who is asked for the text."""
    voices: Alternatives[OpenedTextToSpeech]
    """Who speaks it."""
    states: Mapping[str, Any]
    """What each model, by key, left in its last `ReplyDone.state`."""
    fits: dict[str, int]
    """How much of the conversation each model takes, by key, that has refused more."""
    budgets: BudgetsSettings
    """How long they may take."""
    playout: Playout
    """Where the speech goes, and in which format."""
    speech: SpeechSettings
    """What is made of the text before it is spoken."""

    async def speak(self, reply: SpokenReply) -> None:
        """Streams a reply: text from the model, in pieces to the synthesiser, its speech into playout.

        Returns when all of it has been heard.

        Raises:
            ComponentError: no model or no voice is left; `role` says which. What the model said is spoken first.

        """
        if reply.recorded is not None:
            self._play(reply, reply.recorded)
        else:
            from voicepipe.text.spoken.wording import Wording  # noqa: PLC0415 - 20 ms; a pipeline that opens has done it already

            reply.wording = Wording(self.speech)
            if reply.request is None:
                reply.add([reply.announcement])
                reply.end()
                await self._say(reply)
            else:
                async with open_hidden_nursery() as nursery:
                    nursery.start_soon(self._write, reply, reply.request)
                    await self._say(reply)
        if reply.failure is None or reply.segments:
            self.playout.finish(reply.playout_reply)
            await self.playout.wait_played(reply.playout_reply)
        failure, reply.failure = reply.failure, None
        try:
            if failure is not None:
                raise failure
        finally:
            del failure

    def _play(self, reply: SpokenReply, recorded: CachedSpeech) -> None:
        audio = self.playout.audio
        converter = open_converter(recorded.format, audio, live=False)
        speech = recorded.audio if converter is None else converter.convert(recorded.audio) + converter.finish()
        reply.segments.append(Segment(reply.announcement, 0.0, audio.ms_in(len(speech)), complete=True))
        self.playout.add(reply.playout_reply, speech)

    async def _write(self, reply: SpokenReply, request: ReplyRequest) -> None:
        try:
            known, limits = (self.states, self.fits), self.budgets.llm
            with forget_cancellation():
                await compose(reply, request, self.models, *known, budgets=limits, speech=self.speech)
        except ComponentError as error:
            reply.failure = without_frames(error)
        reply.end()

    async def _say(self, reply: SpokenReply) -> None:
        """Has a reply's segments spoken, each once, by whichever voice works.

        A voice is opened while the model thinks, so it may fail for a reply that turns out to have no words (left): it
        calls a tool, say. Such a reply needs no voice.

        Raises:
            ComponentError: no voice is left, and words are.

        """
        first = 0
        try:
            with await self.voices.begin(self.budgets.tts.connect_ms) as attempts:
                while True:
                    voice = _Voice(self, reply, attempts, first)
                    try:
                        await voice.run()
                    except ComponentError as error:
                        first = voice.resume_at()
                        await attempts.failed(error)
                    else:
                        return
        except ComponentError:
            if await reply.wait_for_words(first):
                raise


class _Voice:
    """One voice's share of a reply: its segments from one on."""

    def __init__(
        self, speaker: Speaker, reply: SpokenReply, attempts: Attempts[OpenedTextToSpeech], first: int
    ) -> None:
        self._reply, self._attempts, self._first = reply, attempts, first
        self._voice = attempts.current
        self._budgets, self._playout, self._audio = speaker.budgets.tts, speaker.playout, speaker.playout.audio
        self._converter: Converter | None = None
        self._scope = trio.CancelScope()
        self._heard_of = first - 1  # the last segment that audio has come of
        self._sent = first  # segments before it were sent
        self._due = first - 1  # the last segment that was sent and has words
        self._asked_all = False
        self._is_paced = False  # what it says waits for the caller to listen
        self._is_idle = False  # the text is complete, and nothing of it is for this voice
        self._late = "", 0
        self._starved_ms = 0.0  # how long the caller has waited within the segment

    async def run(self) -> None:
        """Speaks all there is and all that comes.

        Raises:
            ComponentError: the voice failed, took too long, or left something out.

        """
        if self._reply.complete and not self._reply.owes_words(self._first):
            return
        self._reply.on_complete = self._leave_if_idle
        try:
            await self._run()
        finally:
            self._reply.on_complete = None  # no circle for the garbage collector

    async def _run(self) -> None:
        component = self._voice.component
        output = component.output_for(self._audio)
        refuse(fault_of_output(output), self._voice.who)
        self._converter = open_converter(output, self._audio, live=False)
        with self._scope:
            self._wait("was not open", self._budgets.connect_ms)
            try:
                async with component.open_stream(output, None) as speech, trio.open_nursery() as nursery:
                    self._scope.deadline = inf
                    nursery.start_soon(self._send, speech)
                    await self._receive(speech)
            except BaseExceptionGroup as group:
                failure = raised_in_use(group, self._voice.who)
            else:
                return
            try:
                raise failure
            finally:
                del failure
        if self._scope.cancelled_caught and not self._is_idle:
            what, within_ms = self._late
            raise self._budget_exceeded(f"{what} within {within_ms} ms")

    def resume_at(self) -> int:
        """Where the next voice goes on: at the first segment that was not heard. One that is being heard is split."""
        segments = self._reply.segments
        for index in range(self._first, len(segments)):
            segment = segments[index]
            if segment.complete:
                continue
            if segment.start_ms is None:
                return index
            if self._playout.played_ms <= segment.start_ms:
                self._playout.take_back(self._reply.playout_reply, segment.start_ms)
                segments[index] = Segment(segment.text, spoken=segment.spoken)
                return index
            rest = split_spoken(segments, index)
            segment.complete = True
            if rest is not None:
                segments.insert(index + 1, rest)
            return index + 1
        return len(segments)

    async def _send(self, speech: SpeechStream) -> None:
        """Sends the reply's text as it comes."""
        reply = self._reply
        with forget_cancellation():
            while True:
                while self._sent < len(reply.segments):
                    index, self._sent = self._sent, self._sent + 1
                    if reply.segments[index].has_words:
                        self._due = index
                    if self._scope.deadline == inf:
                        self._expect()
                    await speech.send(reply.segments[index].spoken, index - self._first)
                if reply.complete:
                    break
                reply.grown = trio.Event()
                await reply.grown.wait()
            self._asked_all = True  # before finish() lets `_receive` see the end
            await speech.finish()
            if self._scope.deadline == inf:
                self._expect()

    def _leave_if_idle(self) -> None:
        """Leaves the stream of a reply that turns out to have no words for it, however the service would end one."""
        if self._sent == self._first and not self._reply.owes_words(self._first):
            self._is_idle = True
            self._scope.cancel()

    async def _receive(self, speech: SpeechStream) -> None:
        """Moves speech into playout, and keeps account of which text lies where."""
        while (event := await speech.receive()) is not None:
            if not 0 <= event.segment < self._sent - self._first:
                refuse(f"spoke segment {event.segment}, which it was not given", self._voice.who)
            segment = self._reply.segments[event.segment + self._first]
            if isinstance(event, SpeechAudio):
                await self._play(event, segment)
            else:
                segment.marks.append((event.at_ms, event.chars))
            self._expect()
        self._scope.deadline = inf
        missing = (segment for segment in self._reply.segments[self._first :] if segment.start_ms is None)
        if not self._asked_all or any(segment.has_words for segment in missing):
            who = self._voice.who
            raise ComponentError("ended without speaking all of its text", component=who.name, role=who.role)
        if self._converter is not None:
            await self._playout.play(self._reply.playout_reply, self._converter.finish())
        for segment in self._reply.segments:
            segment.complete = True

    async def _play(self, event: SpeechAudio, segment: Segment) -> None:
        playout, reply = self._playout, self._reply
        if segment.start_ms is None:
            if reply.first_audio_at is None:
                reply.first_audio_at = trio.current_time()
            if self._heard_of < self._first:
                self._attempts.succeeded()
            self._starved_ms = 0.0
            segment.start_ms = playout.queued_ms
            self._heard_of = event.segment + self._first
            for earlier in reply.segments[: self._heard_of]:
                earlier.complete = True
        else:
            self._note_starving()
        speech = event.audio if self._converter is None else self._converter.convert(event.audio)
        segment.end_ms = playout.queued_ms + self._audio.ms_in(len(speech))
        playout.add(reply.playout_reply, speech)
        if playout.is_full:
            self._is_paced = True  # waiting for the caller to listen is not the voice's fault
            self._expect()
            await playout.wait_for_room(reply.playout_reply)
            self._is_paced = False

    def _note_starving(self) -> None:
        """Speech that drips is no speech, even if no gap is long."""
        self._starved_ms += self._playout.silent_ms
        if self._starved_ms > self._budgets.gap_ms:
            raise self._budget_exceeded(f"kept the caller waiting for {self._budgets.gap_ms} ms within a sentence")

    def _budget_exceeded(self, what: str) -> BudgetExceeded:
        hint = "budgets.tts sets how long it may take"
        return BudgetExceeded(what, component=self._voice.who.name, role="tts", hint=hint)

    def _expect(self) -> None:
        """Sets the time by which the next audio is due, if any is."""
        if self._is_paced:
            self._scope.deadline = inf
        elif self._heard_of < self._due:
            self._wait("gave no audio", self._budgets.first_audio_ms)
        elif self._asked_all:
            self._wait("gave nothing more", self._budgets.gap_ms)
        else:
            self._scope.deadline = inf

    def _wait(self, what: str, within_ms: int) -> None:
        self._late = what, within_ms
        deadline = trio.current_time() + within_ms / 1000
        if not 0 <= deadline - self._scope.deadline < NEAR_S:
            self._scope.deadline = deadline
