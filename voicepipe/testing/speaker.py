"""A voice for callers that are programs: text in, telephone audio out, spoken by espeak-ng."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, cast

import trio
from attrs import frozen

from voicepipe.adapters.espeak import tts as espeak
from voicepipe.audio import AudioFormat, open_converter
from voicepipe.components.boundary import ComponentRef
from voicepipe.components.events import SpeechAudio
from voicepipe.components.guards import GuardedContext
from voicepipe.components.protocols import Resources, TextToSpeech

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.components.protocols import Component


async def synthesise(tts: TextToSpeech, text: str, audio: AudioFormat) -> bytes:
    """Synthesises a text, and returns all of its audio in the format of a call.

    Raises:
        ComponentError: the component failed.

    """
    output = tts.output_for(audio)
    converter = open_converter(output, audio, live=False)
    spoken = bytearray()
    async with tts.open_stream(output, None) as stream:
        await stream.send(text, 0)
        await stream.finish()
        while (event := await stream.receive()) is not None:
            if isinstance(event, SpeechAudio):
                spoken += converter.convert(event.audio) if converter else event.audio
    return bytes(spoken + converter.finish() if converter else spoken)


@frozen
class Speaker:
    """A voice for a caller that is a program."""

    tts: TextToSpeech
    """The component that synthesises the speech."""
    audio: AudioFormat
    """The format of the speech."""

    async def say(self, text: str) -> bytes:
        """Returns a text as speech: 16-bit LE mono PCM in the speaker's rate."""
        return await synthesise(self.tts, text, self.audio)


@asynccontextmanager
async def open_speaker(
    voice: str = "en-gb", *, words_per_minute: int = 160, rate: int = 8000
) -> AsyncIterator[Speaker]:
    """Opens an espeak-ng process that speaks for a caller, and closes it on exit.

    Args:
        voice: the language, and optionally a variant: `en-gb`, `en-us+f2`.
        words_per_minute: the speed, 80 to 450.
        rate: the rate of the audio, in Hz.

    Raises:
        ComponentError: the voice is unknown, or espeak-ng is not installed (`voicepipe-telephony[espeak]`).
        ValueError: the speed is out of range.

    """
    options = espeak.EspeakOptions(voice=voice, words_per_minute=words_per_minute)
    resources = Resources(component="speaker", threads=trio.CapacityLimiter(1))
    async with GuardedContext(
        ComponentRef("tts", "speaker"), partial(espeak.tts.open, options, resources), _speaks
    ) as tts:
        yield Speaker(tts, AudioFormat(rate))


def _speaks(component: Component) -> TextToSpeech:
    return cast("TextToSpeech", component)
