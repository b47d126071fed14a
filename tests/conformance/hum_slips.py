"""Text-to-speech with faults that only a listener notices."""

from __future__ import annotations

import time
from array import array
from contextlib import asynccontextmanager
from xml.etree.ElementTree import ParseError, fromstring

import trio
from hum import MS_A_CHAR, Hum, Humming, humming, with_stream

from voicepipe.audio import AudioFormat, from_pcm16, to_pcm16
from voicepipe.components.events import SpeechAudio, Usage
from voicepipe.errors import ComponentError


class OneFormat(Hum):
    """So that there is nothing to compare with."""

    def output_for(self, call):
        return AudioFormat(16000)


def in_one_format(stream):
    return type(stream.__name__, (OneFormat,), {"stream": stream})


class BlocksTheLoop(Humming):
    def sound(self, word):
        time.sleep(0.06)
        return super().sound(word)


class SpeaksOneAtATime(Hum):
    def __init__(self, options):
        super().__init__(options)
        self.lock = trio.Lock()

    class stream(Humming):  # noqa: N801
        async def make_segment(self, text, segment):
            async with self.hum.lock:
                await super().make_segment(text, segment)


class HalfTheRate(Humming):
    def sound(self, word):
        return humming(2 * self.output.rate, MS_A_CHAR * len(word))


class TwiceTheRate(Humming):
    def sound(self, word):
        return humming(self.output.rate // 2, MS_A_CHAR * len(word))


def altered(alter):
    """A voice whose samples are changed."""

    class Altered(Humming):
        def sound(self, word):
            samples = array("h", to_pcm16(super().sound(word), self.output.encoding))
            return from_pcm16(alter(samples).tobytes(), self.output.encoding)

    return type(alter.__name__, (Altered,), {})


def swaps_bytes(samples):
    samples.byteswap()
    return samples


def is_too_quiet(samples):
    return array("h", (sample // 32 for sample in samples))


def clips(samples):
    return array("h", (max(-32768, min(32767, 40 * sample)) for sample in samples))


class BeginsWithAHeader(Humming):
    async def make_segment(self, text, segment):
        if text:
            await self.made.send(SpeechAudio(b"RIFF\x24\x00\x00\x00WAVEfmt ".ljust(44), segment))
        await super().make_segment(text, segment)


class LeavesFiguresOut(Humming):
    async def make_segment(self, text, segment):
        if any(map(str.isalpha, text)):
            await super().make_segment(text, segment)


def wraps(samples):
    return array("h", ((40 * sample + 32768) % 65536 - 32768 for sample in samples))


class SaysNothingTwice(Humming):
    def __init__(self, hum, output):
        super().__init__(hum, output)
        self.said = set()

    async def make_segment(self, text, segment):
        if text not in self.said:
            await super().make_segment(text, segment)
        self.said.add(text)


class CutsTextOff(Humming):
    async def make_segment(self, text, segment):
        await super().make_segment(text[:200], segment)


class KeepsSpeechByItsFirstWord(Humming):
    def __init__(self, hum, output):
        super().__init__(hum, output)
        self.kept = {}

    async def make_segment(self, text, segment):
        await super().make_segment(self.kept.setdefault(text.split(" ")[0], text), segment)


class MakesMarkupOfIt(Humming):
    async def make_segment(self, text, segment):
        try:
            spoken = fromstring(f"<speak>{text}</speak>")
        except ParseError as error:
            raise ComponentError("400: not well-formed") from error
        await super().make_segment(spoken.text or "", segment)


class LosesTheLastOfTheStream(Humming):
    """It keeps so many ms back, until it knows that more comes."""

    kept_ms = 20

    async def make(self):
        kept, last = b"", 0
        with self.made:
            async for text, segment in self.texts:
                if kept:
                    await self.made.send(SpeechAudio(kept, last))
                audio = b"".join(map(self.sound, text.split()))
                size = len(audio) - self.output.bytes_in(self.kept_ms)
                audio, kept, last = audio[:size], audio[size:], segment
                if audio:
                    await self.made.send(SpeechAudio(audio, segment))


class HandsTheEndOn(Humming):
    """What it keeps back comes with the next segment."""

    kept = b""

    async def make_segment(self, text, segment):
        audio = self.kept + b"".join(map(self.sound, text.split()))
        size = len(audio) - self.output.bytes_in(20)
        self.kept = audio[size:]
        if audio[:size]:
            await self.made.send(SpeechAudio(audio[:size], segment))


class LosesMoreOfTheStream(LosesTheLastOfTheStream):
    kept_ms = 200


class LosesTheLastPiece(Humming):
    async def make_segment(self, text, segment):
        await super().make_segment(" ".join(text.split()[:-1]), segment)


class LosesTheLastOfEachSegment(Humming):
    ms = 20

    async def make_segment(self, text, segment):
        audio = b"".join(map(self.sound, text.split()))
        if audio := audio[: max(0, len(audio) - self.output.bytes_in(self.ms))]:
            await self.made.send(SpeechAudio(audio, segment))


class LosesMoreOfEachSegment(LosesTheLastOfEachSegment):
    ms = 200


class SharesAnEngine(Hum):
    closed = False

    @asynccontextmanager
    async def open_stream(self, output, language):
        if type(self).closed:
            raise ComponentError("the engine is closed")
        async with super().open_stream(output, language) as stream:
            yield stream

    def close(self):
        type(self).closed = True


class IsChargedTwice(Humming):
    async def make_segment(self, text, segment):
        await super().make_segment(text, segment)
        await self.made.send(Usage(characters=2 * len(text)))


class TellsNoFigure(Humming):
    async def make_segment(self, text, segment):
        await super().make_segment(text, segment)
        await self.made.send(Usage())


MUTANTS = [
    (with_stream(IsChargedTwice), "events_are_well_formed"),
    (with_stream(TellsNoFigure), "events_are_well_formed"),
    (with_stream(BlocksTheLoop), "nothing_holds_up_the_loop"),
    (SpeaksOneAtATime, "calls_are_served_at_the_same_time"),
    (SharesAnEngine, "components_do_not_share"),
    (in_one_format(HalfTheRate), "speech_lasts_as_long_as_its_text"),
    (in_one_format(TwiceTheRate), "speech_lasts_as_long_as_its_text"),
    (in_one_format(altered(swaps_bytes)), "speech_is_no_noise"),
    (in_one_format(altered(is_too_quiet)), "speech_is_audible"),
    (in_one_format(altered(clips)), "speech_is_audible"),
    (in_one_format(altered(wraps)), "speech_is_audible"),
    (in_one_format(BeginsWithAHeader), "speech_is_no_noise"),
    (with_stream(LeavesFiguresOut), "a_short_segment_is_spoken"),
    (with_stream(SaysNothingTwice), "every_segment_is_spoken_whole"),
    (with_stream(CutsTextOff), "every_segment_is_spoken_whole"),
    (with_stream(KeepsSpeechByItsFirstWord), "every_segment_is_spoken_whole"),
    (with_stream(MakesMarkupOfIt), "every_segment_is_spoken_whole"),
    (with_stream(LosesTheLastOfTheStream), "the_end_is_not_cut_off"),
    (with_stream(HandsTheEndOn), "the_end_is_not_cut_off"),
    (with_stream(LosesMoreOfTheStream), "the_end_is_not_cut_off"),
    (with_stream(LosesTheLastPiece), "a_short_segment_is_spoken"),
    (with_stream(LosesTheLastOfEachSegment), "a_short_segment_is_spoken"),
    (with_stream(LosesMoreOfEachSegment), "a_short_segment_is_spoken"),
]
"""Each with the check that is meant for it."""
