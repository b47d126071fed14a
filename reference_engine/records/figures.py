"""Reads figures of calls from the table `hourly`: by hour or day, by pipeline and version, for any time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from reference_engine.records.completing import USAGE_FIGURES
from reference_engine.records.history import CallFigures
from reference_engine.records.tables import hourly

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    query = select(hourly).order_by(hourly.c.hour)
    if asked.since is not None:
        query = query.where(hourly.c.hour >= _hour_of(asked.since))
    if asked.until is not None:
        query = query.where(hourly.c.hour < asked.until)
    for name in ("set", "pipeline", "engine"):
        if (value := getattr(asked, name)) is not None:
            query = query.where(hourly.c[name] == value)
    if asked.versions:
        query = query.where(hourly.c.version.in_(asked.versions))
    for row in connection.execute(query).mappings():
        key = (_beginning(row["hour"], asked), *(row[name] if name in asked.by else None for name in _KEYS))
        totals.setdefault(key, _Total()).add(row)
    ordered = sorted(totals, key=lambda key: (key[0] or _NEVER, *(_sortable(value) for value in key[1:])))
    return tuple(_figures(key, totals[key], asked.zone) for key in ordered)


class _Total:
    def __init__(self) -> None:
        self.sums: dict[str, Any] = dict.fromkeys(_SUMS, 0)
        self.responses: dict[str, int] = {}
        self.usage: dict[tuple[Any, ...], dict[str, Any]] = {}
        self.costs: dict[str, float] = {}

    def add(self, row: Mapping[Any, Any]) -> None:
        for name in _SUMS:
            self.sums[name] += row[name]
        for bound, count in row["responses"].items():
            self.responses[bound] = self.responses.get(bound, 0) + count
        for use in row["usage"]:
            key = (use["role"], use["adapter"], use["model"])
            total = self.usage.setdefault(key, dict(zip(("role", "adapter", "model"), key, strict=True)))
            for name in USAGE_FIGURES:
                if name in use:
                    total[name] = total.get(name, 0) + use[name]
        if row["currency"]:
            self.costs[row["currency"]] = round(self.costs.get(row["currency"], 0) + row["cost"], 9)


_KEYS = ("set", "pipeline", "version", "engine")
_NEVER = datetime.min.replace(tzinfo=UTC)


def _figures(key: tuple[Any, ...], total: _Total, zone: tzinfo) -> CallFigures:
    return CallFigures(
        began=key[0] and key[0].astimezone(zone),
        **dict(zip(_KEYS, key[1:], strict=True)),
        **total.sums,
        responses=total.responses,
        usage=tuple(total.usage.values()),
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
