"""Filters of the templates: how times, lengths and numbers are written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from reference_engine.records import lengths

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNKNOWN = "\N{EN DASH}"
"""What stands for a value that is not known."""


def instant(moment: datetime) -> str:
    """Returns a time for the attribute `datetime`: `2026-12-01T02:30:00Z`."""
    return moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def clock(moment: datetime) -> str:
    """Returns a time in UTC to be read: `2026-12-01 02:30:00`."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def length(seconds: float | None) -> str:
    """Returns a length of time: `0:07`, `12:34`, `1:02:03`; a dash for None."""
    if seconds is None:
        return UNKNOWN
    return lengths.length(seconds)


def milliseconds(value: float | None) -> str:
    """Returns a response time: `340 ms`, `1.25 s`; a dash for None."""
    if value is None:
        return UNKNOWN
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def counted(number: int, noun: str) -> str:
    """Returns `1 call`, `2 calls`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def console_parts(text: str) -> list[tuple[str, bool]]:
    """Returns a text of the console in parts, each with whether it is a line of a file with a caret below it."""
    parts: list[tuple[str, bool]] = []
    for line in text.split("\n"):
        if line.strip("~ ") == "^" and parts:
            above, _, source = parts.pop()[0].rpartition("\n")
            parts += [(above, False)] if above else []
            parts.append((f"{source}\n{line}", True))
        elif parts and not parts[-1][1]:
            parts[-1] = (f"{parts[-1][0]}\n{line}", False)
        else:
            parts.append((line, False))
    return parts


FILTERS: Mapping[str, Callable[..., Any]] = {
    "instant": instant,
    "clock": clock,
    "length": length,
    "milliseconds": milliseconds,
    "counted": counted,
    "length_of": len,
    "console_parts": console_parts,
}
"""The filters by name."""
