"""Reads the filter of the page Calls from the query of its address, and writes it back. Sans-I/O.

What can't be read is left out and told, so that an address that was typed by hand shows something.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from attrs import field, frozen

from reference_engine.pages.call_words import OUTCOMES
from reference_engine.records.history import CallFilter

SPANS: Mapping[str, tuple[str, timedelta]] = {
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(hours=24)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}
"""The times that can be chosen: what they are called, and how long they are."""

STATES = {"failed": "something failed", "failover": "failover", "ended": "ended", "up": "up", "lost": "lost"}
"""The states that can be chosen; `failed` and `failover` are none of the record's."""

MAX_DIGITS = 9
"""The most digits of a version's number: an integer of a database has no more."""

LONGEST = 200
"""The most characters of a field that are looked for."""


@frozen
class AskedCalls:
    """The filter of the page as it was asked for."""

    fields: Mapping[str, str] = field(factory=dict)
    """What was given, by field; none is empty."""
    filter: CallFilter = field(factory=CallFilter)
    """Which calls are asked for."""
    after: str | None = None
    """Where the page begins; None: with the latest."""
    problems: tuple[str, ...] = ()
    """What could not be read."""

    @property
    def is_filtered(self) -> bool:
        """Whether anything is asked for but all calls."""
        return bool(self.fields)

    def query(self, after: str | None = None) -> str:
        """Returns the query of the address of this list, from `after` on."""
        return urlencode({**self.fields, **({"after": after} if after else {})})


def read_filter(query: Mapping[str, str], now: datetime) -> AskedCalls:
    """Returns the filter that a query asks for."""
    given = {name: query.get(name, "").strip().replace("\0", "")[:LONGEST] for name in _FIELDS}
    fields, found, problems = {}, dict[str, Any](), []
    for name, value in given.items():
        if not value:
            continue
        try:
            found |= _FIELDS[name](name, value, now)
        except ValueError as error:
            problems.append(str(error))
        else:
            fields[name] = value
    return AskedCalls(fields, CallFilter(**found), query.get("after") or None, tuple(problems))


def _text(name: str, value: str, _now: datetime) -> dict[str, Any]:
    return {name: value}


def _last(_name: str, value: str, now: datetime) -> dict[str, Any]:
    return {"since": now - SPANS[_one_of(SPANS, value)][1]}


def _state(_name: str, value: str, _now: datetime) -> dict[str, Any]:
    marks = {"failed": {"failed": True}, "failover": {"failed_over": True}}
    return marks.get(_one_of(STATES, value), {"state": value})


def _outcome(_name: str, value: str, _now: datetime) -> dict[str, Any]:
    return {"outcome": _one_of(OUTCOMES, value)}


def _day(name: str, value: str, _now: datetime) -> dict[str, Any]:
    try:
        day = datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)
        return {"since": day} if name == "from" else {"until": day + timedelta(days=1)}
    except (ValueError, OverflowError):
        raise ValueError(f"“{value}” is no date like 2026-12-31") from None


def _version(_name: str, value: str, _now: datetime) -> dict[str, Any]:
    if not value.isascii() or not value.isdecimal() or len(value) > MAX_DIGITS:
        raise ValueError(f"“{value}” is no version's number")
    return {"version": int(value)}


def _one_of(choices: Mapping[str, Any], value: str) -> str:
    if value not in choices:
        raise ValueError(f"“{value}” is none of {', '.join(choices)}")
    return value


_FIELDS: Mapping[str, Callable[[str, str, datetime], dict[str, Any]]] = {
    "last": _last,
    "state": _state,
    "outcome": _outcome,
    "set": _text,
    "pipeline": _text,
    "version": _version,
    "caller": _text,
    "called": _text,
    "text": _text,
    "from": _day,
    "to": _day,
}
