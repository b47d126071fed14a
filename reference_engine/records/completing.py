"""Completes calls that are over: adds them to the figures by hour, and makes their words ready to be searched for.

A call is added once. Its row says in which state it was counted, so a call whose end is written again, from the spool,
adds nothing; one that was taken for lost and has ended after all is taken out as lost and added as ended.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from zlib import crc32

from sqlalchemy import bindparam, case, delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from reference_engine.records.histogram import pack_values, packed_bytes, packed_number
from reference_engine.records.tables import call_texts, calls, engine_runs, hourly, hourly_usage, turns, usage
from reference_engine.records.words import words_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Connection, Row

USAGE_FIGURES = (
    "requests",
    "reported",
    "input_tokens",
    "output_tokens",
    "characters",
    "audio_s",
    "charged_characters",
    "charged_audio_s",
    "cost",
)
"""The columns of `usage` that are added up."""

_USED = ("role", "adapter", "model")
_KEY = ("hour", "set", "pipeline", "version", "engine", "currency")
_SUMS = ("calls", "failed", "lost", "seconds", "turns", "interruptions", "cost", "calls_without_cost")
_MOST = 500
"""The most calls that one query asks for: SQLite takes 32,766 parameters, and plans long lists slowly."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ID_BITS = 11
"""The bits of an ID that tell calls of one microsecond from one another; an ID fits into 63 bits until 2112."""


def complete_calls(connection: Connection, call_ids: Iterable[str]) -> None:
    """Adds calls that have ended or are lost to `hourly`, `hourly_usage` and `call_texts`.

    It belongs into the transaction in which their states are written, after all that is known of the calls. Calls that
    are up, or that are not there, are passed over. Many calls at once cost far less than each alone.

    Args:
        connection: with a transaction that writes.
        call_ids: the IDs of the calls.

    """
    for ids in _in_batches(call_ids):
        _count(connection, ids)
        _index(connection, ids)


def _in_batches(call_ids: Iterable[str]) -> Iterable[Sequence[str]]:
    ids = list(dict.fromkeys(call_ids))
    return (ids[start : start + _MOST] for start in range(0, len(ids), _MOST))


class _Sum:
    """What is added to one row of `hourly`."""

    def __init__(self) -> None:
        self.numbers: dict[str, float] = dict.fromkeys(_SUMS, 0)
        self.responses = 0
        self.usage: dict[tuple[str, str, str], dict[str, Any]] = {}

    def add(self, **numbers: float) -> None:
        for name, number in numbers.items():
            self.numbers[name] += number

    def add_usage(self, row: Any) -> None:
        key = (row["role"], row["adapter"], row["model"] or "")
        total = self.usage.setdefault(key, dict.fromkeys(USAGE_FIGURES))
        for name in USAGE_FIGURES:
            if row[name] is not None:
                total[name] = rounded((total[name] or 0) + row[name])


def _count(connection: Connection, ids: Sequence[str]) -> None:
    query = (
        select(calls, engine_runs.c.name.label("engine"))
        .join(engine_runs, engine_runs.c.run == calls.c.run)
        .where(calls.c.call_id.in_(ids), calls.c.state != "up", calls.c.counted.is_distinct_from(calls.c.state))
    )
    rows = [row for row in connection.execute(query) if (row.counted, row.state) != ("ended", "lost")]
    if not rows:
        return
    ended = [row.call_id for row in rows if row.state == "ended"]
    responses, used = defaultdict(list), defaultdict(list)
    for call_id, response_ms in connection.execute(
        select(turns.c.call_id, turns.c.response_ms).where(turns.c.call_id.in_(ended), turns.c.response_ms.is_not(None))
    ):
        responses[call_id].append(response_ms)
    for use in connection.execute(select(usage).where(usage.c.call_id.in_(ended))).mappings():
        used[use["call_id"]].append(use)
    sums: dict[tuple[Any, ...], _Sum] = defaultdict(_Sum)
    for row in rows:
        key = (_hour_of(row.began), row.set, row.pipeline, row.version, row.engine)
        if row.counted == "lost":
            sums[*key, ""].add(calls=-1, failed=-1, lost=-1, calls_without_cost=-1)
        if row.state == "lost":
            sums[*key, ""].add(calls=1, failed=1, lost=1, calls_without_cost=1)
        else:
            _add_ended(sums[*key, row.currency or ""], row, responses[row.call_id], used[row.call_id])
    for key, total in sorted(sums.items(), key=lambda item: item[0]):  # in one order, so that no two engines deadlock
        _add_to_row(connection, dict(zip(_KEY, key, strict=True)), total)
    connection.execute(
        update(calls).where(calls.c.call_id == bindparam("of_call")).values(counted=bindparam("in_state")),
        [{"of_call": row.call_id, "in_state": row.state} for row in rows],
    )


