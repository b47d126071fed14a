"""D01: every call has exactly one record, whatever dies: database, disk, engine.

Calls are counted from outside: by who placed them, or by the events that the stores were given.
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sqlite3
import threading
from collections import Counter
from itertools import count

import pytest
import trio
from engine_process import open_engine, run_command
from patience import LONG_S
from recorded_events import Log, began, ended, record_store, turn, used

from reference_engine.records import store as store_module
from voicepipe.testing.audiosocket_caller import open_audiosocket_call

DATABASE = "records/calls.db"


def query(path, statement):
    connection = sqlite3.connect(path, timeout=LONG_S)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


async def test_an_engine_that_is_killed_and_a_disk_that_is_full(home):
    """The real engine: calls that end while its disk is full, and calls that are up when it is killed."""
    engine_yaml = home / "engine.yaml"
    engine_yaml.write_text(engine_yaml.read_text() + f"records: sqlite:{DATABASE}\n")
    states = {}
    async with trio.open_nursery() as calls, open_engine(home, file="engine.yaml") as engine:
        placed, hang_up = [], trio.Event()

        async def place(number):
            """A call that is up until it is hung up, or until its engine is killed."""
            async with open_audiosocket_call(port=engine.ports["main"]) as caller:
                call_id = await engine.id_of(caller)
                await engine.logged("call.turn", call_id=call_id)
                placed.append(call_id)
                states[call_id] = "ended" if number % 2 else "lost"
                await (hang_up if number % 2 else caller.hung_up).wait()

        for number in range(4):
            calls.start_soon(place, number)

        async def are_up(states=("up",), turns=4):
            await trio.lowlevel.checkpoint()
            path = home / DATABASE
            found = query(path, "SELECT state FROM calls") if path.exists() else []
            return Counter(found) == {(state,): 4 // len(states) for state in states} and turns == len(
                query(path, "SELECT 1 FROM turns")
            )

        await engine.comes_true(are_up)
        # No file of the process may grow: what a full disk is, for it alone.
        full, normal = (0, resource.RLIM_INFINITY), resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, full)
        hang_up.set()
        away = await engine.logged("records.database_away")
        assert away["reason"]
        resource.prlimit(engine.process.pid, resource.RLIMIT_FSIZE, normal)
        await engine.logged("records.database_back")
        await engine.comes_true(lambda: are_up(("up", "ended")))
        os.kill(engine.process.pid, signal.SIGKILL)
        await engine.ended()
    async with open_engine(home, file="engine.yaml") as engine:
        lost = await engine.logged("records.calls_lost")
        assert set(lost["call_ids"]) == {call_id for call_id, state in states.items() if state == "lost"}
        exported = await run_command("records", "export", "engine.yaml", home=home)
    found = [json.loads(line) for line in exported.stdout.splitlines()]
    assert sorted((call["call_id"], call["state"]) for call in found) == sorted(states.items())
    assert all(len(call["turns"]) == 1 for call in found)
    assert query(home / DATABASE, "SELECT sum(calls), sum(lost) FROM hourly") == [(4, 2)]
    assert query(home / DATABASE, "PRAGMA integrity_check") == [("ok",)]
    assert not list((home / f"{DATABASE}-spool").glob("*"))


class Outside:
    """Gives random calls to stores, and counts them."""

    def __init__(self):
        self.calls = 0
        self.turns = 0
        self.seconds = 0.0
        self._random = random.Random(16)
        self._up = {}
        self._numbers = count(1)

    def go_on(self, stores, events):
        """So many events of calls, of which up to 20 are up at once."""
        for _ in range(events):
            if len(self._up) < 20 and self._random.random() < 0.3:
                call_id, store = f"call-{next(self._numbers)}", self._random.choice(stores)
                self._up[call_id] = (store, 0)
                self.calls += 1
                store.observe(began(call_id))
            elif self._up:
                call_id = self._random.choice(list(self._up))
                store, turns = self._up[call_id]
                if self._random.random() < 0.3:
                    self._end(call_id)
                else:
                    self._up[call_id] = (store, turns + 1)
                    self.turns += 1
                    store.observe(turn(call_id, turns + 1))

    def end_all(self):
        for call_id in list(self._up):
            self._end(call_id)

    def _end(self, call_id):
        store, turns = self._up.pop(call_id)
        seconds = float(self._random.randrange(1, 300))
        self.seconds += seconds
        store.observe(used(call_id))
        store.observe(ended(call_id, turns, at_s=seconds))


def test_two_engines_on_one_database_that_stops_and_starts_again(postgresql, tmp_path, monkeypatch):
    """PostgreSQL, stopped as by a crash while both go on."""
    monkeypatch.setattr(store_module, "RETRY_S", 0.05)
    monkeypatch.setattr(store_module, "GATHER_S", 0.02)
    monkeypatch.setattr(store_module, "BEAT_S", 0.1)
    monkeypatch.setattr("reference_engine.records.runs.MISSED", 10_000)  # however long a beat takes here
    outside, logs = Outside(), [Log(), Log()]
    url = postgresql.url(postgresql.new_database())
    database = url.partition("@/")[2].partition("?")[0]
    with (
        record_store(url, tmp_path / "spool", name="one", log=logs[0]) as one,
        record_store(url, tmp_path / "spool", name="two", log=logs[1]) as two,
    ):
        stores = [one, two]
        for store in stores:
            store.wait_ready()
        outside.go_on(stores, 300)
        postgresql.stop()
        try:
            outside.go_on(stores, 300)
            _until(lambda: all(store.is_away and store.spooled and not store.waiting for store in stores))
        finally:
            postgresql.start()
        outside.go_on(stores, 300)
        assert all(store.wait_stored(LONG_S) for store in stores)
        _until(lambda: not any(store.is_away for store in stores))
        outside.end_all()
        assert all(store.wait_stored(LONG_S) for store in stores)
        assert [store.lost for store in stores] == [0, 0]
    by_state = postgresql.execute("SELECT state, count(*), sum(turns), sum(duration_s) FROM calls GROUP BY 1", database)
    assert by_state == [("ended", outside.calls, outside.turns, outside.seconds)]
    assert postgresql.execute("SELECT count(*) FROM turns", database) == [(outside.turns,)]
    assert postgresql.execute("SELECT count(*) FROM usage", database) == [(outside.calls,)]
    figures = "SELECT sum(calls), sum(turns), sum(seconds), sum(lost) FROM hourly"
    assert postgresql.execute(figures, database) == [(outside.calls, outside.turns, outside.seconds, 0)]
    assert len(postgresql.execute("SELECT DISTINCT engine FROM hourly", database)) == 2
    for log in logs:
        events = [record["event"] for record in log.records]
        assert events == ["records.database_away", "records.database_back"]


@pytest.mark.parametrize("jump_s", [-86_400, 86_400])
def test_a_clock_that_jumps(tmp_path, monkeypatch, jump_s):
    """A call's length and order of turns are the monotonic clock's, and no engine is taken for dead."""
    monkeypatch.setattr(store_module, "BEAT_S", 0.02)
    monkeypatch.setattr("reference_engine.records.runs.MISSED", 10_000)  # however long a beat takes here
    monkeypatch.setattr(store_module, "GATHER_S", 0.01)
    wall = store_module.time
    path = tmp_path / "calls.db"
    log = Log()
    with (
        record_store(f"sqlite://{path}", tmp_path / "spool", name="one", log=log) as one,
        record_store(f"sqlite://{path}", tmp_path / "spool", name="two", log=log) as two,
    ):
        for store in (one, two):
            store.observe(began(store.run.name))
        assert one.wait_stored(LONG_S)
        monkeypatch.setattr(store_module, "time", lambda: wall() + jump_s)
        for store in (one, two):
            store.observe(turn(store.run.name))
            store.observe(ended(store.run.name, 1, at_s=12.5))
            store.observe(began(f"{store.run.name} later"))
        beat = query(path, "SELECT min(beat) FROM engine_runs")[0][0]
        _until(lambda: query(path, "SELECT min(beat) FROM engine_runs")[0][0] > beat + 15)
        for store in (one, two):
            store.observe(ended(f"{store.run.name} later"))
            assert store.wait_stored(LONG_S)
    assert not log.records
    lengths = "SELECT call_id, state, duration_s, (julianday(ended) - julianday(began)) * 86400 FROM calls ORDER BY 1"
    for call_id, state, seconds, apart in query(path, lengths):
        assert (state, seconds) == ("ended", 10.0 if "later" in call_id else 12.5)
        assert apart == pytest.approx(seconds, abs=0.01)
    assert query(path, "SELECT sum(calls), sum(turns), sum(lost) FROM hourly") == [(4, 2, 0)]


def _until(condition):
    waited = threading.Event()
    for _ in range(int(LONG_S / 0.02)):
        if condition():
            return
        waited.wait(0.02)
    raise AssertionError("it has not become true")
