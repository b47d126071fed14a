"""How much of a reply was heard: from played audio back to text, sans-IO."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from attrs import Factory, define, field

from voicepipe.text.segmenting import WIDE

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
    """In the model's own words."""
    spoken: str = field(default=Factory(lambda segment: segment.text, takes_self=True), kw_only=True)
    """As the synthesiser gets it, which is what marks and durations are of."""
    start_ms: float | None = None
    """Where its audio begins in the reply; None: none has come yet."""
    end_ms: float = 0.0
    """Where the audio that has come so far ends."""
    complete: bool = False
    """Whether all its audio has come."""
    marks: list[tuple[float, int]] = field(factory=list)
    """(ms since the segment began, characters spoken by then), rising."""

    @property
    def has_words(self) -> bool:
        """Whether a voice owes audio for it: an emoji or mere punctuation may be passed over in silence."""
        return any(map(str.isalnum, self.spoken))


def heard_text(segments: Sequence[Segment], played_ms: float) -> str:
    """The words of a reply that were heard when `played_ms` of its audio had been played; whole words only."""
    pace = _ms_a_char(segments)
    return " ".join(filter(None, (_heard_of(segment, played_ms, pace) for segment in segments)))


def split_spoken(segments: Sequence[Segment], index: int) -> Segment | None:
    """Cuts a segment where its audio ends, when no more comes; gives what is left to speak.

    It is cut between words, where a script has spaces: one that was half said counts as said, one that was only begun
    comes again.
    """
    segment = segments[index]
    spoken, lasts_ms = segment.spoken, segment.end_ms - (segment.start_ms or 0.0)
    at_ms, marked = max((mark for mark in segment.marks if mark[0] <= lasts_ms), default=(0.0, 0))
    chars = min(len(spoken), marked + int((lasts_ms - at_ms) / _ms_a_char(segments)))
    if not WIDE.search(spoken):
        begins, ends = spoken.rfind(" ", 0, chars) + 1, spoken.find(" ", chars)
        ends = len(spoken) if ends < 0 else ends
        chars = ends if 2 * (chars - begins) >= ends - begins else begins
    rest = spoken[chars:].strip()
    if not rest:
        return None
    at = _in_text(segment, chars)
    left = Segment(segment.text[at:].strip(), spoken=rest)
    segment.text, segment.spoken = segment.text[:at].rstrip(), spoken[:chars].rstrip()
    return left


def _ms_a_char(segments: Sequence[Segment]) -> float:
    spoken = [segment for segment in segments if segment.complete and segment.start_ms is not None]
    chars = sum(len(segment.spoken) for segment in spoken)
    return sum(segment.end_ms - (segment.start_ms or 0) for segment in spoken) / chars if chars else MS_A_CHAR


def _heard_of(segment: Segment, played_ms: float, pace: float) -> str:
    if segment.start_ms is None or played_ms <= segment.start_ms:
        return ""
    if segment.complete and played_ms > segment.end_ms - 1.0:  # sums of fractions may fall short of it
        return segment.text
    into_ms, lasts_ms, length = played_ms - segment.start_ms, segment.end_ms - segment.start_ms, len(segment.spoken)
    if segment.marks:
        chars = max((chars for at_ms, chars in segment.marks if at_ms <= into_ms), default=0)
    elif segment.complete:
        chars = int(length * into_ms / max(lasts_ms, 1.0))
    elif into_ms >= lasts_ms >= length * FASTEST_MS_A_CHAR:
        # Speech is made faster than it sounds: audio that has run out is all there was, if it is enough for the text.
        return segment.text
    else:
        chars = int(length * into_ms / max(lasts_ms, length * pace))
    return _whole_words(segment.text, _in_text(segment, chars))


def _in_text(segment: Segment, chars: int) -> int:
    """How far into a segment's text one is when so many characters of what is spoken were said.

    Words that both have tell; between them, in proportion.
    """
    if segment.spoken == segment.text or chars >= len(segment.spoken):
        return len(segment.text) if chars >= len(segment.spoken) else chars
    spoken, text = [*re.finditer(r"\S+", segment.spoken)], [*re.finditer(r"\S+", segment.text)]
    matcher = SequenceMatcher(None, [word.group() for word in spoken], [word.group() for word in text], autojunk=False)
    before = (0, 0)
    after = (len(segment.spoken), len(segment.text))
    for one, other, size in matcher.get_matching_blocks():
        for word, same in zip(spoken[one : one + size], text[other : other + size], strict=True):
            for place in zip(word.span(), same.span(), strict=True):
                if place[0] > chars:
                    after = min(after, place)
                else:
                    before = place
    share = (chars - before[0]) / (after[0] - before[0])
    return before[1] + int((after[1] - before[1]) * share)


def _whole_words(text: str, chars: int) -> str:
    if chars >= len(text):
        return text
    # A word that had begun but not ended was not heard.
    cut = text.rfind(" ", 0, chars + 1)
    while chars > max(cut, 0) and not WIDE.match(text[chars - 1]):  # a script without spaces
        chars -= 1
    return text[: max(cut, chars)].rstrip() if cut > 0 or chars else ""
