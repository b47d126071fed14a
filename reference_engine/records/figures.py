"""Reads figures of calls from `hourly` and `hourly_usage`: by hour or day, by pipeline and version, for any time."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING, Any

from attrs import evolve
from sqlalchemy import bindparam, func, select

from reference_engine.records.completing import USAGE_FIGURES, rounded
from reference_engine.records.histogram import packed_number, unpacked
from reference_engine.records.history import CallFigures
from reference_engine.records.tables import hourly, hourly_usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row, Select, Table

    from reference_engine.records.history import FigureFilter

_SUMS = ("calls", "failed", "lost", "seconds", "turns", "interruptions", "calls_without_cost")


def read_figures(connection: Connection, asked: FigureFilter) -> tuple[CallFigures, ...]:
    """Returns figures by time, set, pipeline, version and engine, as far as they are told apart, in this order.

    Hours and days without a call have none.

    Raises:
        ValueError: a time of the filter has no zone.

    """
    return read_all_figures(connection, (asked,))[0]


def read_all_figures(connection: Connection, asked: Sequence[FigureFilter]) -> tuple[tuple[CallFigures, ...], ...]:
    """Returns figures for several filters, which are read once; see `read_figures`.

    Args:
        connection: to the database.
        asked: the filters; they may differ in `step`, `by` and `versions`, and nothing else.

    """
    step = next((one.step for one in asked if one.step), None)
    by: Any = tuple(
        name for name in _KEYS if any(name in one.by or (name == "version" and one.versions) for one in asked)
    )
    finest = evolve(asked[0], step=step, by=by, versions=asked[0].versions if len(asked) == 1 else ())
    totals = _read_totals(connection, finest)
    return tuple(_chosen(totals, one) for one in asked)


_KEYS = ("set", "pipeline", "version", "engine")
_USED = ("role", "adapter", "model")


def _read_totals(connection: Connection, asked: FigureFilter) -> dict[tuple[Any, ...], _Total]:
    totals: dict[tuple[Any, ...], _Total] = defaultdict(_Total)
    hour = ("hour",) if asked.step == "hour" else ()
    sums = _query(asked, hourly, (*hour, *asked.by), ("currency", "cost", "responses", *_SUMS))
    keys = (*hour, *asked.by, *_USED)
    used = _query(asked, hourly_usage, keys, tuple(func.sum(hourly_usage.c[name]) for name in USAGE_FIGURES))
    used = used.group_by(*(hourly_usage.c[name] for name in keys))
    places = [asked.by.index(name) + len(hour) if name in asked.by else None for name in _KEYS]
    end = len(hour) + len(asked.by)

    def total_of(row: Row[Any], began: datetime | None) -> _Total:
        return totals[row[0] if hour else began, *[None if place is None else row[place] for place in places]]

    for began, since, until in _spans(connection, asked):
        span = {"since": since, "until": until}
        for row in connection.execute(sums, span):
            total_of(row, began).add(*row[end:])
        for row in connection.execute(used, span):
            total_of(row, began).add_usage(tuple(row[end : end + 3]), row[end + 3 :])
    return totals


def _chosen(totals: dict[tuple[Any, ...], _Total], asked: FigureFilter) -> tuple[CallFigures, ...]:
    """Returns the figures that a filter asks for, from sums that are told apart at least as finely."""
    told_apart = [name in asked.by for name in _KEYS]
    chosen: dict[tuple[Any, ...], _Total] = defaultdict(_Total)
    for key, total in totals.items():
        if not asked.versions or key[3] in asked.versions or key[3] is None:
            keys = (value if is_apart else None for value, is_apart in zip(key[1:], told_apart, strict=True))
            chosen[(key[0] if asked.step else None, *keys)].add_total(total)
    ordered = sorted(chosen, key=lambda key: (key[0] or _NEVER, *(_sortable(value) for value in key[1:])))
    return tuple(_figures(key, chosen[key], asked.zone) for key in ordered)


def _query(asked: FigureFilter, table: Table, keys: Sequence[str], others: Sequence[Any]) -> Select[Any]:
    """Returns a query of the rows between the parameters `since` and `until`."""
    columns = [table.c[name] if isinstance(name, str) else name for name in (*keys, *others)]
    query = select(*columns).where(table.c.hour >= bindparam("since"), table.c.hour < bindparam("until"))
    for name in ("set", "pipeline", "engine"):
        if (value := getattr(asked, name)) is not None:
            query = query.where(table.c[name] == value)
    return query.where(table.c.version.in_(asked.versions)) if asked.versions else query


def _spans(connection: Connection, asked: FigureFilter) -> Iterator[tuple[datetime | None, datetime, datetime]]:
    """Yields the beginning of each day that is asked for, or None, and the hours that it consists of."""
    # Two queries: SQLite looks only one of both up in the index.
    first = connection.scalar(select(func.min(hourly.c.hour)))
    last = connection.scalar(select(func.max(hourly.c.hour)))
    if first is None or last is None:
        return
    since = first if asked.since is None else max(first, _hour_of(asked.since))
    until = last + _HOUR if asked.until is None else min(last + _HOUR, asked.until)
    if asked.step != "day":
        yield None, since, until
        return
    day = since.astimezone(asked.zone).date()
    while (hours := _hours_of_day(day, asked.zone))[0] < until:
        began = datetime(day.year, day.month, day.day, tzinfo=asked.zone)
        yield began, max(hours[0], since), min(hours[1], until)
        day += timedelta(days=1)


def _hours_of_day(day: date, zone: tzinfo) -> tuple[datetime, datetime]:
    """Returns the first hour of a day in a zone, and that of the next; an hour belongs to the day that it begins in."""
    midnights = (datetime(each.year, each.month, each.day, tzinfo=zone) for each in (day, day + timedelta(days=1)))
    begins, ends = (-(-midnight.astimezone(UTC).timestamp() // 3600) * 3600 for midnight in midnights)
    return datetime.fromtimestamp(begins, UTC), datetime.fromtimestamp(ends, UTC)


class _Total:
    """Sums of rows of both tables."""

    def __init__(self) -> None:
        self.sums: list[Any] = [0] * len(_SUMS)
        self.costs: dict[str, float] = {}
        self.responses = 0
        self.usage: dict[tuple[str, ...], list[Any]] = {}

    def add(self, currency: str, cost: float, responses: bytes, *sums: float) -> None:
        self.sums = [total + number for total, number in zip(self.sums, sums, strict=True)]
        self.responses += packed_number(responses)
        if currency:
            self.costs[currency] = self.costs.get(currency, 0) + cost

    def add_usage(self, use: tuple[str, ...], figures: Sequence[Any]) -> None:
        known = self.usage.get(use)
        if known is not None:
            figures = [b if a is None else a if b is None else a + b for a, b in zip(known, figures, strict=True)]
        self.usage[use] = list(figures)

    def add_total(self, other: _Total) -> None:
        self.sums = [total + number for total, number in zip(self.sums, other.sums, strict=True)]
        self.responses += other.responses
        for currency, cost in other.costs.items():
            self.costs[currency] = self.costs.get(currency, 0) + cost
        for use, figures in other.usage.items():
            self.add_usage(use, figures)


_HOUR = timedelta(hours=1)
_NEVER = datetime.min.replace(tzinfo=UTC)


def _figures(key: tuple[Any, ...], total: _Total, zone: tzinfo) -> CallFigures:
    sums: dict[str, Any] = dict(zip(_SUMS, map(rounded, total.sums), strict=True))
    return CallFigures(
        began=key[0] and key[0].astimezone(zone),
        **dict(zip(_KEYS, key[1:], strict=True)),
        **sums,
        responses=unpacked(total.responses),
        usage=tuple(
            {"role": role, "adapter": adapter, "model": model or None}
            | {name: rounded(number) for name, number in zip(USAGE_FIGURES, figures, strict=True) if number is not None}
            for (role, adapter, model), figures in total.usage.items()
        ),
        costs={currency: rounded(cost) for currency, cost in total.costs.items()},
    )


def _hour_of(time: datetime) -> datetime:
    return time - timedelta(minutes=time.minute, seconds=time.second, microseconds=time.microsecond)


def _sortable(value: str | int | None) -> tuple[bool, int, str]:
    return (value is not None, value if isinstance(value, int) else 0, value if isinstance(value, str) else "")
