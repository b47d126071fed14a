"""How speech-to-text streams are used: what they hear, and what must come of it again."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve, frozen

from voicepipe.audio import AudioFormat, from_pcm16, level, open_converter, to_pcm16
from voicepipe.components.events import Transcript
from voicepipe.components.requests import Listen
from voicepipe.testing.transport import voice
from voicepipe.text.words import words_in

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from voicepipe.components.protocols import SpeechToText, TranscriptStream
    from voicepipe.testing.conformance.subject import Progress

CALL = AudioFormat(8000)
"""The audio of a telephone call, as AudioSocket carries it."""

UTTERANCE_MS, PAUSE_MS = 700, 300
"""How long the voice of an utterance lasts, and the silence after it."""

BRIEF_MS = 200
"""How long an utterance is that need not make sense."""


FRAME_MS = 10
"""By how much a recording is trimmed at a time."""

MARGIN_MS = 60
"""How much is left of what is around the words: recognisers go by it, and a loss of 300 ms is a loss all the same."""

QUIETER = 30
"""A frame that is so many times quieter than the loudest is no part of a word."""


def spoken(audio: AudioFormat, ms: int) -> bytes:
    """Something that a detector takes for a voice."""
    return from_pcm16(voice(audio.rate, ms), audio.encoding)


def silence(audio: AudioFormat, ms: int) -> bytes:
    """Nothing."""
    return audio.silence * (audio.bytes_in(ms) // audio.sample_bytes)


@cache
def converted(speech: tuple[AudioFormat, bytes], audio: AudioFormat) -> bytes:
    """A recording in another format."""
    converter = open_converter(speech[0], audio, live=False)
    return speech[1] if converter is None else converter.convert(speech[1]) + converter.finish()


@cache
def trimmed(speech: tuple[AudioFormat, bytes]) -> tuple[AudioFormat, bytes]:
    """A recording from just before its first word's first sound to just after its last word's last."""
    audio, samples = speech
    size = audio.bytes_in(FRAME_MS)
    frames = [samples[at : at + size] for at in range(0, len(samples), size)]
    levels = [level(to_pcm16(frame, audio.encoding)) for frame in frames]
    loud = [at for at, loudness in enumerate(levels) if loudness * QUIETER > max(levels)]
    margin = MARGIN_MS // FRAME_MS
    return audio, b"".join(frames[max(0, loud[0] - margin) : loud[-1] + 1 + margin])


@frozen
class Hearing:
    """A stream hears two utterances, each finalised, and is finished."""

    finishes: ClassVar[bool] = True

    speech: tuple[AudioFormat, bytes] | None = None
    """A recording, as its format and its audio; None: something like a voice."""
    words: str = ""
    """What is said in it."""
    call: AudioFormat = CALL
    """The call's format."""

    def in_call(self, call: AudioFormat) -> Hearing:
        """The same in a call of another format."""
        return evolve(self, call=call)

    def open(self, component: SpeechToText, variant: int) -> AbstractAsyncContextManager[TranscriptStream]:
        """A stream in the format that the component asks for."""
        del variant
        return component.open_stream(component.input_for(self.call), Listen())

    def format_of(self, component: SpeechToText) -> AudioFormat:
        """The format that it asks for."""
        return component.input_for(self.call).format

    async def begin(self, component: SpeechToText, stream: TranscriptStream, variant: int) -> None:
        """One short utterance, finalised."""
        del variant
        await self.utter(component, stream, spoken(component.input_for(self.call).format, BRIEF_MS))
        await stream.end_utterance()

    async def say(
        self, component: SpeechToText, stream: TranscriptStream, progress: Progress, variant: int, *, brief: bool
    ) -> None:
        """All utterances; other variants have other audio, and another number of utterances."""
        audio = component.input_for(self.call).format
        said = spoken(audio, BRIEF_MS) if brief else self.utterance(component, variant)
        for at in range(2 + variant % 3):
            await self.utter(component, stream, said, progress)
            if at == 1:
                await stream.listen_for(Listen(phrases=("yes", "no")))
                await stream.listen_for(Listen())
            progress.utterances += 1
            await stream.end_utterance()
        progress.finished = True
        await stream.finish()

    def open_much(self, component: SpeechToText, variant: int) -> AbstractAsyncContextManager[TranscriptStream]:
        """A stream like the others."""
        return self.open(component, variant)

    async def say_much(self, component: SpeechToText, stream: TranscriptStream, variant: int) -> None:
        """Two utterances, of which nobody asks what was heard."""
        for _ in range(2):
            await self.utter(component, stream, self.utterance(component, variant))
            await stream.end_utterance()

    def utterance(self, component: SpeechToText, variant: int = 0) -> bytes:
        """What is said once: the recording, or something like a voice, and a pause; each variant has its own length."""
        audio = component.input_for(self.call).format
        if self.speech is None:
            return spoken(audio, UTTERANCE_MS + 100 * variant) + silence(audio, PAUSE_MS)
        return converted(self.speech, audio) + silence(audio, PAUSE_MS + 100 * variant)

    def bare(self, component: SpeechToText) -> bytes:
        """What is said once, without any silence before or after it."""
        audio = component.input_for(self.call).format
        return spoken(audio, UTTERANCE_MS) if self.speech is None else converted(trimmed(self.speech), audio)

    async def utter(
        self, component: SpeechToText, stream: TranscriptStream, said: bytes, progress: Progress | None = None
    ) -> None:
        """Sends audio in the chunks that the component asks for."""
        wanted = component.input_for(self.call)
        size = wanted.format.bytes_in(wanted.chunk_ms)
        for at in range(0, len(said), size):
            chunk = said[at : at + size]
            if progress is not None:
                progress.sent += len(chunk)
            await stream.send(chunk)

    def essence(self, events: list[Any]) -> tuple[Any, ...]:
        """All transcripts (how far partial ones reach is a matter of moments); the finals; all their words."""
        all_of_them = [event for event in events if isinstance(event, Transcript)]
        transcripts = [one if one.final else evolve(one, audio_end_ms=None) for one in all_of_them]
        finals = [transcript.text for transcript in transcripts if transcript.final]
        return transcripts, finals, words_of(" ".join(finals))


def words_of(text: str) -> list[str]:
    """The words of a text as they compare: in lower case, without punctuation."""
    return words_in(text)
