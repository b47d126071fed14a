"""A text-to-speech adapter in memory that behaves, and others like it that each have one fault."""

from __future__ import annotations

from array import array
from contextlib import asynccontextmanager
from math import inf, pi, sin

import trio
from attrs import frozen
from leftovers import block, leave_a_socket, leave_a_thread

from voicepipe.audio import AudioFormat, from_pcm16
from voicepipe.components.events import SpeechAudio, SpeechMark
from voicepipe.components.registry import Adapter
from voicepipe.errors import ComponentError

MS_A_CHAR = 60


PERIOD_MS = 5


def humming(rate, ms):
    """A tone of 200 Hz, 16-bit linear."""
    samples = rate * PERIOD_MS // 1000
    return array("h", (round(4000 * sin(2 * pi * at / samples)) for at in range(samples))).tobytes() * (ms // PERIOD_MS)


@frozen
class HumOptions:
    """What goes wrong."""

    fault: str = ""
    """A kind of the kit's; empty: nothing."""


class Humming:
    """Hums 60 ms a character; a task of the stream's makes it, a little ahead of who receives."""

    ahead = 2

    def __init__(self, hum, output):
        self.hum, self.output = hum, output
        self.texts_in, self.texts = trio.open_memory_channel(4)
        self.made, self.events = trio.open_memory_channel(self.ahead)

    async def make(self):
        with self.made:
            async for text, segment in self.texts:
                await self.make_segment(text, segment)

    async def make_segment(self, text, segment):
        for at, word in enumerate(text.split()):
            await self.made.send(SpeechAudio(self.sound(word), segment))
            await self.made.send(SpeechMark(segment, *self.mark(text, at)))

    def mark(self, text, at):
        spoken = text.split()[: at + 1]
        return sum(map(len, spoken)) + at, sum(map(len, spoken)) * MS_A_CHAR

    def sound(self, word):
        return from_pcm16(humming(self.output.rate, MS_A_CHAR * len(word)), self.output.encoding)

    async def send(self, text, segment):
        if self.hum.fault == "empty":
            raise ComponentError("no audio came")
        if self.hum.fault == "stall":
            await trio.sleep(0.1)
            raise ComponentError("nothing came for 0.1 s")
        await self.texts_in.send((text if any(map(str.isalnum, text)) else "", segment))

    async def finish(self):
        await trio.lowlevel.checkpoint()
        self.texts_in.close()

    async def receive(self):
        try:
            return await self.events.receive()
        except trio.EndOfChannel:
            return None


class Hum:
    """Shared by all streams."""

    stream = Humming

    def __init__(self, options):
        self.fault = options.fault

    def close(self):
        """Nothing is open."""

    def output_for(self, call):
        return AudioFormat(16000 if call.rate >= 16000 else 8000, call.encoding)

    @asynccontextmanager
    async def open_stream(self, output, language):
        async with trio.open_nursery() as nursery:
            stream = self.stream(self, output)
            nursery.start_soon(stream.make)
            yield stream
            nursery.cancel_scope.cancel()


def adapter(component=Hum):
    @asynccontextmanager
    async def opening(options, resources):
        if options.fault == "broken":
            raise ComponentError("no such voice", retryable=False, hint="there are: low, high")
        opened = component(options)
        yield opened
        opened.close()

    return Adapter(name="hum", role="tts", options=HumOptions, open=opening)


def with_stream(stream):
    """The component with other streams."""
    return type(stream.__name__, (Hum,), {"stream": stream})


class LeaksAThread(Hum):
    @asynccontextmanager
    async def open_stream(self, output, language):
        leave_a_thread()
        async with super().open_stream(output, language) as stream:
            yield stream


class LeaksASocketWhenCancelled(Hum):
    @asynccontextmanager
    async def open_stream(self, output, language):
        one = leave_a_socket()
        async with super().open_stream(output, language) as stream:
            yield stream
        one.close()


class AbandonsAThread(Hum):
    @asynccontextmanager
    async def open_stream(self, output, language):
        async with super().open_stream(output, language) as stream:
            yield stream
            with trio.move_on_after(0.001):
                await trio.to_thread.run_sync(block, abandon_on_cancel=True)


class KeepsStreams(Hum):
    def __init__(self, options):
        super().__init__(options)
        self.streams = []

    @asynccontextmanager
    async def open_stream(self, output, language):
        async with super().open_stream(output, language) as stream:
            self.streams.append(stream)
            yield stream


class SwallowsCancelled(Humming):
    async def receive(self):
        try:
            return await super().receive()
        except trio.Cancelled:
            return None


class LosesAnEventWhenCancelled(Humming):
    async def receive(self):
        event = await super().receive()
        await trio.lowlevel.checkpoint()
        return event


class Mixes(Humming):
    async def send(self, text, segment):
        self.hum.text = text
        await trio.lowlevel.checkpoint()
        await super().send(self.hum.text, segment)


class GivesAnotherRate(Humming):
    def sound(self, word):
        return from_pcm16(humming(16000, MS_A_CHAR * len(word)), self.output.encoding)


class CutsSamples(Humming):
    def sound(self, word):
        return super().sound(word)[:-1]


class IsSilent(Humming):
    def sound(self, word):
        return bytes(len(super().sound(word)))


class SpeaksTooFast(Humming):
    def sound(self, word):
        return super().sound(word)[: self.output.bytes_in(10 * len(word))]


class LeavesASegmentOut(Humming):
    async def make_segment(self, text, segment):
        if segment != 1:
            await super().make_segment(text, segment)


class SpeaksBackwards(Humming):
    async def make(self):
        with self.made:
            texts = [item async for item in self.texts]
            for text, segment in reversed(texts):
                await self.make_segment(text, segment)


class CountsSegmentsFromOne(Humming):
    async def send(self, text, segment):
        await super().send(text, segment + 1)


class WaitsForTheWholeReply(Humming):
    async def make(self):
        with self.made:
            for text, segment in [item async for item in self.texts]:
                await self.make_segment(text, segment)


class MarksBeyondTheText(Humming):
    def mark(self, text, at):
        chars, at_ms = super().mark(text, at)
        return chars + 1, at_ms


class MarksAfterTheEnd(Humming):
    def mark(self, text, at):
        chars, at_ms = super().mark(text, at)
        return chars, at_ms + 60_000


class StumblesOverBlanks(Humming):
    async def make_segment(self, text, segment):
        if not text:
            raise ComponentError("400: text is empty", retryable=False)
        await super().make_segment(text, segment)


class WantsWords(Humming):
    said = False

    async def make(self):
        with self.made:
            async for text, segment in self.texts:
                self.said = self.said or bool(text)
                await self.make_segment(text, segment)

    async def receive(self):
        event = await super().receive()
        if event is None and not self.said:
            raise ComponentError("400: no text was sent", retryable=False)
        return event


class EndsWithAnErrorAfterDots(Humming):
    async def send(self, text, segment):
        self.dots = text == "..."
        await super().send(text, segment)

    async def receive(self):
        event = await super().receive()
        if event is None and getattr(self, "dots", False):
            raise ComponentError("answered a text without any audio")
        return event


class NeverEnds(Humming):
    async def finish(self):
        await trio.lowlevel.checkpoint()


class EndsByItself(Humming):
    async def make(self):
        with self.made:
            await self.make_segment(*await self.texts.receive())


class MakesEverythingAhead(Humming):
    ahead = inf


class HearsOnlyFormatsOfItsOwn(Hum):
    def output_for(self, call):
        return "pcm_8000"


class EndsWhenNothingCame(Humming):
    async def send(self, text, segment):
        if self.hum.fault:
            await trio.lowlevel.checkpoint()
        else:
            await super().send(text, segment)


MUTANTS = [
    (LeaksAThread, "leaving_early_leaves_nothing"),
    (AbandonsAThread, "cancelled_anywhere_it_leaves_nothing"),
    (LeaksASocketWhenCancelled, "cancelled_anywhere_it_leaves_nothing"),
    (KeepsStreams, "many_streams_give_everything_back"),
    (with_stream(SwallowsCancelled), "cancelled_is_not_swallowed"),
    (with_stream(LosesAnEventWhenCancelled), "a_cancelled_receive_loses_nothing"),
    (with_stream(Mixes), "streams_do_not_mix"),
    (with_stream(GivesAnotherRate), "speech_is_in_the_promised_format"),
    (with_stream(CutsSamples), "events_are_well_formed"),
    (with_stream(MarksBeyondTheText), "events_are_well_formed"),
    (with_stream(MarksAfterTheEnd), "events_are_well_formed"),
    (with_stream(IsSilent), "speech_is_audible"),
    (with_stream(SpeaksTooFast), "speech_lasts_as_long_as_its_text"),
    (with_stream(LeavesASegmentOut), "segments_come_in_order"),
    (with_stream(SpeaksBackwards), "segments_come_in_order"),
    (with_stream(CountsSegmentsFromOne), "segments_come_in_order"),
    (with_stream(CountsSegmentsFromOne), "events_are_well_formed"),
    (with_stream(CountsSegmentsFromOne), "speech_lasts_as_long_as_its_text"),
    (with_stream(WaitsForTheWholeReply), "speech_comes_before_the_reply_is_complete"),
    (with_stream(StumblesOverBlanks), "blank_text_is_no_trouble"),
    (with_stream(WantsWords), "a_reply_without_words_ends_well"),
    (with_stream(EndsWithAnErrorAfterDots), "a_reply_without_words_ends_well"),
    (with_stream(NeverEnds), "finishing_gives_the_rest"),
    (with_stream(EndsByItself), "none_comes_only_at_the_end"),
    (with_stream(EndsByItself), "a_slow_sender_is_waited_for"),
    (with_stream(MakesEverythingAhead), "what_nobody_receives_is_bounded"),
    (HearsOnlyFormatsOfItsOwn, "output_for_is_pure_and_sane"),
    (with_stream(EndsWhenNothingCame), "an_empty_success_is_noticed"),
    (with_stream(EndsWhenNothingCame), "a_stall_is_noticed"),
]
"""Each with the check that is meant for it."""
