"""Hours of a week, as routes name them: `mon-fri 09:00-17:00`. Pure; a text becomes the set of its minutes.

A set of minutes is a whole number with a bit for each minute of the week, from Monday 00:00: so a union is `|`, and one
set is within another if `first & ~second` is 0.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from voicepipe.documents.suggestions import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""The days as they are written; whole names may be written too."""

DAY = 24 * 60
"""The minutes of a day on a wall clock."""

WEEK = 7 * DAY
"""The minutes of a week."""

ALWAYS = (1 << WEEK) - 1
"""All minutes of a week."""

_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_AROUND_MARKS = re.compile(r"\s*([,\u2013-])\s*")
_EXAMPLE = 'for example "mon-fri 09:00-17:00", or a list of such texts'


class TimeTextError(ValueError):
    """A text is no hours or no date; `hint` says how to write it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@lru_cache(maxsize=1024)
def minutes_of(text: str) -> int:
    """Returns the minutes of one text: days, times, or days and then times.

    `mon-fri,sun 09:00-12:00,13:00-17:00`: days and times may be lists and ranges. Without days it is every day, without
    times the whole day. A range of times ends before its end, and goes on into the next day if that is earlier than
    its beginning: `fri 22:00-06:00` ends on Saturday.

    Raises:
        TimeTextError: the text can't be understood.

    """
    parts = _AROUND_MARKS.sub(lambda mark: "," if mark[1] == "," else "-", text.strip().lower()).split()
    if not parts:
        raise TimeTextError("is empty", _EXAMPLE)
    if len(parts) > 2:
        hint = f"write one kind of day in a text, and several in a list: {_EXAMPLE}"
        raise TimeTextError(f"{shown(text)} has more than days and times", hint)
    days = parts[0] if not parts[0][0].isdigit() else ""
    times = parts[1] if len(parts) == 2 else "" if days else parts[0]
    if len(parts) == 2 and not days:
        raise TimeTextError(f"{shown(text)} has times before its days", _EXAMPLE)
    minutes = 0
    for day in _days_of(days):
        for begins, length in _times_of(times, text):
            first = day * DAY + begins
            minutes |= _rotated((1 << length) - 1, first)
    return minutes


def all_minutes_of(texts: Iterable[str]) -> int:
    """Returns the minutes of several texts; raises `TimeTextError`."""
    minutes = 0
    for text in texts:
        minutes |= minutes_of(str(text))
    return minutes


def is_within(local: datetime, minutes: int) -> bool:
    """Returns True if a wall clock's time of a week is among these minutes."""
    return bool(minutes >> (local.weekday() * DAY + local.hour * 60 + local.minute) & 1)


def _rotated(minutes: int, by: int) -> int:
    """Returns minutes that begin so many minutes after Monday 00:00; what passes Sunday's end begins the week."""
    moved = minutes << by
    return (moved | moved >> WEEK) & ALWAYS


def _days_of(text: str) -> list[int]:
    days: list[int] = []
    for part in text.split(",") if text else []:
        first, dash, last = part.partition("-")
        begins, ends = _day(first), _day(last if dash else first)
        days += [(begins + number) % 7 for number in range((ends - begins) % 7 + 1)]
    return days or [*range(7)]


def _day(text: str) -> int:
    for names in (DAYS, _NAMES):
        if text in names:
            return names.index(text)
    raise TimeTextError(f"{shown(text)} is no day of the week", did_you_mean(text, DAYS, "days"))


def _times_of(text: str, whole: str) -> list[tuple[int, int]]:
    """Returns the ranges of times, each as its first minute and its length in minutes."""
    times: list[tuple[int, int]] = []
    for part in text.split(",") if text else ["00:00-24:00"]:
        first, dash, last = part.partition("-")
        if not dash:
            raise TimeTextError(f"{shown(whole)} has a time without an end", f"write {first or '09:00'}-17:00")
        begins, ends = _minute(first, whole), _minute(last, whole)
        if begins == DAY:
            raise TimeTextError(
                f"{shown(whole)} begins at 24:00", "24:00 can be an end only: write 00:00 of the next day"
            )
        if begins == ends:
            hint = f"write another end, or 00:00-24:00 for the whole day; the end itself is not in the range: {first}"
            raise TimeTextError(f"{shown(whole)} has a range of no length", hint)
        times.append((begins, (ends - begins) % DAY or DAY))
    return times


def _minute(text: str, whole: str) -> int:
    match = _TIME.fullmatch(text)
    hour, minute = (int(match[1]), int(match[2])) if match else (99, 0)
    if hour > 24 or minute > 59 or (hour == 24 and minute):
        raise TimeTextError(
            f"{shown(whole)} has a time that can't be read: {shown(text)}", "write hours and minutes: 09:00-17:30"
        )
    return hour * 60 + minute
