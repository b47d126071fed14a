"""How much of a reply was heard: from played audio back to text, sans-IO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Sequence


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
    return " ".join(filter(None, (_heard_of(segment, played_ms) for segment in segments)))


def _heard_of(segment: Segment, played_ms: float) -> str:
    if segment.start_ms is None or played_ms <= segment.start_ms:
        return ""
    if segment.complete and played_ms >= segment.end_ms:
        return segment.text
    into_ms = played_ms - segment.start_ms
    if segment.marks:
        chars = max((chars for at_ms, chars in segment.marks if at_ms <= into_ms), default=0)
    else:
        chars = int(len(segment.text) * into_ms / max(segment.end_ms - segment.start_ms, 1.0))
    return _whole_words(segment.text, chars)


def _whole_words(text: str, chars: int) -> str:
    if chars >= len(text):
        return text
    # A word that had begun but not ended was not heard.
    cut = text.rfind(" ", 0, chars + 1)
    return text[:cut].rstrip() if cut > 0 else ""
