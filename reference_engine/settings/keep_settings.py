"""The section `keep` of engine.yaml: for how long what calls leave behind is kept."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import matches_re, optional

if TYPE_CHECKING:
    from collections.abc import Iterator

_AGE = re.compile(r"[1-9][0-9]{0,4}[smhdw]")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_HINT = "write a number and s, m, h, d or w: 90d is ninety days"


def age_of(text: str) -> timedelta:
    """Returns the length of time that a text such as `90d` names.

    Raises:
        ValueError: it names none.

    """
    if not _AGE.fullmatch(text):
        raise ValueError(f"{text[:40]!r} is no length of time; {_HINT}")
    return timedelta(**{_UNITS[text[-1]]: int(text[:-1])})


def _age_field() -> Any:
    return field(default=None, validator=optional(matches_re(_AGE)))


@frozen(kw_only=True)
class KeepSettings:
    """The time for which calls' records are kept, since calls began: a number and a unit, such as `90d`."""

    records: str | None = _age_field()
    """All that the database has of a call, and its recording: `90d`, or with `s`, `m`, `h` or `w` for seconds, minutes,
    hours and weeks. Null: for ever."""
    recordings: str | None = _age_field()
    """The recording; null: as long as the record."""
    transcripts: str | None = _age_field()
    """What was said, the results of tools, and texts of steering; null: as long as the record."""

    @property
    def ages(self) -> dict[str, timedelta]:
        """The times by `records`, `recordings` and `transcripts`, of those that are limited."""
        given = {"recordings": self.recordings, "transcripts": self.transcripts, "records": self.records}
        return {name: age_of(text) for name, text in given.items() if text is not None}

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yields the key of each time that is longer than the record's, and what is wrong with it."""
        ages = self.ages
        for name in ("recordings", "transcripts"):
            if name in ages and "records" in ages and ages[name] > ages["records"]:
                yield name, f"{getattr(self, name)} is longer than `records` ({self.records}), with which they go"
