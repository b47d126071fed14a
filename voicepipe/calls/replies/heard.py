"""Computes the part of a reply's text that was heard, from the audio that was played. Sans-IO.

The beginning and the end of each segment in the reply's audio are known (see the three clocks in `speaking`). For the
position in the text at a given moment, there are up to four sources, the best first:

1. A segment whose audio is complete and was played to its end was heard as a whole.
2. Marks of the synthesiser: the latest one before that moment.
3. The segment's length, if its audio is complete: characters in proportion to time.
4. The pace of the reply's complete segments, or `MS_A_CHAR` if there is none. Audio that has run out counts as all of
   the segment if it is long enough for its text (`FASTEST_MS_A_CHAR`): speech is made faster than it sounds.

The result is always whole words. A word that had begun but not ended was not heard.

Marks and lengths are of what the synthesiser got (`spoken`: "five dollars"), but the conversation holds what the model
wrote (`text`: "$5"). `_in_text` converts positions by the words that both have.
"""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from attrs import Factory, define, field

from voicepipe.text.segmenting import WIDE

if TYPE_CHECKING:
    from collections.abc import Sequence


MS_A_CHAR = 65.0
"""The length of a character of speech, in ms, until a complete segment shows it: about 150 words a minute."""

FASTEST_MS_A_CHAR = 45.0
"""The shortest time of a character, in ms: less audio is not all of a segment."""


@define
class SpokenSegment:
    """A piece of a reply's text, and its place in the reply's audio."""

    text: str
    """The piece in the model's own words."""
    spoken: str = field(default=Factory(lambda segment: segment.text, takes_self=True), kw_only=True)
    """The text as the synthesiser gets it. Marks and durations are of this."""
    start_ms: float | None = None
    """The beginning of its audio, in ms of the reply's audio; None: none has come yet."""
    end_ms: float = 0.0
    """The end of its audio so far, in ms of the reply's audio."""
    complete: bool = False
    """True if all of its audio has come."""
    marks: list[tuple[float, int]] = field(factory=list)
    """The synthesiser's marks, rising: (ms since the segment began, characters spoken by then)."""

    @property
    def has_words(self) -> bool:
        """True if a voice owes audio for it: for an emoji or mere punctuation there may be none."""
        return any(map(str.isalnum, self.spoken))


def heard_text(segments: Sequence[SpokenSegment], played_ms: float) -> str:
    """Returns the words of a reply that were heard when `played_ms` of its audio had been played; whole words only."""
    pace = _ms_a_char(segments)
    return " ".join(filter(None, (_heard_of(segment, played_ms, pace) for segment in segments)))


def split_spoken(segments: Sequence[SpokenSegment], index: int) -> SpokenSegment | None:
    """Cuts a segment where its audio ends, because no more of it comes.

    It is cut between words, where the script has spaces. A word of which at least half was said counts as said; one of
    which less was said comes again.

    Args:
        segments: the reply's; the one at `index` is shortened.
        index: the index of the segment to cut.

    Returns:
        The rest, which is still to be spoken, as a segment of its own; None: there is none.

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
    left = SpokenSegment(segment.text[at:].strip(), spoken=rest)
    segment.text, segment.spoken = segment.text[:at].rstrip(), spoken[:chars].rstrip()
    return left


def _ms_a_char(segments: Sequence[SpokenSegment]) -> float:
    spoken = [segment for segment in segments if segment.complete and segment.start_ms is not None]
    chars = sum(len(segment.spoken) for segment in spoken)
    return sum(segment.end_ms - (segment.start_ms or 0) for segment in spoken) / chars if chars else MS_A_CHAR


def _heard_of(segment: SpokenSegment, played_ms: float, pace: float) -> str:
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


def _in_text(segment: SpokenSegment, chars: int) -> int:
    """Converts a position in the spoken form to one in the text.

    Words that both have are fixed points; between two of them, positions are in proportion.
    """
    if segment.spoken == segment.text or chars >= len(segment.spoken):
        return len(segment.text) if chars >= len(segment.spoken) else chars
    spoken, text = [*re.finditer(r"\S+", segment.spoken)], [*re.finditer(r"\S+", segment.text)]
    matcher = SequenceMatcher(None, [word.group() for word in spoken], [word.group() for word in text], autojunk=False)
    before = (0, 0)
    after = (len(segment.spoken), len(segment.text))
    for in_spoken, in_text, size in matcher.get_matching_blocks():
        words = zip(spoken[in_spoken : in_spoken + size], text[in_text : in_text + size], strict=True)
        for spoken_word, text_word in words:
            for place in zip(spoken_word.span(), text_word.span(), strict=True):
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
