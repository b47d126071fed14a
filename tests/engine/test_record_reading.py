"""Whoever reads records gets an answer in time, whatever the database does, and holds up nobody else."""

from __future__ import annotations

import math
import socket
import sqlite3
import threading

import pytest
import trio
from sqlalchemy import text

from reference_engine.records import reading
from reference_engine.records.database import writing_engine
from reference_engine.records.history import CallFilter, FigureFilter
from reference_engine.records.reading import READERS, Reader, RecordsUnavailable
from reference_engine.records.schema import upgrade
from reference_engine.settings.records_place import read_place
from tests.engine.recorded_calls import add_call, add_run

FOREVER = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def with_tables(url):
    engine = writing_engine(read_place(url))
    with engine.begin() as connection:
        upgrade(connection)
        add_run(connection)
        add_call(connection, call_id="a")
    engine.dispose()
    return read_place(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    """A database with one call."""
    if request.param == "sqlite":
        return with_tables(f"sqlite://{tmp_path}/calls.db")
    server = request.getfixturevalue("postgresql")
    return with_tables(server.url(server.new_database()))


async def test_a_query_without_end_is_given_up_and_the_next_one_answered(place):
    reader = Reader(place, deadline_s=0.05)
    found = await trio.to_thread.run_sync(reader.read, lambda connection: connection.execute(text(FOREVER)).all())
    assert found == RecordsUnavailable("the query took longer than 0.05 s: ask for less, such as `--since 2h`")
    patient = Reader(place, deadline_s=math.inf if place.kind == "sqlite" else 60)
    try:
        assert (await patient.find_call("a")).summary.call_id == "a"
        assert [call.call_id for call in (await patient.find_calls(CallFilter())).calls] == ["a"]
        assert (await patient.read_figures(FigureFilter()))[0].calls == 1
    finally:
        patient.close()
        reader.close()


async def test_nothing_can_be_written(place):
    reader = Reader(place, deadline_s=60)
    found = await reader.run(lambda connection: connection.execute(text("DELETE FROM calls")))
    assert "read-only" in found.problem or "readonly" in found.problem
    assert (await reader.find_call("a")).summary.call_id == "a"
    reader.close()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("sqlite:{tmp_path}/nowhere.db", "the file of the database is not there or may not be read"),
        ("sqlite:{tmp_path}/empty.db", "run `reference-engine records upgrade`"),
        ("sqlite:{tmp_path}/other.db", "file is not a database"),
        ("postgresql://x@127.0.0.1:1/calls", "start the server, or name its host and port in the URL"),
        ("postgresql://x@/calls?host={tmp_path}", "start the server, or name its host in the URL"),
    ],
)
async def test_a_database_that_is_not_there_says_what_to_do(tmp_path, url, problem):
    (tmp_path / "empty.db").touch()
    (tmp_path / "other.db").write_text("no database, but longer than its head would be " * 10)
    reader = Reader(read_place(url.format(tmp_path=tmp_path)), deadline_s=60)
    found = await reader.find_calls(CallFilter())
    assert problem in found.problem
    assert found == await reader.find_calls(CallFilter())
    assert "".join(path.name for path in sorted(tmp_path.glob("nowhere*"))) == ""


async def test_a_database_that_comes_back_is_read_again(tmp_path):
    reader = Reader(read_place(f"sqlite:{tmp_path}/calls.db"), deadline_s=60)
    assert isinstance(await reader.find_call("a"), RecordsUnavailable)
    with_tables(f"sqlite:{tmp_path}/calls.db")
    assert (await reader.find_call("a")).summary.call_id == "a"
    (tmp_path / "calls.db").rename(tmp_path / "away.db")
    assert isinstance(await reader.find_call("a"), RecordsUnavailable)


async def test_a_database_that_is_locked_is_read_nevertheless(tmp_path):
    place = with_tables(f"sqlite:{tmp_path}/calls.db")
    with sqlite3.connect(tmp_path / "calls.db", isolation_level=None) as writer:
        writer.execute("BEGIN EXCLUSIVE")
        assert (await Reader(place, deadline_s=60).find_call("a")).summary.call_id == "a"
        writer.execute("ROLLBACK")


async def test_a_server_that_swallows_everything_is_given_up_at_the_deadline(autojump_clock):
    """The clock is virtual: it jumps to the deadline, while the thread waits for the server."""
    pytest.importorskip("psycopg")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        reader = Reader(read_place(f"postgresql://x@127.0.0.1:{silent.getsockname()[1]}/calls"))
        found = await reader.find_call("a")
        assert "did not answer within 5 s: look for a server that hangs, a lock, or a firewall" in found.problem
        assert trio.current_time() == pytest.approx(reading.DEADLINE_S + 1)


async def test_readers_that_hang_hold_neither_the_loop_nor_other_threads_nor_other_readers(autojump_clock, place):
    """All threads of one reader hang in the database; who asks the same reader has its answer at the deadline."""
    goes_on, hanging = threading.Event(), []
    reader, other = Reader(place), Reader(place)

    def hang(_connection):
        hanging.append(1)
        goes_on.wait()
        return "late"

    answers = []

    async def ask():
        answers.append(await reader.run(hang))

    async with trio.open_nursery() as nursery:
        for _ in range(READERS + 2):
            nursery.start_soon(ask)
    assert [type(answer) for answer in answers] == [RecordsUnavailable] * (READERS + 2)
    assert trio.current_time() == pytest.approx(reading.DEADLINE_S + 1)
    assert len(hanging) <= READERS
    autojump_clock.autojump_threshold = math.inf
    assert await trio.to_thread.run_sync(lambda: "another thread") == "another thread"
    assert (await other.find_call("a")).summary.call_id == "a"
    goes_on.set()
    assert (await reader.find_call("a")).summary.call_id == "a"
    for each in (reader, other):
        each.close()
