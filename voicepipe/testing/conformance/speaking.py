"""How text-to-speech streams are used: what they say, and what must come of it again."""

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
"""What is said if nothing else is handed in."""

MS_A_CHAR = (36.0, 92.0)
"""How long a character lasts in `SEGMENTS`, over all: English voices take 46 to 72 ms, and at half or twice their rate
less or more than this."""

MS_A_CHAR_OF_ANY = (20.0, 300.0)
"""The same for texts of any kind: 450 words a minute take 25 ms, a character of Chinese up to 300."""

MUCH = 300
"""How many characters are more than what is made ahead as a rule."""

NUMBERS = ("One.", "Two, please.", "Three or so.", "Four of them.", "Five, or six.", "Seven days.", "Eight o'clock.")
"""What tells one stream from another."""


@frozen
class Speaking:
    """A stream says some segments, and is finished."""

    finishes: ClassVar[bool] = True

    segments: tuple[str, ...] = field(default=SEGMENTS, validator=min_len(2))
    """The texts."""
    language: str | None = None
    """What `open_stream` is told."""
    ms_a_char: tuple[float, float] = MS_A_CHAR
    """How long a character may last, at least and at most."""
    call: AudioFormat = CALL
    """The call's format."""

    def open(self, component: TextToSpeech, variant: int) -> AbstractAsyncContextManager[SpeechStream]:
        """A stream in the format that the component has for the call."""
        del variant
        return component.open_stream(component.output_for(self.call), self.language)

    def format_of(self, component: TextToSpeech) -> AudioFormat:
        """The format that it gives."""
        return component.output_for(self.call)

    async def begin(self, component: TextToSpeech, stream: SpeechStream, variant: int) -> None:
        """The first segment."""
        del component
        await stream.send(self.texts(variant)[0], 0)

    async def say(
        self, component: TextToSpeech, stream: SpeechStream, progress: Progress, variant: int, *, brief: bool
    ) -> None:
        """All segments; if it is to be brief, the first two."""
        del component
        for segment, text in enumerate(self.texts(variant)[: 2 if brief else None]):
            progress.sent += 1
            await stream.send(text, segment)
        progress.finished = True
        await stream.finish()

    def open_much(self, component: TextToSpeech, variant: int) -> AbstractAsyncContextManager[SpeechStream]:
        """A stream like the others."""
        return self.open(component, variant)

    async def say_much(self, component: TextToSpeech, stream: SpeechStream, variant: int) -> None:
        """Some twenty seconds of speech, in one segment."""
        del component
        text = " ".join(self.texts(variant))
        await stream.send(" ".join([text] * (1 + MUCH // len(text))), 0)

    def texts(self, variant: int = 0) -> tuple[str, ...]:
        """The segments of a variant."""
        return (NUMBERS[variant % len(NUMBERS)], *self.segments[1:]) if variant else self.segments

    def text_of(self, segment: int) -> str:
        """What was to be said in a segment that audio came for.

        Raises:
            Failed: no such segment was sent.

        """
        texts = self.texts()
        if not 0 <= segment < len(texts):
            raise Failed(f"audio came for segment {segment}, which was not sent: the last one is {len(texts) - 1}")
        return texts[segment]

    def essence(self, events: list[Any]) -> tuple[Any, ...]:
        """Audio and marks of each segment; how much audio each has, to a tenth; which were spoken."""
        audio: dict[int, bytes] = defaultdict(bytes)
        for event in events:
            if isinstance(event, SpeechAudio):
                audio[event.segment] += event.audio
        marks = [event for event in events if isinstance(event, SpeechMark)]
        return Exactly(dict(audio), marks), sorted(audio)


@frozen
class Exactly:
    """What was spoken, sample by sample."""

    audio: dict[int, bytes]
    """By segment."""
    marks: list[SpeechMark]
    """All of them."""

    def __repr__(self) -> str:
        sizes = ", ".join(f"segment {segment}: {len(audio)} bytes" for segment, audio in sorted(self.audio.items()))
        return f"{sizes or 'no audio'}; {len(self.marks)} marks"
