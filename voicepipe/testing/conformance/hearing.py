"""The use of speech-to-text streams: the audio that they hear, and the comparison of what comes."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import trio
from attrs import evolve, frozen

from voicepipe.audio import AudioFormat, from_pcm16, level, open_converter, to_pcm16
from voicepipe.components.events import Transcript
from voicepipe.components.protocols import NowaitTranscriptStream
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
"""The duration of an utterance, and of the silence after it, in ms."""

BRIEF_MS = 200
"""The duration of an utterance whose words don't matter, in ms."""


FRAME_MS = 10
"""The step in which a recording is trimmed, in ms."""

MARGIN_MS = 60
"""The silence that is left around words, in ms: recognisers need it, and it does not hide a loss of 300 ms."""

QUIETER = 30
"""The factor by which a frame is quieter than the loudest one if it is no part of a word."""


def spoken(audio: AudioFormat, ms: int) -> bytes:
    """Returns a synthetic voice, which speech detectors take for speech."""
    return from_pcm16(voice(audio.rate, ms), audio.encoding)


def silence(audio: AudioFormat, ms: int) -> bytes:
    """Returns silence."""
    return audio.silence * (audio.bytes_in(ms) // audio.sample_bytes)


@cache
def converted(speech: tuple[AudioFormat, bytes], audio: AudioFormat) -> bytes:
    """Returns a recording in another format."""
    converter = open_converter(speech[0], audio, live=False)
    return speech[1] if converter is None else converter.convert(speech[1]) + converter.finish()


@cache
def trimmed(speech: tuple[AudioFormat, bytes]) -> tuple[AudioFormat, bytes]:
    """Returns a recording without the silence before its first word and after its last word."""
    audio, samples = speech
    size = audio.bytes_in(FRAME_MS)
    frames = [samples[at : at + size] for at in range(0, len(samples), size)]
    levels = [level(to_pcm16(frame, audio.encoding)) for frame in frames]
    loud = [at for at, loudness in enumerate(levels) if loudness * QUIETER > max(levels)]
    margin = MARGIN_MS // FRAME_MS
    return audio, b"".join(frames[max(0, loud[0] - margin) : loud[-1] + 1 + margin])


WAITING_CHUNKS = 3
"""One chunk in so many is sent with `send` although the stream may take it without waiting."""


@frozen
class Hearing:
    """Sends two utterances, each finalised, and finishes."""

    finishes: ClassVar[bool] = True

    speech: tuple[AudioFormat, bytes] | None = None
    """A recording, as its format and its audio; None: a synthetic voice."""
    words: str = ""
    """The words of the recording."""
    call: AudioFormat = CALL
    """The call's format."""

    def in_call(self, call: AudioFormat) -> Hearing:
        """Returns this use in a call of another format."""
        return evolve(self, call=call)

    def open(self, component: SpeechToText, variant: int) -> AbstractAsyncContextManager[TranscriptStream]:
        """Opens a stream in the format that the component asks for."""
        del variant
        return component.open_stream(component.input_for(self.call), Listen())

    def format_of(self, component: SpeechToText) -> AudioFormat:
        """Returns the format that the component asks for."""
        return component.input_for(self.call).format

    async def begin(self, component: SpeechToText, stream: TranscriptStream, variant: int) -> None:
        """Sends one short utterance, and finalises it."""
        del variant
        await self.utter(component, stream, spoken(component.input_for(self.call).format, BRIEF_MS))
        await stream.end_utterance()

    async def say(
        self, component: SpeechToText, stream: TranscriptStream, progress: Progress, variant: int, *, brief: bool
    ) -> None:
        """Sends all utterances; variants differ in their audio and in the number of utterances."""
        audio = component.input_for(self.call).format
        utterance = spoken(audio, BRIEF_MS) if brief else self.utterance(component, variant)
        for at in range(2 + variant % 3):
            await self.utter(component, stream, utterance, progress)
            if at == 1:
                await stream.listen_for(Listen(phrases=("yes", "no")))
                await stream.listen_for(Listen())
            progress.utterances += 1
            await stream.end_utterance()
        progress.finished = True
        await stream.finish()

    def open_much(self, component: SpeechToText, variant: int) -> AbstractAsyncContextManager[TranscriptStream]:
        """Opens a stream."""
        return self.open(component, variant)

    async def say_much(self, component: SpeechToText, stream: TranscriptStream, variant: int) -> None:
        """Sends two utterances, whose transcripts are not received."""
        for _ in range(2):
            await self.utter(component, stream, self.utterance(component, variant))
            await stream.end_utterance()

    def utterance(self, component: SpeechToText, variant: int = 0) -> bytes:
        """Returns the audio of an utterance and a pause; each variant has its own length."""
        audio = component.input_for(self.call).format
        if self.speech is None:
            return spoken(audio, UTTERANCE_MS + 100 * variant) + silence(audio, PAUSE_MS)
        return converted(self.speech, audio) + silence(audio, PAUSE_MS + 100 * variant)

    def bare(self, component: SpeechToText) -> bytes:
        """Returns the audio of an utterance without silence before or after it."""
        audio = component.input_for(self.call).format
        return spoken(audio, UTTERANCE_MS) if self.speech is None else converted(trimmed(self.speech), audio)

    async def utter(
        self,
        component: SpeechToText,
        stream: TranscriptStream,
        speech: bytes,
        progress: Progress | None = None,
        *,
        waits: bool | None = None,
    ) -> None:
        """Sends audio in the chunks that the component asks for, as a call does.

        Args:
            component: the component.
            stream: gets the audio.
            speech: the audio.
            progress: counts what was sent.
            waits: True sends with `send`, False without waiting where the stream takes it; None mixes both.

        """
        wanted = component.input_for(self.call)
        size = wanted.format.bytes_in(wanted.chunk_ms)
        for at in range(0, len(speech), size):
            chunk = speech[at : at + size]
            if progress is not None:
                progress.sent += len(chunk)
            mixed = at // size % WAITING_CHUNKS == WAITING_CHUNKS - 1
            await send_as_calls_do(stream, chunk, waits=mixed if waits is None else waits)

    def essence(self, events: list[Any]) -> tuple[Any, ...]:
        """Returns all transcripts, without the ends of partial ones, which depend on timing; the finals; all words."""
        given = [event for event in events if isinstance(event, Transcript)]
        transcripts = [event if event.final else evolve(event, audio_end_ms=None) for event in given]
        finals = [transcript.text for transcript in transcripts if transcript.final]
        return transcripts, finals, words_of(" ".join(finals))


async def send_as_calls_do(stream: TranscriptStream, chunk: bytes, *, waits: bool) -> None:
    """Sends audio without waiting, if the stream takes it, and else with `send`.

    Args:
        stream: gets the audio.
        chunk: the audio.
        waits: whether `send` is used in any case, as a call does for audio that came while it had to wait.

    """
    if not waits and isinstance(stream, NowaitTranscriptStream):
        try:
            stream.send_nowait(chunk)
        except trio.WouldBlock:
            pass
        else:
            await trio.lowlevel.checkpoint()  # audio comes in real time: other tasks run in between
            return
    await stream.send(chunk)


def words_of(text: str) -> list[str]:
    """Returns the words of a text for comparison: in lower case, without punctuation."""
    return words_in(text)
