"""The database of records is away, hangs, is full or is removed: rows wait on disk, and go in once, in order."""

from __future__ import annotations

import errno
import json
import os
import re
import sqlite3
import threading
from contextlib import ExitStack, closing
from datetime import datetime
from pathlib import Path

import pytest
from patience import LONG_S
from recorded_events import Log, began, ended, record_store, turn, whole_call
from sqlalchemy import create_engine

from reference_engine.records import store as store_module
from reference_engine.records.call_text import as_text
from reference_engine.records.event_rows import EventRows
from reference_engine.records.queries import find_call
from reference_engine.records.runs import EngineRun
from reference_engine.records.spool import Spool
from reference_engine.records.store import RecordsRefusedError
from reference_engine.records.writing import DatabaseAwayError, RowWriter
from reference_engine.telemetry.webhook_events import WebhookEvents

GUIDE = Path(__file__).parents[2] / "docs/how-to/webhooks.md"
LOST_ROW = re.search(r"^\| `call.lost` \|[^|]*\|(.*)\|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)[1]


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(store_module, "GATHER_S", 0.01)
    monkeypatch.setattr(store_module, "RETRY_S", 0.02)


def rows(path, query):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def until(condition):
    """Waits for another thread."""
    waited = threading.Event()
    for _ in range(int(LONG_S / 0.01)):
        if condition():
            return
        waited.wait(0.01)
    raise AssertionError("it has not become true")


def totals(path):
    """What an outside count has to agree with: calls by state, their turns, and what figures say of both."""
    return (
        rows(path, "SELECT state, count(*), sum(turns) FROM calls GROUP BY state ORDER BY state"),
        rows(path, "SELECT count(*) FROM turns")[0][0],
        rows(path, "SELECT sum(calls), sum(lost), sum(turns) FROM hourly")[0],
    )


def test_a_database_that_is_locked_gets_everything_once_it_is_free(tmp_path, monkeypatch):
    monkeypatch.setattr("reference_engine.records.database.BUSY_S", 0.01)
    path, log = tmp_path / "calls.db", Log()
    with record_store(f"sqlite://{path}", tmp_path / "spool", log=log) as store:
        store.observe(began("before"))
        assert store.wait_stored(LONG_S)
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        for event in (turn("before"), ended("before", 1), *whole_call("during", 2)):
            store.observe(event)
        until(lambda: store.spooled >= 8 and not store.waiting)
        assert store.is_away
        other.execute("COMMIT")
        other.close()
        assert store.wait_stored(LONG_S)
        until(lambda: not store.is_away)
        for event in whole_call("after", 1):
            store.observe(event)
        assert store.wait_stored(LONG_S)
        assert store.lost == 0
    assert totals(path) == ([("ended", 3, 4)], 4, (3, 0, 4))
    (away,), (back,) = log.named("records.database_away"), log.named("records.database_back")
    assert away["reason"] == "database is locked"
    assert away["waiting"] > 0
    assert back["database"] == f"sqlite://{path}"
    assert not list((tmp_path / "spool").iterdir())


def test_a_database_that_hangs_holds_nothing_up(tmp_path, monkeypatch):
    """Rows that are being written meanwhile go to the spool too, and are nevertheless there once."""
    monkeypatch.setattr(store_module, "HANG_S", 0.05)
    hangs, goes_on = threading.Event(), threading.Event()
    original = RowWriter._write

    def write(self, connection, changes):
        original(self, connection, changes)
        if any(change.table == "turns" for change in changes) and not goes_on.is_set():
            hangs.set()
            goes_on.wait()

    monkeypatch.setattr(RowWriter, "_write", write)
    path = tmp_path / "calls.db"
    with record_store(f"sqlite://{path}", tmp_path / "spool") as store:
        for event in whole_call("a", 3):
            store.observe(event)
        assert hangs.wait(LONG_S)
        for event in whole_call("b", 3):
            store.observe(event)
        until(lambda: store.spooled >= 12)
        goes_on.set()
        assert store.wait_stored(LONG_S)
    assert totals(path) == ([("ended", 2, 6)], 6, (2, 0, 6))


def test_rows_of_an_engine_that_was_killed_go_in_first(tmp_path):
    """Its spool knows how a call ended; only a call of which nobody knows that is lost."""
    path, spool = tmp_path / "calls.db", tmp_path / "spool"
    with record_store(f"sqlite://{path}", spool, name="killed") as killed:
        for call_id in ("ended", "lost"):
            killed.observe(began(call_id))
            killed.observe(turn(call_id))
        assert killed.wait_stored(LONG_S)
        # What a killed process leaves: no end of its run, a spool of which nobody holds the lock, its last line torn.
        connection = sqlite3.connect(path)
        connection.execute("UPDATE engine_runs SET pid = 2147483646")
        connection.commit()
        connection.close()
        left = Spool(spool, killed.run.run)

        made = EventRows(killed.run.run, str)
        changes = [made.add(event, 1e9) for event in (began("ended"), turn("ended"), ended("ended", 1))]
        left.append(changes)
        left._own.close()
        file = spool / f"{killed.run.run}.jsonl"
        with file.open("ab") as torn:
            torn.write(b'{"v":1,"how":"put","tab')
        killed._end_run = lambda: None
    log = Log()
    with record_store(f"sqlite://{path}", spool, name="next", log=log) as store:
        assert store.wait_stored(LONG_S)
        until(lambda: log.named("records.calls_lost"))
    assert dict(rows(path, "SELECT call_id, state FROM calls")) == {"ended": "ended", "lost": "lost"}
    assert totals(path) == ([("ended", 1, 1), ("lost", 1, 1)], 2, (2, 1, 1))
    assert [(record["calls"], record["call_ids"]) for record in log.named("records.calls_lost")] == [(1, ["lost"])]
    assert not file.exists()


def test_calls_that_another_engine_holds_are_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "BEAT_S", 0.01)
    monkeypatch.setattr("reference_engine.records.runs.MISSED", 10_000)  # however long a beat takes here
    path, log = tmp_path / "calls.db", Log()
    with record_store(f"sqlite://{path}", tmp_path / "spool", name="one") as one:
        one.observe(began("held"))
        assert one.wait_stored(LONG_S)
        with record_store(f"sqlite://{path}", tmp_path / "spool", name="two", log=log) as two:
            until(lambda: rows(path, "SELECT min(beat) FROM engine_runs")[0][0] > 20)
            two.observe(began("other"))
            assert two.wait_stored(LONG_S)
        assert rows(path, "SELECT call_id, state FROM calls ORDER BY 1") == [("held", "up"), ("other", "lost")]
        one.observe(ended("held"))
        assert one.wait_stored(LONG_S)
    assert rows(path, "SELECT state FROM calls WHERE call_id = 'held'") == [("ended",)]
    assert not log.named("records.calls_lost")


