"""Calls in a database of records, for the tests of what reads them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, create_engine, event, insert

from reference_engine.records import tables
from reference_engine.records.completing import complete_calls
from reference_engine.records.database import writing_engine
from reference_engine.settings.records_place import read_place

BEGAN = datetime(2026, 12, 1, 3, 0, tzinfo=UTC)
RUN = "run-1"
_COUNT = itertools.count(1)


def open_sqlite(path="") -> Connection:
    """A connection to a database with all tables."""
    engine = create_engine(f"sqlite:///{path}")
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA foreign_keys = ON"))
    connection = engine.connect()
    tables.metadata.create_all(connection)
    return connection


def open_postgresql(server) -> Connection:
    """A connection to a new database of a server, with all tables; they are committed, what a test adds is not."""
    engine = writing_engine(read_place(server.url(server.new_database())))
    connection = engine.connect()
    tables.metadata.create_all(connection)
    connection.commit()
    return connection


def add_run(connection, run=RUN, name="tokyo", software="1.0"):
    values = {"run": run, "name": name, "host": "host", "pid": 1, "process_start": "1", "software": software}
    connection.execute(insert(tables.engine_runs).values(**values, started=BEGAN, beat=1))


def add_call(connection, *, turns=(), failures=(), tools=(), usage=(), complete=True, **values):
    """Adds a call, and returns its ID; turns are pairs of what was heard and said, or mappings."""
    call_id = values.get("call_id") or f"call-{next(_COUNT):05}"
    row = {
        "call_id": call_id,
        "state": "ended",
        "run": RUN,
        "began": BEGAN,
        "duration_s": 30.0,
        "set": "main",
        "version": 1,
        "digest": "abc123",
        "pipeline": "default",
        "transport": "audiosocket",
        "listener": "audiosocket",
        "transport_id": f"t-{call_id}",
        "caller": "+4930123",
        "called": "+18005550100",
        "variables": {},
        "metadata": {},
        "components": {},
        "outcome": "caller_hung_up",
        "turns": len(turns),
    } | values
    if row["state"] != "ended":
        row |= {"outcome": None, "duration_s": None}
    row |= {"call_id": call_id, "failed": row.get("failed", row["state"] == "lost" or row["outcome"] == "failed")}
    connection.execute(insert(tables.calls).values(**row))
    for position, turn in enumerate(turns):
        defaults = {"at_s": 5.0 * (position + 1), "trigger": "utterance", "pressed": [], "interrupted": False}
        defaults |= {"turn": position + 1, "timings": {}, "heard": "", "said": ""}
        given = turn if isinstance(turn, dict) else {"heard": turn[0], "said": turn[1]}
        connection.execute(insert(tables.turns).values(call_id=call_id, position=position, **defaults | given))
    for table, rows in ((tables.failures, failures), (tables.tools, tools), (tables.usage, usage)):
        for position, part in enumerate(rows):
            connection.execute(insert(table).values(call_id=call_id, position=position, **part))
    if complete:
        complete_calls(connection, [call_id])
    return call_id


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)
