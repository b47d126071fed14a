"""Reads calls and figures from the database of records.

Theory of operation
===================

*Pages.* A list has the latest calls first, and a page begins after the last call of the page before: `WHERE (began,
call_id) < (...)`, which an index answers whatever the page's number. Calls that begin meanwhile come before the first
page, so none is shown twice and none is skipped.

*Each list is read from one index,* already sorted, until the page is full. SQLite would often choose another index,
because it can't know that `+49*` matches a million calls and `+4930123*` three. So the list's index is chosen here
(conditions.py): that of the condition which the fewest calls match, as far as they are worth counting. The other
conditions are hidden from SQLite's planner by a unary plus, as its manual advises. Calls whose numbers begin alike are
read by the numbers' index, and sorted, if they are few; of many, some are found soon by time. PostgreSQL has
statistics, and is left alone.

*Words* are asked for as words.py makes them. SQLite's FTS5 gives rows by descending `id`, which is the order of time,
see completing.py.

All functions are synchronous, and take a connection of SQLAlchemy. reading.py calls them from trio.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import fields
from sqlalchemy import (
    ColumnElement,
    cast,
    literal,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import TSQUERY

from reference_engine.records.conditions import (
    begins_with,
    call_words,
    choose_driving,
    conditions_of,
    hidden,
    matching,
    plus,
    text_range,
    tsquery,
)
from reference_engine.records.history import CallDetail, CallPage, CallSummary
from reference_engine.records.page_places import PagePlace, read_page_place
from reference_engine.records.row_changes import storable
from reference_engine.records.tables import (
    call_texts,
    calls,
    engine_runs,
    failures,
    steering,
    tools,
    transfers,
    turns,
    usage,
)
from reference_engine.records.words import asked_words

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row, Select, Table

    from reference_engine.records.history import CallFilter

MOST_CALLS = 1000
"""The most calls of a page."""

_LISTED = (
    *(calls.c[attribute.name] for attribute in fields(CallSummary) if attribute.name != "engine"),
    engine_runs.c.name.label("engine"),
)


def find_calls(connection: Connection, filter: CallFilter, after: str | None = None, limit: int = 50) -> CallPage:  # noqa: A002 - the word that everybody uses
    """Returns a page of the calls that match a filter, the latest first.

    Args:
        connection: to the database.
        filter: which calls.
        after: `next` of the page before; None: the first page.
        limit: the most calls of the page, up to `MOST_CALLS`.

    Raises:
        ValueError: `after` is not from a page, or a time of the filter has no zone.

    """
    limit = max(1, min(limit, MOST_CALLS))
    query = calls_query(connection, filter, None if after is None else read_page_place(after), limit + 1)
    if query is None:
        return CallPage(calls=(), next=None)
    rows = connection.execute(query).all()
    found = tuple(_summary(row) for row in rows[:limit])
    more = PagePlace(found[-1].began, found[-1].call_id).as_text() if len(rows) > limit else None
    return CallPage(calls=found, next=more)


def find_call(connection: Connection, call_id: str) -> CallDetail | None:
    """Returns all there is to know about a call; None: there is no such call.

    Args:
        connection: to the database.
        call_id: the call's ID, or the transport's ID of it; several calls may have that, of which the latest is meant.

    """
    call_id = storable(call_id)  # as IDs are stored: no database takes half of a surrogate pair
    query = select(calls, engine_runs.c.name.label("engine"), engine_runs.c.software, engine_runs.c.worker).join(
        engine_runs, engine_runs.c.run == calls.c.run
    )
    row = connection.execute(query.where(calls.c.call_id == call_id)).first()
    if row is None:
        latest = query.where(calls.c.transport_id == call_id).order_by(calls.c.began.desc(), calls.c.call_id.desc())
        row = connection.execute(latest.limit(1)).first()
    if row is None:
        return None
    parts = {part.name: _parts(connection, part, row.call_id) for part in (turns, tools, failures, usage)}
    return CallDetail(
        summary=_summary(row),
        listener=row.listener,
        software=row.software,
        variables=row.variables,
        metadata=row.metadata,
        components=row.components,
        **parts,
        steering=_parts(connection, steering, row.call_id),
        transfers=_parts(connection, transfers, row.call_id),
        interruptions=row.interruptions,
        discarded_replies=row.discarded_replies,
        recording=row.recording,
        recording_failed=row.recording_failed,
        consent=row.consent,
        trace_id=row.trace_id,
        worker=row.worker,
    )


def call_ids(connection: Connection, beginning: str, limit: int) -> list[str]:
    """Returns the IDs of calls that begin with a text, up to a number of them."""
    sqlite = connection.dialect.name == "sqlite"
    query = select(calls.c.call_id).where(begins_with(calls.c.call_id, beginning, sqlite=sqlite)).limit(limit)
    return list(connection.scalars(query))


def calls_query(
    connection: Connection,
    filter: CallFilter,  # noqa: A002 - as above
    after: PagePlace | None,
    limit: int,
) -> Select[Any] | None:
    """Returns the query of a page; None: no call can match.

    Raises:
        ValueError: a time of the filter has no zone.

    """
    words = None if filter.text is None else asked_words(filter.text)
    if words == []:
        return None
    sqlite = connection.dialect.name == "sqlite"
    conditions = conditions_of(filter, sqlite=sqlite)
    driving, few = choose_driving(connection, conditions) if sqlite else (conditions[-1], False)
    by_words = words is not None and sqlite and not few
    query = select(*_LISTED).join(engine_runs, engine_runs.c.run == calls.c.run)
    for condition in conditions:
        by_time = condition.name == "time" and not driving.sorted
        hide = sqlite and (by_words or (condition is not driving and not by_time))
        query = query.where(*(hidden(term) if hide else term for term in condition.terms))
    if words is not None:
        query = query.join(call_texts, call_texts.c.call_id == calls.c.call_id)
        if not sqlite:
            query = query.where(call_texts.c.words.op("@@")(cast(tsquery(words), TSQUERY)))
        elif by_words:
            query = query.join(call_words, call_words.c.rowid == call_texts.c.id).where(matching(connection, words))
            query = query.where(*text_range(connection, filter, after))
            return query.order_by(call_words.c.rowid.desc()).limit(limit)
        else:
            found = select(call_words.c.rowid).where(matching(connection, words), call_words.c.rowid == call_texts.c.id)
            query = query.where(found.correlate(call_texts).exists())
    keys: tuple[ColumnElement[Any], ...] = (calls.c.began, calls.c.call_id)
    if driving.sorted:
        keys = (plus(calls.c.began), calls.c.call_id)
    if after is not None:
        place = (literal(after.began, calls.c.began.type), literal(after.call_id))
        query = query.where(tuple_(*keys) < tuple_(*place))
    return query.order_by(*(key.desc() for key in keys)).limit(limit)


def _parts(connection: Connection, part: Table, call_id: str) -> tuple[dict[str, Any], ...]:
    rows = connection.execute(select(part).where(part.c.call_id == call_id).order_by(part.c.position))
    return tuple(dict(row) for row in rows.mappings())


def _summary(row: Row[Any]) -> CallSummary:
    return CallSummary(**{name: getattr(row, name) for name in _SUMMARY})


_SUMMARY = tuple(attribute.name for attribute in fields(CallSummary))
