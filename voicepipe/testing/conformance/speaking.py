"""The use of text-to-speech streams: the texts that they speak, and the comparison of what comes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen
from attrs.validators import min_len

from voicepipe.audio import AudioFormat
from voicepipe.components.events import SpeechAudio, SpeechMark
from voicepipe.testing.conformance.hearing import CALL
from voicepipe.testing.conformance.verdicts import Failed

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from voicepipe.components.protocols import SpeechStream, TextToSpeech
    from voicepipe.testing.conformance.subject import Progress

SEGMENTS = (
    "Good morning.",
    "You have reached the surgery of Doctor Jones.",
    "If you would like to make an appointment, please say so now.",
)
"""The default texts."""

MS_A_CHAR = (36.0, 92.0)
"""The least and the most time that a character of `SEGMENTS` lasts, in ms, on average. English voices take 46 to 72 ms;
at half or twice their rate they are out of these bounds."""

MS_A_CHAR_OF_ANY = (20.0, 300.0)
"""The least and the most time for other texts, in ms: 450 words a minute take 25, a Chinese character up to 300."""

MUCH = 300
"""A length in characters that is more than adapters usually synthesise ahead."""

NUMBERS = ("One.", "Two, please.", "Three or so.", "Four of them.", "Five, or six.", "Seven days.", "Eight o'clock.")
"""The first segments of variants."""


@frozen
class Speaking:
    """Speaks some segments, and finishes."""

    finishes: ClassVar[bool] = True

    segments: tuple[str, ...] = field(default=SEGMENTS, validator=min_len(2))
    """The texts."""
    language: str | None = None
    """The language for `open_stream`."""
    ms_a_char: tuple[float, float] = MS_A_CHAR
    """The least and the most time that a character may last, in ms."""
    call: AudioFormat = CALL
    """The call's format."""

    def open(self, component: TextToSpeech, variant: int) -> AbstractAsyncContextManager[SpeechStream]:
        """Opens a stream in the component's format for the call."""
        del variant
        return component.open_stream(component.output_for(self.call), self.language)

    def format_of(self, component: TextToSpeech) -> AudioFormat:
        """Returns the component's format for the call."""
        return component.output_for(self.call)

    async def begin(self, component: TextToSpeech, stream: SpeechStream, variant: int) -> None:
        """Sends the first segment."""
        del component
        await stream.send(self.texts(variant)[0], 0)

    async def say(
        self, component: TextToSpeech, stream: SpeechStream, progress: Progress, variant: int, *, brief: bool
    ) -> None:
        """Sends all segments, with `brief` the first two, and finishes."""
        del component
        for segment, text in enumerate(self.texts(variant)[: 2 if brief else None]):
            progress.sent += 1
            await stream.send(text, segment)
        progress.finished = True
        await stream.finish()

    def open_much(self, component: TextToSpeech, variant: int) -> AbstractAsyncContextManager[SpeechStream]:
        """Opens a stream."""
        return self.open(component, variant)

    async def say_much(self, component: TextToSpeech, stream: SpeechStream, variant: int) -> None:
        """Sends some twenty seconds of speech, in one segment."""
        del component
        text = " ".join(self.texts(variant))
        await stream.send(" ".join([text] * (1 + MUCH // len(text))), 0)

    def texts(self, variant: int = 0) -> tuple[str, ...]:
        """Returns the segments of a variant."""
        return (NUMBERS[variant % len(NUMBERS)], *self.segments[1:]) if variant else self.segments

    def text_of(self, segment: int) -> str:
        """Returns the text of a segment that audio came for.

        Raises:
            Failed: no such segment was sent.

        """
        texts = self.texts()
        if not 0 <= segment < len(texts):
            raise Failed(f"audio came for segment {segment}, which was not sent: the last one is {len(texts) - 1}")
        return texts[segment]

    def essence(self, events: list[Any]) -> tuple[Any, ...]:
        """Returns the exact audio and marks of each segment, and the segments that were spoken."""
        audio: dict[int, bytes] = defaultdict(bytes)
        for event in events:
            if isinstance(event, SpeechAudio):
                audio[event.segment] += event.audio
        marks = [event for event in events if isinstance(event, SpeechMark)]
        return Exactly(dict(audio), marks), sorted(audio)


@frozen
class Exactly:
    """Speech, sample by sample."""

    audio: dict[int, bytes]
    """The audio by segment."""
    marks: list[SpeechMark]
    """All marks, in order."""

    def __repr__(self) -> str:
        sizes = ", ".join(f"segment {segment}: {len(audio)} bytes" for segment, audio in sorted(self.audio.items()))
        return f"{sizes or 'no audio'}; {len(self.marks)} marks"
