"""Dates in words, and times so that no synthesiser takes them for decimal numbers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voicepipe.text.spoken.figures import L

if TYPE_CHECKING:
    from voicepipe.text.spoken.figures import Figures
    from voicepipe.text.spoken.signs import Words

_DASH = r"\s?[-–—]\s?"

DATE = re.compile(
    rf"(?<![{L}./-])([0-9]{{1,4}})(?:([/-])|(\.)\s?)([0-9]{{1,2}})(?(2)\2|\.\s?)([0-9]{{4}}|[0-9]{{2}})"
    r"(?:T([0-9]{2}:[0-9]{2})(?::[0-9]{2}(?:\.[0-9]+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?)?"
    rf"(?![{L}/-]|\.[0-9])"
)
DAY = re.compile(
    rf"(?<![{L}.,])([0-9]{{1,2}})\.([0-9]{{1,2}})\.(?:{_DASH}([0-9]{{1,2}})\.([0-9]{{1,2}})\.)?(?![{L}.]|\s?[0-9])"
)
_TO_DAY = re.compile(r"\s?bis\s?[0-9]{1,2}\.\s?[0-9]{1,2}\.")
ORDINALS = re.compile(rf"(?<![{L}.,])([0-9]{{1,2}}\.)\s?[–-]\s?([0-9]{{1,2}}\.)(?=\s[^\W\d_])")
CLOCK = re.compile(
    rf"(?<![{L}.,:])(?P<from>[0-9]{{1,2}}:[0-9]{{2}})(?P<s>:[0-9]{{2}})?"
    rf"(?:{_DASH}(?P<to>[0-9]{{1,2}}:[0-9]{{2}})(?::[0-9]{{2}})?)?(?![0-9:])"
)
_HALF = r"[0-9]{1,2}(?::[0-9]{2})?\s?[ap]\.?m\b\.?"
HALF_DAY = re.compile(
    rf"(?<![{L}.,:/-])(?P<from>{_HALF}|[0-9]{{1,2}}(?::[0-9]{{2}})?){_DASH}(?P<to>{_HALF})", re.IGNORECASE
)
_TIME = r"(?:[01]?[0-9]|2[0-4])\.[0-5][0-9]"
DOTTED = re.compile(
    rf"(?<![{L}.,:])(?P<from>{_TIME})(?:(?:{_DASH}|(?P<word> \w{{1,3}} ))(?P<to>{_TIME}))?"
    r"(?=\s?(?:Uhr|uur|hrs|heures|horas|[hH]\b))"
)
_HOUR = r"(?:[01]?[0-9]|2[0-4])\s?[hH](?:\s?[0-5][0-9])?"
HOURS = re.compile(rf"(?<![{L}.,:/])(?P<from>{_HOUR})(?:{_DASH}(?P<to>{_HOUR}))?(?![{L}/])")


def date(match: re.Match[str], figures: Figures, _words: Words | None) -> str | None:
    """`3 May 2026`, with the time if one stands with it; None: no date."""
    first, mark, dot, second, third, time = match.groups()
    wording = figures.date(first, mark or dot, second, third)
    return f"{wording}, {time}" if wording and time else wording


def day(match: re.Match[str], figures: Figures, words: Words | None) -> str | None:
    """`12. Mai`, where what stands before tells that it is one: `am 12.5.`, but not `kostet 12.5.`."""
    if words is None or not words.day_after:
        return None
    before, is_from = match.string[: match.start()], _TO_DAY.match(match.string, match.end())
    if not (match[3] or is_from or re.search(words.day_after, before, re.IGNORECASE)):
        return None
    first = figures.day(match[1], match[2])
    if first is None or match[3] is None:
        return first
    last = figures.day(match[3], match[4])
    return last and words.to.format(first, last)


def clock(match: re.Match[str], _figures: Figures, words: Words | None) -> str:
    """`9:00 to 17:00`; a single time stays as it is, and counts as understood."""
    if match["to"] is None or words is None or match["s"]:
        return match.group()
    return words.to.format(match["from"], match["to"])


def half_day(match: re.Match[str], _figures: Figures, words: Words | None) -> str | None:
    """`9am to 5pm`."""
    return None if words is None else words.to.format(match["from"], match["to"])


def dotted(match: re.Match[str], _figures: Figures, words: Words | None) -> str:
    """`8:30` of `8.30 Uhr`."""
    start, end = match["from"].replace(".", ":"), (match["to"] or "").replace(".", ":")
    if not end:
        return start
    return f"{start}{match['word']}{end}" if match["word"] else words.to.format(start, end) if words else match.group()


def hours(match: re.Match[str], _figures: Figures, words: Words | None) -> str | None:
    """`8 heures 30`, in a language in which `8h30` is nothing but a time."""
    if words is None or words.hours is None:
        return None
    start = _in_hours(match["from"], words.hours)
    return words.to.format(start, _in_hours(match["to"], words.hours)) if match["to"] else start


def ordinals(match: re.Match[str], figures: Figures, words: Words | None) -> str | None:
    """`5. bis 7.` of `5.–7. Mai`."""
    return None if words is None or not figures.has_dots else words.to.format(match[1], match[2])


def _in_hours(time: str, names: tuple[str, str]) -> str:
    hour, _, minutes = re.sub(r"\s", "", time.lower()).partition("h")
    wording = f"{int(hour)} {names[int(hour) > 1]}"
    return f"{wording} {minutes}" if minutes.strip("0") else wording
