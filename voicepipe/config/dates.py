"""Dates, as routes name them: `2026-12-24`, `12-25` for each year, and ranges of both. Pure."""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from attrs import frozen

from voicepipe.config.hours import TimeTextError
from voicepipe.documents.suggestions import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

_DAY = re.compile(r"(?:(?P<year>[0-9]{4})-)?(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})")
_LEAP_YEAR = 2024
_HINT = 'write "2026-12-24", "12-25" for each year, or "2026-12-24..2026-12-26"'


@frozen
class Dates:
    """A date, or a range of them with its last one; each year's, or those of certain years."""

    first: tuple[int, ...]
    """Year, month and day, or month and day."""
    last: tuple[int, ...]
    """The last date of the range, written as `first` is; of a range of each year it may be earlier: `12-24..01-06`."""

    def has(self, day: date) -> bool:
        """Returns True if a date is in the range."""
        written = (day.year, day.month, day.day)[-len(self.first) :]
        if self.first <= self.last:
            return self.first <= written <= self.last
        return written >= self.first or written <= self.last


@lru_cache(maxsize=1024)
def dates_of(text: str) -> Dates:
    """Returns the dates of a text.

    Raises:
        TimeTextError: the text is no date and no range of dates, or a range ends before it begins.

    """
    first, dots, last = text.strip().partition("..")
    begins = _date(first.strip(), text)
    ends = _date(last.strip(), text) if dots else begins
    if len(begins) != len(ends):
        raise TimeTextError(f"{shown(text)} has a year on one side only", _HINT)
    if len(begins) == 3 and ends < begins:
        raise TimeTextError(f"{shown(text)} ends before it begins", "write the earlier date first")
    return Dates(begins, ends)


def any_has(texts: Iterable[str], day: date) -> str | None:
    """Returns the first of several texts whose dates include a day; None if none does."""
    return next((text for text in texts if dates_of(str(text)).has(day)), None)


def _date(text: str, whole: str) -> tuple[int, ...]:
    match = _DAY.fullmatch(text)
    if match is None:
        raise TimeTextError(f"{shown(whole)} is no date", _HINT)
    month, day = int(match["month"]), int(match["day"])
    year = int(match["year"] or _LEAP_YEAR)
    try:
        date(year, month, day)
    except ValueError:
        raise TimeTextError(f"{shown(whole)}: there is no day {text}", _HINT) from None
    return (year, month, day) if match["year"] else (month, day)
