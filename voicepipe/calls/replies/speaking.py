"""Speaking: a reply's text as speech in playout, by the synthesiser, or by the next one when that fails.

Theory of operation
-------------------

A reply is made by two tasks and one schedule, which are chained by what the one before has finished:

    model --> Composer --> ReplyText --> _Voice._send --> synthesiser --> _Voice._receive --> Playout --> transport
              (a task)                   (a task)                         (the reply's task)  (the ticker)

`ReplyText` grows by segments, which are sentences or clauses. The voice is opened as soon as the reply is asked for, so
that its connection is there when the first segment is. Each segment is sent as soon as it is written, with its index;
the synthesiser answers with audio that bears the index. So the first sentence is spoken while the model still writes
the third.

Four clocks. Speech is made faster than it sounds, so one moment of a reply's audio passes four points at four times:

- *queued*: the synthesiser has given it and it lies in `Playout` (`playout.queued_ms` of audio have come so far);
- *written*: the transport has got it;
- *sounding*: its time has come at the far end, which plays what it has got in real time;
- *heard*: the call knows that it has sounded (`playout.played_ms`).

With the transport's `pacing` of `ours` (`TimedPlayout`) nobody reports what sounds, and what is written can't be
recalled. So it counts as heard; the two differ by `streaming.lead_ms`, which is two frames by default. With `theirs`
(`BufferedPlayout`) audio is written up to `streaming.ahead_ms` before it sounds, and cleared if the caller interrupts.
What has sounded is computed from the transport's marks and the time between them (`FarEnd`).

A segment's place in the audio is kept in queued time: `SpokenSegment.start_ms` is what was queued when its first audio
came, `end_ms` what is queued with its latest. Marks of the synthesiser (so many characters by then) lie between them.
When a reply is cut short, `heard_text` compares these places with what was heard: a segment whose end was played was
heard, one whose start was not was not, and within one the marks tell, or the share of its length.

Who may be late. The scope's deadline is always the time by which the *voice* owes the next thing: an open stream, the
first audio of a segment that has words (`first_audio_ms` after it was sent), or the next audio after all of the text
was sent (`gap_ms`). It is infinite while nothing is owed: the model is still thinking, or playout is full and the voice
has to wait until the caller has listened (`_is_paced`). Many short gaps within a segment are as bad as a long one, so
playout's silence within it is added up against the same `gap_ms` (`_note_starving`). Moving a deadline is expensive
in trio, so it is left where it is if it would move by less than `NEAR_S`.

A voice that fails. Nothing may be said twice, and nothing may be left out. `resume_at` looks for the first segment that
is not complete:

- no audio of it has come: the next voice begins with it;
- audio has come, but none of it was heard: that audio is taken back from playout, and the next voice begins with it;
- some of it was heard: all of it that is queued will be heard. The segment is split at the word where its audio ends
  (`split_spoken`), and the next voice begins with the rest. Its start is spoken already, so the indexes of the
  segments after it move up by one; this is why the sound has a list of segments of its own, beside the text's.

A reply that turns out to have no words (it only calls a tool) needs no voice, so the failure of one is no failure then
(`_words_come`), and a stream that waits for text is left at once when the text ends without any (`_leave_if_idle`).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from voicepipe.audio import open_converter
from voicepipe.calls.failover import BudgetExceeded, FailoverList
from voicepipe.calls.replies.composing import Composer
from voicepipe.calls.replies.heard import SpokenSegment, split_spoken
from voicepipe.calls.replies.playout import Playout
from voicepipe.components.boundary import error_from_use, refuse
from voicepipe.components.events import SpeechAudio, Usage
from voicepipe.components.validation import fault_of_output
from voicepipe.config.call_settings import TextToSpeechBudgets
from voicepipe.errors import ComponentError
from voicepipe.nurseries import forget_cancellation, open_hidden_nursery
from voicepipe.pipelines.snapshot import OpenedTextToSpeech

if TYPE_CHECKING:
    from voicepipe.audio import Converter
    from voicepipe.calls.failover import Attempts
    from voicepipe.calls.replies.reply_sound import ReplySound
    from voicepipe.calls.replies.reply_text import ReplyText
    from voicepipe.components.protocols import SpeechStream
    from voicepipe.pipelines.snapshot import CachedSpeech

NEAR_S = 0.01
"""By how much a deadline may be too early, in s. Moving it costs more than everything else that is done for 20 ms of
speech."""

PLAYED_PIECE_MS = 1000
"""How much of a recording is converted at once for the line, in ms."""


@frozen
class ReplySpeaker:
    """Turns the replies of a call into speech."""

    composer: Composer
    """Writes their text."""
    voices: FailoverList[OpenedTextToSpeech]
    """The synthesisers that speak it."""
    budgets: TextToSpeechBudgets
    """How long a synthesiser may take."""
    playout: Playout
    """Where the speech goes, and in which format."""

    async def speak(self, text: ReplyText, sound: ReplySound) -> None:
        """Composes a reply and speaks it; returns when the caller has heard all of it.

        Args:
            text: empty, with a request or an announcement.
            sound: the reply's, from `Playout.begin`.

        Raises:
            ComponentError: no model or no voice is left; its `role` says which. What the model said before that has
                been spoken.

        """
        if text.request is None:
            self.composer.announce(text)
            await self._say_while_heard(text, sound)
        else:
            async with open_hidden_nursery() as nursery:
                nursery.start_soon(self.composer.compose, text, text.request)
                await self._say_while_heard(text, sound)
        if text.failure is None or text.segments:
            await self._play_to_end(sound)
        text.raise_failure()

    async def play(self, speech: CachedSpeech, sound: ReplySound) -> None:
        """Plays speech that was synthesised beforehand; returns when the caller has heard all of it."""
        playout, given = self.playout, speech.audio
        converter = open_converter(speech.format, playout.audio, live=False)
        segment = SpokenSegment(speech.text, end_ms=speech.format.ms_in(len(given)), complete=True)
        sound.segments.append(segment)
        sound.begin_segment(segment, 0.0)
        if converter is None:
            playout.add(sound, given)
        else:
            # As it is listened to, since other calls must not wait while a long file is converted.
            size, converted = speech.format.bytes_in(PLAYED_PIECE_MS), 0
            for start in range(0, len(given), size):
                piece = converter.convert(given[start : start + size])
                converted += len(piece)
                await playout.play(sound, piece)
                if start + size < len(given):
                    await trio.lowlevel.checkpoint()  # `play` returns at once for a reply that was dropped
                if sound.is_given_up:
                    break
            else:
                piece = converter.finish()
                playout.add(sound, piece)
                segment.end_ms = playout.audio.ms_in(converted + len(piece))
        await self._play_to_end(sound)

    async def _play_to_end(self, sound: ReplySound) -> None:
        self.playout.finish(sound)
        await self.playout.wait_played(sound)

    async def _say_while_heard(self, text: ReplyText, sound: ReplySound) -> None:
        """Has a reply spoken until it is given up; the model goes on: it may call a tool that ends the call."""
        with trio.CancelScope() as scope:
            sound.on_given_up = scope.cancel
            try:
                await self._say(text, sound)
            finally:
                sound.on_given_up = None  # no circle for the garbage collector

    async def _say(self, text: ReplyText, sound: ReplySound) -> None:
        """Has a reply's segments spoken, each once, by the first voice that works.

        A voice is opened while the model thinks, so it may fail for a reply that turns out to have no words (left): one
        that only calls a tool, for example. Such a reply needs no voice.

        Raises:
            ComponentError: no voice is left, and there are words to speak.

        """
        first = 0
        try:
            with await self.voices.begin(self.budgets.connect_ms) as attempts:
                while True:
                    voice = _Voice(self, text, sound, attempts, first)
                    try:
                        await voice.run()
                    except ComponentError as error:
                        first = voice.resume_at()
                        await attempts.failed(error)
                    else:
                        return
        except ComponentError:
            if await _words_come(text, sound, first):
                raise


async def _words_come(text: ReplyText, sound: ReplySound, first: int) -> bool:
    """Waits for words in the segments from `first` on; False: the text is complete and has none."""
    while True:
        sound.follow(text.segments)
        if text.complete or sound.owes_words(first):
            return sound.owes_words(first)
        await text.wait_growth()


class _Voice:
    """One voice's share of a reply: the segments from `first` on, until it has spoken all of them or has failed."""

    def __init__(
        self,
        speaker: ReplySpeaker,
        text: ReplyText,
        sound: ReplySound,
        attempts: Attempts[OpenedTextToSpeech],
        first: int,
    ) -> None:
        self._text, self._sound, self._attempts, self._first = text, sound, attempts, first
        self._voice = attempts.current
        self._budgets, self._playout, self._audio = speaker.budgets, speaker.playout, speaker.playout.audio
        self._language = speaker.composer.speech.language
        self._converter: Converter | None = None
        self._scope = trio.CancelScope()  # its deadline is when the next audio is due
        self._late = "", ""  # what has happened if the deadline passes, and the key of the budget
        self._sent = first  # the segments before this index were sent
        self._due = first - 1  # the last segment that was sent and has words: audio is owed up to there
        self._spoken = first - 1  # the last segment of which audio has come
        self._asked_all = False  # all of the text was sent
        self._is_paced = False  # playout is full, so the voice has to wait
        self._is_idle = False  # the text is complete, and nothing of it is for this voice
        self._starved_ms = 0.0  # how long the caller has waited for audio within the present segment

    async def run(self) -> None:
        """Speaks the segments that are written, and those that come, until the text is complete.

        Raises:
            ComponentError: the voice failed, took too long, or left words out.

        """
        self._sound.follow(self._text.segments)
        if self._text.complete and not self._sound.owes_words(self._first):
            return
        self._text.on_complete.append(self._leave_if_idle)
        try:
            await self._run()
        finally:
            self._text.on_complete.remove(self._leave_if_idle)  # no circle for the garbage collector

    async def _run(self) -> None:
        component = self._voice.component
        output = component.output_for(self._audio)
        refuse(fault_of_output(output), self._voice.ref)
        self._converter = open_converter(output, self._audio, live=False)
        self._usage, self._output = self._attempts.begin_stream(), output
        with self._scope:
            self._wait("was not open", "connect_ms")
            try:
                async with component.open_stream(output, self._language) as speech, trio.open_nursery() as nursery:
                    self._scope.deadline = inf
                    nursery.start_soon(self._send, speech)
                    await self._receive(speech)
            except BaseExceptionGroup as group:
                failure = error_from_use(group, self._voice.ref)
            else:
                return
            try:
                raise failure
            finally:
                del failure
        if self._scope.cancelled_caught and not self._is_idle:
            raise self._budget_exceeded(*self._late)

    def resume_at(self) -> int:
        """The index of the segment at which the next voice goes on: the first that was not heard.

        A segment that is being heard is split where its audio ends; audio that nobody has heard of yet is taken back.
        """
        segments = self._sound.segments
        for index in range(self._first, len(segments)):
            segment = segments[index]
            if segment.complete:
                continue
            if segment.start_ms is None:
                return index
            if self._playout.played_ms <= segment.start_ms:
                self._playout.take_back(self._sound, segment.start_ms)
                segments[index] = SpokenSegment(segment.text, spoken=segment.spoken)
                return index
            rest = split_spoken(segments, index)
            segment.complete = True
            if rest is not None:
                segments.insert(index + 1, rest)
            return index + 1
        return len(segments)

    async def _send(self, speech: SpeechStream) -> None:
        """Sends the reply's segments as they come."""
        text, sound = self._text, self._sound
        with forget_cancellation():
            while True:
                sound.follow(text.segments)
                if self._sent < len(sound.segments):
                    index, self._sent = self._sent, self._sent + 1
                    if sound.segments[index].has_words:
                        self._due = index
                    if self._scope.deadline == inf:
                        self._set_deadline()
                    spoken = sound.segments[index].spoken
                    self._usage.count_text(spoken)
                    await speech.send(spoken, index - self._first)
                elif text.complete:
                    break
                else:
                    await text.wait_growth()
            self._asked_all = True  # before finish() lets `_receive` see the end
            await speech.finish()
            if self._scope.deadline == inf:
                self._set_deadline()

    def _leave_if_idle(self) -> None:
        """Leaves the stream of a reply that turns out to have no words for it, however the service would end one."""
        self._sound.follow(self._text.segments)
        if self._sent == self._first and not self._sound.owes_words(self._first):
            self._is_idle = True
            self._scope.cancel()

    async def _receive(self, speech: SpeechStream) -> None:
        """Moves speech into playout, and notes which text lies where in it."""
        sound, who = self._sound, self._voice.ref
        while (event := await speech.receive()) is not None:
            if isinstance(event, Usage):
                self._usage.report(event)
                continue
            if not 0 <= event.segment < self._sent - self._first:
                refuse(f"spoke segment {event.segment}, which it was not given", who)
            segment = sound.segments[event.segment + self._first]
            if isinstance(event, SpeechAudio):
                await self._play(event, segment)
            else:
                segment.marks.append((event.at_ms, event.chars))
            self._set_deadline()
        self._scope.deadline = inf
        missing = (segment for segment in sound.segments[self._first :] if segment.start_ms is None)
        if not self._asked_all or any(segment.has_words for segment in missing):
            raise ComponentError("ended without speaking all of its text", component=who.name, role=who.role)
        if self._converter is not None:
            await self._playout.play(sound, self._converter.finish())
        for segment in sound.segments:
            segment.complete = True

    async def _play(self, event: SpeechAudio, segment: SpokenSegment) -> None:
        playout, sound = self._playout, self._sound
        self._usage.count_audio(self._output.ms_in(len(event.audio)))
        if segment.start_ms is None:
            if sound.first_audio_at is None:
                sound.first_audio_at = trio.current_time()
            if self._spoken < self._first:
                self._attempts.succeeded()
            self._starved_ms = 0.0
            sound.begin_segment(segment, playout.queued_ms)
            self._spoken = event.segment + self._first
            for earlier in sound.segments[: self._spoken]:
                earlier.complete = True
        else:
            self._note_starving()
        speech = event.audio if self._converter is None else self._converter.convert(event.audio)
        segment.end_ms = playout.queued_ms + self._audio.ms_in(len(speech))
        playout.add(sound, speech)
        if playout.is_full:
            self._is_paced = True  # waiting for the caller to listen is not the voice's fault
            self._set_deadline()
            await playout.wait_for_room(sound)
            self._is_paced = False

    def _note_starving(self) -> None:
        """Adds up the gaps within a segment: speech that drips is no speech, even if no single gap is long."""
        self._starved_ms += self._playout.silent_ms
        if self._starved_ms > self._budgets.gap_ms:
            raise self._budget_exceeded(f"audio stalled for {self._budgets.gap_ms} ms in mid-sentence", "gap_ms")

    def _set_deadline(self) -> None:
        """Sets the time by which the next audio is due; there is none if no audio is owed, or playout is full."""
        if self._is_paced:
            self._scope.deadline = inf
        elif self._spoken < self._due:
            self._wait("sent no audio", "first_audio_ms")
        elif self._asked_all:
            self._wait("sent nothing more", "gap_ms")
        else:
            self._scope.deadline = inf

    def _wait(self, what: str, key: str) -> None:
        within_ms: int = getattr(self._budgets, key)
        self._late = f"{what} within {within_ms} ms", key
        deadline = trio.current_time() + within_ms / 1000
        if not 0 <= deadline - self._scope.deadline < NEAR_S:
            self._scope.deadline = deadline

    def _budget_exceeded(self, what: str, key: str) -> BudgetExceeded:
        return BudgetExceeded.of(self._voice.ref, what, f"budgets.tts.{key}")
