"""Speech-to-text with faults at the edges of what is said."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager

import trio
from ears import Ears, EarsStream, with_stream

from voicepipe.audio import AudioFormat
from voicepipe.components.events import EndOfTurn, Transcript, Usage, Word
from voicepipe.errors import ComponentError


class BlocksForEachChunk(EarsStream):
    async def send(self, audio):
        time.sleep(0.06)  # noqa: ASYNC251 - that is its fault
        await super().send(audio)


class LosesWhatIsSentWithoutWaiting(EarsStream):
    def send_nowait(self, audio):
        self.bytes += len(audio)


class BlocksWhatItTakesWithoutWaiting(EarsStream):
    def send_nowait(self, audio):
        time.sleep(0.06)
        raise trio.WouldBlock


class HearsOneAtATime(Ears):
    def __init__(self, options):
        super().__init__(options)
        self.lock = trio.Lock()

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        async with self.lock, super().open_stream(stream_input, listen) as stream:
            yield stream


class LosesTheBeginning(EarsStream):
    async def send(self, audio):
        if self.bytes < self.audio.bytes_in(300):
            self.bytes += len(audio)
            await trio.lowlevel.checkpoint()
        else:
            await super().send(audio)


class LosesWhatFollowsAFinal(EarsStream):
    lost = 0

    def conclude(self):
        super().conclude()
        self.lost = self.audio.bytes_in(300)

    async def send(self, audio):
        if self.lost > 0:
            self.lost -= len(audio)
            self.bytes += len(audio)
            await trio.lowlevel.checkpoint()
        else:
            await super().send(audio)


class LosesAChunk(EarsStream):
    """The first, which is 100 ms."""

    async def send(self, audio):
        if self.bytes:
            await super().send(audio)
        else:
            self.bytes += len(audio)
            await trio.lowlevel.checkpoint()


class KeepsAChunkBack(EarsStream):
    """What it has not sent when an utterance ends is sent with the next one."""

    kept = b""

    async def send(self, audio):
        self.kept, audio = audio, self.kept
        await super().send(audio)


class BeginsAnewWithOtherPhrases(EarsStream):
    async def listen_for(self, listen):
        await super().listen_for(listen)
        self.loud = 0


class TellsWhatIsNew(EarsStream):
    async def receive(self):
        event = await super().receive()
        if isinstance(event, Transcript) and not event.final:
            return Transcript("buzz", final=False)
        return event


class TellsTheEndOfATurnTwice(EarsStream):
    def conclude(self):
        super().conclude()
        for _ in range(2):
            self.found.send_nowait(EndOfTurn())


class LosesTheEnd(EarsStream):
    """It collects 400 ms before it hears, and hears no less."""

    kept = b""

    async def send(self, audio):
        self.kept += audio
        while len(self.kept) >= self.audio.bytes_in(400):
            for _ in range(4):
                size = self.audio.bytes_in(100)
                chunk, self.kept = self.kept[:size], self.kept[size:]
                await super().send(chunk)

    def conclude(self):
        self.kept = b""
        super().conclude()


class TakesEveryCallForATelephone(Ears):
    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        yield self.stream(self, AudioFormat(8000, stream_input.format.encoding))


class WaitsForAWholeChunk(EarsStream):
    async def end_utterance(self):
        if self.bytes >= self.audio.bytes_in(100):
            await super().end_utterance()


class RefusesShortUtterances(EarsStream):
    began = 0

    async def end_utterance(self):
        if self.bytes - self.began < self.audio.bytes_in(50):
            raise ComponentError("400: audio too short", retryable=False)
        self.began = self.bytes
        await super().end_utterance()


class RepeatsTheFinal(EarsStream):
    def conclude(self):
        if self.loud:
            self.found.send_nowait(Transcript(self.text, final=True, audio_end_ms=self.ms))
        super().conclude()


class TellsMoreAfterTheFinal(EarsStream):
    def conclude(self):
        super().conclude()
        self.found.send_nowait(Transcript("buzz", final=False))


class TellsItAgainAfterTheFinal(EarsStream):
    def conclude(self):
        text = self.text
        super().conclude()
        if text:
            self.found.send_nowait(Transcript(text, final=False))


class TakesTheLatestEnd(EarsStream):
    """As one does that takes the end of an utterance from the wrong side of a queue."""

    def __init__(self, ears, audio):
        super().__init__(ears, audio)
        self.ends = []

    def conclude(self):
        self.ends.append(self.ms)
        super().conclude()

    async def receive(self):
        event = await super().receive()
        if isinstance(event, Transcript) and event.final:
            return Transcript(event.text, final=True, audio_end_ms=self.ends.pop())
        return event


class TimesWordsFromTheUtterance(EarsStream):
    def conclude(self):
        text, self.loud = self.text, 0
        words = tuple(Word(word, at * 100, at * 100 + 100) for at, word in enumerate(text.split()))
        self.found.send_nowait(Transcript(text, final=True, words=words, audio_end_ms=self.ms))


class EndsTwice(EarsStream):
    """What comes after the end is no end."""

    ended = False

    async def receive(self):
        event = await super().receive()
        if event is None and not self.ended:
            self.ended = True
            return None
        return event if event is not None else Transcript("", final=True)


class IsChargedTwice(EarsStream):
    """Its provider counts the audio of the whole stream, and each of its figures is taken for more."""

    def conclude(self):
        super().conclude()
        self.found.send_nowait(Usage(audio_s=self.ms / 1000))
        self.found.send_nowait(Usage(audio_s=self.ms / 1000))


class OwesAudio(EarsStream):
    def conclude(self):
        super().conclude()
        self.found.send_nowait(Usage(audio_s=-1.0))


MUTANTS = [
    (with_stream(IsChargedTwice), "events_are_well_formed"),
    (with_stream(OwesAudio), "events_are_well_formed"),
    (with_stream(BlocksForEachChunk), "nothing_holds_up_the_loop"),
    (HearsOneAtATime, "calls_are_served_at_the_same_time"),
    (with_stream(LosesWhatIsSentWithoutWaiting), "audio_that_is_sent_without_waiting_is_heard"),
    (with_stream(BlocksWhatItTakesWithoutWaiting), "nothing_holds_up_the_loop"),
    (with_stream(LosesTheBeginning), "the_first_and_last_words_are_heard"),
    (with_stream(LosesWhatFollowsAFinal), "the_first_and_last_words_are_heard"),
    (with_stream(LosesAChunk), "the_first_and_last_words_are_heard"),
    (with_stream(KeepsAChunkBack), "the_first_and_last_words_are_heard"),
    (with_stream(BeginsAnewWithOtherPhrases), "expecting_other_phrases_loses_nothing"),
    (with_stream(TellsWhatIsNew), "events_are_well_formed"),
    (with_stream(TellsTheEndOfATurnTwice), "events_are_well_formed"),
    (with_stream(LosesTheEnd), "the_first_and_last_words_are_heard"),
    (TakesEveryCallForATelephone, "calls_in_other_formats_are_heard"),
    (with_stream(WaitsForAWholeChunk), "a_short_utterance_is_answered"),
    (with_stream(RefusesShortUtterances), "a_short_utterance_is_answered"),
    (with_stream(RepeatsTheFinal), "a_short_utterance_is_answered"),
    (with_stream(TellsMoreAfterTheFinal), "a_short_utterance_is_answered"),
    (with_stream(TellsItAgainAfterTheFinal), "a_short_utterance_is_answered"),
    (with_stream(TakesTheLatestEnd), "the_first_and_last_words_are_heard"),
    (with_stream(TimesWordsFromTheUtterance), "audio_end_ms_is_where_the_text_ends"),
    (with_stream(EndsTwice), "none_comes_only_at_the_end"),
]
"""Each with the check that is meant for it."""
