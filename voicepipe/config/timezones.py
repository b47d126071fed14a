"""Time zones by their names in the IANA database: the machine's own, or else that of the package tzdata."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from voicepipe.documents.suggestions import did_you_mean, likely, shown

if TYPE_CHECKING:
    from typing import Any

    from voicepipe.documents import Cursor

UTC = "UTC"
"""The name of the zone of a file that names none: it is the same on every machine."""

_OF_THIS_MACHINE = frozenset({"localtime", "Factory", "posixrules"})
"""Names of a database that are no places: what they mean differs between machines."""


class TimeZone(str):
    """The name of a time zone that exists: `Europe/Berlin`."""

    __slots__ = ()


IN_UTC = TimeZone(UTC)
"""The zone of a file that names none."""


def zone_of(name: str) -> ZoneInfo:
    """Returns the time zone of that name; raises `KeyError` if there is none."""
    if name in _OF_THIS_MACHINE:
        raise ZoneInfoNotFoundError(name)
    try:
        return ZoneInfo(name)
    except (ValueError, OSError):  # a name such as `../x`, or that of a directory
        raise ZoneInfoNotFoundError(name) from None


def read_timezone(cursor: Cursor, _: Any) -> TimeZone:
    """Returns the name of a time zone; refuses one that there is not."""
    text = str(cursor.text())
    if not cursor.unknown:
        try:
            zone_of(text)
        except KeyError:
            cursor.refuse(f"there is no time zone {cursor.given}", _hint(text))
    return TimeZone(text)


@lru_cache(maxsize=1)
def _names() -> tuple[str, ...]:
    return tuple(sorted(available_timezones() - _OF_THIS_MACHINE))


def _hint(text: str) -> str:
    usual = ("UTC", "Europe/London", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "Asia/Tokyo")
    if re.fullmatch(r"(?:UTC|GMT)?[+-][0-9:]+", text):
        return f"write the place, which knows its daylight saving time: {', '.join(usual)}"
    city = text.rpartition("/")[2].replace(" ", "_")
    cities: dict[str, str] = {}
    for name in _names():
        cities.setdefault(name.rpartition("/")[2], name)
    plain = {name.lower(): name for name in _names()}
    near = likely(city, tuple(cities))
    guess = plain.get(text.lower().replace(" ", "_")) or (cities[near] if near else None) or likely(text, _names())
    question = f"did you mean {shown(guess)}? " if guess else ""
    return question + did_you_mean("", usual, "time zones, such as")
