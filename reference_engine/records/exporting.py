"""Reads calls of the database as plain data, in the form in which `calls.jsonl` has them."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select

from reference_engine.records.tables import PARTS, calls, engine_runs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Connection, RowMapping

PAGE = 300
"""The number of calls that are read at once."""

_KEY = {"call_id", "position"}
_NAMES = {"steering": "steered"}
_NOT_OF_TURNS = {"response_ms"}
"""Columns that `TurnRecord` does not have."""


def export_calls(
    connection: Connection, *, since: datetime | None = None, until: datetime | None = None
) -> Iterator[dict[str, Any]]:
    """Yields each call as JSON has it, the oldest first.

    A call that begins or ends meanwhile may be there as it was or as it is. The form is that of `CallRecord.as_data`,
    with more keys.

    Args:
        connection: to read with.
        since: calls that began then or later.
        until: calls that began before.

    """
    query = (
        select(calls, engine_runs.c.name, engine_runs.c.worker, engine_runs.c.software)
        .join(engine_runs)
        .order_by("began", "call_id")
    )
    if since is not None:
        query = query.where(calls.c.began >= since)
    if until is not None:
        query = query.where(calls.c.began < until)
    page = connection.execute(query.limit(PAGE)).mappings().all()
    while page:
        ids = [row["call_id"] for row in page]
        parts = {table.name: _parts_of(connection, table, ids) for table in PARTS}
        for row in page:
            yield _call(row, {name: of_calls.get(row["call_id"], []) for name, of_calls in parts.items()})
        last = page[-1]
        later = or_(
            calls.c.began > last["began"], and_(calls.c.began == last["began"], calls.c.call_id > last["call_id"])
        )
        page = connection.execute(query.where(later).limit(PAGE)).mappings().all() if len(page) == PAGE else []


def _parts_of(connection: Connection, table: Any, ids: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
    parts = defaultdict(list)
    query = select(table).where(table.c.call_id.in_(ids)).order_by(table.c.call_id, table.c.position)
    hidden = _KEY | (_NOT_OF_TURNS if table.name == "turns" else set())
    for row in connection.execute(query).mappings():
        parts[row["call_id"]].append({name: _plain(value, name) for name, value in row.items() if name not in hidden})
    return parts


def _call(row: RowMapping, parts: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    record = {name: _plain(row[name], name) for name in _ORDER if name in row}
    record["info"] = {
        "call_id": row["call_id"],
        "called": row["called"],
        "caller": row["caller"],
        "listener": row["listener"],
        "variables": row["variables"],
        "transport_id": row["transport_id"],
    }
    record["engine"] = row["name"]
    record |= {_NAMES.get(name, name): of_call for name, of_call in parts.items()}
    return {name: record[name] for name in _ORDER}


def _plain(value: Any, of: str = "") -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return round(value, 3) if isinstance(value, float) and of != "cost" else value


_ORDER = (
    "call_id",
    "state",
    "began",
    "ended",
    "duration_s",
    "info",
    "set",
    "version",
    "digest",
    "pipeline",
    "components",
    "outcome",
    "detail",
    "recording",
    "recording_failed",
    "turns",
    "tools",
    "discarded_replies",
    "usage",
    "failures",
    "steered",
    "transfers",
    "metadata",
    "engine",
    "worker",
    "software",
    "transport",
    "cost",
    "cost_is_least",
    "currency",
    "consent",
    "trace_id",
)
