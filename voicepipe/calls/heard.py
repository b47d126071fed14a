"""How much of a reply was heard: from played audio back to text, sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Sequence


MS_A_CHAR = 65.0
"""How long a character of speech lasts, in ms, until a whole segment tells: about 150 words a minute."""

FASTEST_MS_A_CHAR = 45.0
"""The least that a character takes: less audio than that is not all of a segment."""


@define
class Segment:
    """One piece of a reply's text and its place in the reply's audio."""

    text: str
    """What is spoken."""
    start_ms: float | None = None
    """Where its audio begins in the reply; None: none has come yet."""
    end_ms: float = 0.0
    """Where the audio that has come so far ends."""
    complete: bool = False
    """Whether all its audio has come."""
    marks: list[tuple[float, int]] = field(factory=list)
    """(ms since the segment began, characters spoken by then), rising."""


def heard_text(segments: Sequence[Segment], played_ms: float) -> str:
    """The words of a reply that were heard when `played_ms` of its audio had been played; whole words only."""
    pace = _ms_a_char(segments)
    return " ".join(filter(None, (_heard_of(segment, played_ms, pace) for segment in segments)))


def split_spoken(segments: Sequence[Segment], index: int) -> tuple[str, str]:
    """What the audio that has come of a segment says, and what is left of its text when no more comes.

    A word that was begun counts as said: better a word too few than one twice.
    """
    segment = segments[index]
    text, lasts_ms = segment.text, segment.end_ms - (segment.start_ms or 0.0)
    if segment.marks:
        chars = max((chars for at_ms, chars in segment.marks if at_ms <= lasts_ms), default=0)
    else:
        chars = int(lasts_ms / _ms_a_char(segments))
    if " " in text:
        cut = text.find(" ", chars)
        chars = len(text) if cut < 0 else cut
    return text[:chars].rstrip(), text[chars:].strip()


def _ms_a_char(segments: Sequence[Segment]) -> float:
    spoken = [segment for segment in segments if segment.complete and segment.start_ms is not None]
    chars = sum(len(segment.text) for segment in spoken)
    return sum(segment.end_ms - (segment.start_ms or 0) for segment in spoken) / chars if chars else MS_A_CHAR


def _heard_of(segment: Segment, played_ms: float, pace: float) -> str:
    if segment.start_ms is None or played_ms <= segment.start_ms:
        return ""
    if segment.complete and played_ms >= segment.end_ms:
        return segment.text
    into_ms, lasts_ms = played_ms - segment.start_ms, segment.end_ms - segment.start_ms
    if segment.marks:
        chars = max((chars for at_ms, chars in segment.marks if at_ms <= into_ms), default=0)
    elif segment.complete:
        chars = int(len(segment.text) * into_ms / max(lasts_ms, 1.0))
    elif into_ms >= lasts_ms >= len(segment.text) * FASTEST_MS_A_CHAR:
        # Speech is made faster than it sounds: audio that has run out is all there was, if it is enough for the text.
        return segment.text
    else:
        chars = int(len(segment.text) * into_ms / max(lasts_ms, len(segment.text) * pace))
    return _whole_words(segment.text, chars)


def _whole_words(text: str, chars: int) -> str:
    if chars >= len(text):
        return text
    # A word that had begun but not ended was not heard.
    cut = text.rfind(" ", 0, chars + 1)
    return text[:cut].rstrip() if cut > 0 else ""
