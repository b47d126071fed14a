"""Times on a command line: an age such as `2h`, or a date with or without a time."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

FORMS = (
    "an age (30m, 2h, 7d), a date (2026-12-01), or a time (2026-12-01T03:00, of this machine's zone; or with +01:00, Z)"
)

_AGE = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def point_in_time(text: str) -> datetime:
    """Returns the time that an argument names, in UTC; for argparse's `type`.

    Raises:
        ArgumentTypeError: it names none.

    """
    try:
        if age := _AGE.fullmatch(text):
            return datetime.now(UTC) - timedelta(seconds=int(age[1]) * _SECONDS[age[2]])
        return datetime.fromisoformat(text).astimezone(UTC)  # without a zone it is this machine's
    except (ValueError, OverflowError):
        raise ArgumentTypeError(f"{text!r} is no time: write {FORMS}") from None
