"""Reads figures of calls from the table `hourly`: by hour or day, by pipeline and version, for any time."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from sqlalchemy import Text, cast, select

from reference_engine.records.completing import USAGE_FIGURES
from reference_engine.records.history import CallFigures
from reference_engine.records.tables import hourly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from reference_engine.records.history import FigureFilter

_SUMS = ("calls", "failed", "lost", "seconds", "turns", "interruptions", "calls_without_cost")


def read_figures(connection: Connection, asked: FigureFilter) -> tuple[CallFigures, ...]:
    """Returns figures by time, set, pipeline, version and engine, as far as they are told apart, in this order.

    Hours and days without a call have none.

    Raises:
        ValueError: a time of the filter has no zone.

    """
    totals: dict[tuple[Any, ...], _Total] = {}
    columns = (*(hourly.c[name] for name in ("hour", *_KEYS, *_SUMS, "currency", "cost")), _responses, _usage)
    query = select(*columns).order_by(hourly.c.hour)
    if asked.since is not None:
        query = query.where(hourly.c.hour >= _hour_of(asked.since))
    if asked.until is not None:
        query = query.where(hourly.c.hour < asked.until)
    for name in ("set", "pipeline", "engine"):
        if (value := getattr(asked, name)) is not None:
            query = query.where(hourly.c[name] == value)
    if asked.versions:
        query = query.where(hourly.c.version.in_(asked.versions))
    apart = [name in asked.by for name in _KEYS]
    hour, began = None, None
    for row in connection.execute(query):
        if row[0] != hour:  # many rows of an hour follow one another, and time zones are slow
            hour, began = row[0], _beginning(row[0], asked)
        key = (began, *(value if is_apart else None for value, is_apart in zip(row[1:5], apart, strict=True)))
        total = totals.get(key)
        if total is None:
            total = totals[key] = _Total()
        total.add(row[5:])
    ordered = sorted(totals, key=lambda key: (key[0] or _NEVER, *(_sortable(value) for value in key[1:])))
    return tuple(_figures(key, totals[key], asked.zone) for key in ordered)


_KEYS = ("set", "pipeline", "version", "engine")

_responses = cast(hourly.c.responses, Text)
_usage = cast(hourly.c.usage, Text)
"""Both as text, of which many rows are parsed at once: a year has a hundred thousand."""


class _Total:
    def __init__(self) -> None:
        self.sums: list[Any] = [0] * len(_SUMS)
        self.costs: dict[str, float] = {}
        self._responses: list[str] = []
        self._usage: list[str] = []

    def add(self, row: Sequence[Any]) -> None:
        *numbers, currency, cost, responses, usage = row
        self.sums = [total + number for total, number in zip(self.sums, numbers, strict=True)]
        self._responses.append(responses)
        self._usage.append(usage)
        if currency:
            self.costs[currency] = round(self.costs.get(currency, 0) + cost, 9)

    def responses(self) -> dict[str, int]:
        counts: dict[str, int] = defaultdict(int)
        for histogram in json.loads(f"[{','.join(self._responses)}]"):
            for bound, count in histogram.items():
                counts[bound] += count
        return dict(counts)

    def usage(self) -> tuple[dict[str, Any], ...]:
        sums: dict[tuple[Any, ...], dict[str, Any]] = {}
        for uses in json.loads(f"[{','.join(self._usage)}]"):
            for use in uses:
                key = (use["role"], use["adapter"], use["model"])
                total = sums.setdefault(key, dict(zip(("role", "adapter", "model"), key, strict=True)))
                for name in USAGE_FIGURES:
                    if name in use:
                        total[name] = total.get(name, 0) + use[name]
        return tuple(sums.values())


_NEVER = datetime.min.replace(tzinfo=UTC)


def _figures(key: tuple[Any, ...], total: _Total, zone: tzinfo) -> CallFigures:
    return CallFigures(
        began=key[0] and key[0].astimezone(zone),
        **dict(zip(_KEYS, key[1:], strict=True)),
        **dict(zip(_SUMS, total.sums, strict=True)),
        responses=total.responses(),
        usage=total.usage(),
        costs=total.costs,
    )


def _beginning(hour: datetime, asked: FigureFilter) -> datetime | None:
    if asked.step is None:
        return None
    if asked.step == "hour":  # stays in UTC: of the two hours that summer time's end makes alike, each is a key
        return hour
    return hour.astimezone(asked.zone).replace(hour=0, minute=0, fold=0)


def _hour_of(time: datetime) -> datetime:
    return time - timedelta(minutes=time.minute, seconds=time.second, microseconds=time.microsecond)


def _sortable(value: str | int | None) -> tuple[bool, int, str]:
    return (value is not None, value if isinstance(value, int) else 0, value if isinstance(value, str) else "")