class Told:
    """Webhooks that keep what they are told."""

    def __init__(self, *wanted):
        self.wanted = frozenset(wanted)
        self.events = []

    def tell(self, event, make, about):
        self.events.append((event, make(None), about))


def test_each_worker_of_an_engine_loses_its_own_calls_only(tmp_path, monkeypatch):
    """One of three is killed; the others, of the same name on the same machine, find it without a new start."""
    monkeypatch.setattr(store_module, "BEAT_S", 0.02)
    monkeypatch.setattr("reference_engine.records.runs.MISSED", 10_000)  # however long a beat takes here
    path, log = tmp_path / "calls.db", Log()
    told = []
    with ExitStack() as workers:
        first, second, third = (
            workers.enter_context(
                record_store(f"sqlite://{path}", tmp_path / "spool", name="pbx", worker=number, log=log)
            )
            for number in (1, 2, 3)
        )
        for number, store in enumerate((first, second, third), 1):
            store.observe(began(f"of-{number}"))
            assert store.wait_stored(LONG_S)
        first.on_lost = third.on_lost = told.extend
        second.observe(turn("of-2"))
        assert second.wait_stored(LONG_S)
        with closing(sqlite3.connect(path, timeout=LONG_S)) as connection:
            connection.execute("UPDATE engine_runs SET pid = 2147483646 WHERE worker = 2")
            connection.commit()
        until(lambda: log.named("records.calls_lost"))
        assert rows(path, "SELECT call_id, state FROM calls ORDER BY 1") == [
            ("of-1", "up"),
            ("of-2", "lost"),
            ("of-3", "up"),
        ]
        for event in (turn("of-1"), ended("of-1", 1), ended("of-3")):
            (first if event.call_id == "of-1" else third).observe(event)
        assert first.wait_stored(LONG_S)
        assert third.wait_stored(LONG_S)
    assert totals(path) == ([("ended", 2, 1), ("lost", 1, 1)], 2, (3, 1, 1))
    assert rows(path, "SELECT DISTINCT engine FROM hourly") == [("pbx",)]
    assert [record["call_ids"] for record in log.named("records.calls_lost")] == [["of-2"]]
    (lost_call,) = told
    assert (lost_call.call_id, lost_call.engine, lost_call.worker) == ("of-2", "pbx", 2)
    assert (lost_call.caller, lost_call.turns, lost_call.at_least_s) == ("+4930123", 1, 1.0)
    webhooks = Told("call.lost")
    WebhookEvents(webhooks, "other").calls_lost(told)
    ((event, data, about),) = webhooks.events
    assert json.loads(json.dumps(data)) == data
    assert (event, data["engine"], data["answered_by"], data["worker"]) == ("call.lost", "other", "pbx", 2)
    assert (data["pipeline"], data["version"], data["at_least_s"]) == ("default", 1, 1.0)
    assert datetime.fromisoformat(data["began"]).tzinfo is not None
    assert (about.call_id, about.caller) == ("of-2", "+4930123")
    assert set(re.findall(r"`(\w+)`", LOST_ROW)) == {*data}, "the guide names all of it"
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        lost = find_call(connection, "of-2")
    engine.dispose()
    assert (lost.summary.engine, lost.worker) == ("pbx", 2)
    shown = " ".join(as_text(lost).split())
    assert "engine pbx, worker 2" in shown
    assert "at least 0:01, to the last that was written, 1 turn" in shown