def _add_ended(total: _Sum, row: Row[Any], responses: Sequence[float], used: Sequence[Any]) -> None:
    total.add(
        calls=1,
        failed=bool(row.failed),
        seconds=row.duration_s or 0.0,
        turns=row.turns,
        interruptions=row.interruptions,
        cost=row.cost or 0.0,
        calls_without_cost=row.cost is None or row.cost_is_least,
    )
    total.responses += pack_values(responses)
    for use in used:
        total.add_usage(use)


def _add_to_row(connection: Connection, key: dict[str, Any], total: _Sum) -> None:
    this_row = [hourly.c[name] == value for name, value in key.items()]
    there = connection.execute(select(hourly).where(*this_row).with_for_update()).mappings().first()
    if there is None:
        empty: dict[str, Any] = {**dict.fromkeys(_SUMS, 0), "responses": b""}
        if connection.dialect.name == "postgresql":
            connection.execute(postgresql.insert(hourly).values(**key, **empty).on_conflict_do_nothing())
        else:
            connection.execute(insert(hourly).values(**key, **empty))
        there = connection.execute(select(hourly).where(*this_row).with_for_update()).mappings().one()
    connection.execute(
        update(hourly)
        .where(*this_row)
        .values(
            **{name: rounded(there[name] + number) for name, number in total.numbers.items()},
            responses=packed_bytes(packed_number(there["responses"]) + total.responses),
        )
    )
    if total.usage:
        used = [
            {**key, **dict(zip(_USED, use, strict=True)), **figures} for use, figures in sorted(total.usage.items())
        ]
        connection.execute(_add_usage(connection.dialect.name), used)


@cache
def _add_usage(dialect: str) -> Any:
    """Returns an INSERT that adds to the row that is there; NULL is what nobody knows, so it adds nothing."""
    add = (postgresql if dialect == "postgresql" else sqlite).insert(hourly_usage)
    sums = {
        name: case(
            (add.excluded[name].is_(None), hourly_usage.c[name]),
            else_=func.coalesce(hourly_usage.c[name], 0) + add.excluded[name],
        )
        for name in USAGE_FIGURES
    }
    return add.on_conflict_do_update(index_elements=[*_KEY, *_USED], set_=sums)


def _index(connection: Connection, ids: Sequence[str]) -> None:
    over = select(calls.c.call_id, calls.c.began).where(calls.c.call_id.in_(ids), calls.c.state != "up")
    began = {call_id: at for call_id, at in connection.execute(over)}  # noqa: C416 - rows are no tuples for dict()
    texts: dict[str, list[str]] = defaultdict(list)
    for call_id, heard, said in connection.execute(
        select(turns.c.call_id, turns.c.heard, turns.c.said).where(turns.c.call_id.in_(list(began)))
    ):
        texts[call_id] += (heard, said)
    words = {call_id: words_in(of_call) for call_id, of_call in texts.items()}
    connection.execute(delete(call_texts).where(call_texts.c.call_id.in_(list(began))))
    new = _with_ids(connection, {call_id: began[call_id] for call_id, of_call in words.items() if of_call})
    if not new:
        return
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import ARRAY, TEXT  # noqa: PLC0415 - only where it is used

        value = func.array_to_tsvector(bindparam("words", type_=ARRAY(TEXT)))
        connection.execute(
            insert(call_texts).values(words=value),
            [{"id": number, "call_id": call_id, "words": words[call_id]} for call_id, number in new.items()],
        )
    else:
        connection.execute(
            insert(call_texts),
            [{"id": number, "call_id": call_id, "words": " ".join(words[call_id])} for call_id, number in new.items()],
        )


def _with_ids(connection: Connection, began: dict[str, datetime]) -> dict[str, int]:
    """Returns an ID for the text of each call, which sorts as the calls' times do, and which no other text has."""
    wanted = {call_id: _first_id(call_id, at) for call_id, at in began.items()}
    taken = set(connection.scalars(select(call_texts.c.id).where(call_texts.c.id.in_(list(wanted.values())))))
    ids = {}
    for call_id, number in wanted.items():
        free = number
        while free in taken or (free != number and _has_text(connection, free)):
            free += 1
        taken.add(free)
        ids[call_id] = free
    return ids


def _has_text(connection: Connection, number: int) -> bool:
    return connection.scalar(select(call_texts.c.id).where(call_texts.c.id == number)) is not None


def first_text_id(began: datetime) -> int:
    """Returns the least ID that the text of a call that began then may have."""
    return ((began - _EPOCH) // timedelta(microseconds=1)) << _ID_BITS


def _first_id(call_id: str, began: datetime) -> int:
    return first_text_id(began) + (crc32(call_id.encode()) & ((1 << _ID_BITS) - 1))


def _hour_of(began: datetime) -> datetime:
    return began.replace(minute=0, second=0, microsecond=0)


def rounded(number: float) -> float:
    """Returns a sum without the last digits, in which sums of binary fractions are wrong."""
    return number if isinstance(number, int) else round(number, 9)