def test_an_engine_elsewhere_that_beats_no_more_has_lost_its_calls(tmp_path, monkeypatch):
    """It turns out to live: its call is up again, ends, and is counted once."""
    monkeypatch.setattr(store_module, "BEAT_S", 0.01)
    monkeypatch.setattr("reference_engine.records.runs._namespace", lambda: "")
    path, log = tmp_path / "calls.db", Log()
    with record_store(f"sqlite://{path}", tmp_path / "spool", name="far") as far:
        far.observe(began("a"))
        far.observe(began("b"))
        assert far.wait_stored(LONG_S)
        until(lambda: far._job is None)
        far._beat_at = float("inf")  # the network is gone for it
        with record_store(f"sqlite://{path}", tmp_path / "spool", name="near", log=log) as near:
            near.wait_ready()
            until(lambda: log.named("records.calls_lost"))
        assert totals(path)[0] == [("lost", 2, 0)]
        far._beat_at = 0.0
        far._lose_database("it was away", "")
        until(lambda: rows(path, "SELECT DISTINCT state FROM calls") == [("up",)])
        for event in (turn("a"), ended("a", 1), ended("b", 0)):
            far.observe(event)
        assert far.wait_stored(LONG_S)
    assert totals(path) == ([("ended", 2, 1)], 1, (2, 0, 1))


def test_a_full_disk_tears_nothing(tmp_path, monkeypatch):
    """Neither the database nor the spool has room: rows wait in memory, then turns are given up before calls."""
    room = 2000
    full = threading.Event()
    pwrite = os.pwrite

    def write(descriptor, data, offset):
        if full.is_set() and offset + len(data) > room:
            if (part := room - offset) > 0:
                return pwrite(descriptor, bytes(data)[:part], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", write)
    monkeypatch.setattr(store_module, "MAX_BACKLOG", 20)
    original = RowWriter._transact

    def transact(self, run):
        if full.is_set():
            raise DatabaseAwayError("database or disk is full")
        return original(self, run)

    monkeypatch.setattr(RowWriter, "_transact", transact)
    path, log = tmp_path / "calls.db", Log()
    with record_store(f"sqlite://{path}", tmp_path / "spool", log=log) as store:
        store.wait_ready()
        full.set()
        for number in range(8):
            for event in whole_call(f"call-{number}", 3):
                store.observe(event)
        until(lambda: store.lost)
        for file in (tmp_path / "spool").iterdir():
            for line in file.read_bytes().splitlines(keepends=True):
                assert json.loads(line)["v"] == 1
        full.clear()
        assert store.wait_stored(LONG_S)
        lost = store.lost
    assert rows(path, "SELECT state, count(*) FROM calls GROUP BY state") == [("ended", 8)]
    kept = rows(path, "SELECT (SELECT count(*) FROM turns) + (SELECT count(*) FROM usage)")[0][0]
    assert kept + lost == 8 * 4
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert "No space left on device" in [record["reason"] for record in log.named("records.failed")]


def test_a_database_that_is_removed_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "BEAT_S", 0.02)
    path = tmp_path / "calls.db"
    with record_store(f"sqlite://{path}", tmp_path / "spool") as store:
        store.observe(began("a"))
        assert store.wait_stored(LONG_S)
        for file in tmp_path.glob("calls.db*"):
            file.unlink()
        until(path.exists)
        store.observe(ended("a"))
        assert store.wait_stored(LONG_S)
    assert rows(path, "SELECT call_id, state FROM calls") == [("a", "ended")]


def test_tables_of_later_software_refuse_the_start(tmp_path):
    path = tmp_path / "calls.db"
    with record_store(f"sqlite://{path}", tmp_path / "spool") as store:
        store.wait_ready()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with (
        record_store(f"sqlite://{path}", tmp_path / "spool") as store,
        pytest.raises(RecordsRefusedError, match="are of version 9999, and this software knows up to"),
    ):
        store.wait_ready()


def test_where_neither_database_nor_spool_can_be_made_the_start_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with (
        record_store(f"sqlite://{tmp_path}/file/calls.db", tmp_path / "file/spool") as store,
        pytest.raises(RecordsRefusedError, match="and rows can't wait in"),
    ):
        store.wait_ready()


def test_files_of_a_later_spool_are_left_alone(tmp_path):
    (tmp_path / "later.jsonl").write_text('{"v": 2, "anything": 1}\n')
    (tmp_path / "damaged.jsonl").write_text('rubbish\n{"v": 1}\n')
    spool = Spool(tmp_path, EngineRun.of_this_process().run)
    assert spool.take_over() == 2
    assert spool.foreign == [tmp_path / "later.jsonl"]
    chunk = spool.next(10)
    spool.stored(chunk)
    assert (list(chunk.changes), spool.damaged, spool.waiting) == ([], 2, 0)
    spool.close()
    assert [path.name for path in tmp_path.iterdir()] == ["later.jsonl"]
