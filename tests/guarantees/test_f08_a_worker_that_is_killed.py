"""F08: kill -9 of a worker costs its calls only; the others serve on, it is started again, and records are whole."""

from __future__ import annotations

import signal
import sqlite3
from pathlib import Path

import trio
from engine_process import open_engine
from patience import LONG_S
from worker_engines import open_workers, pid_of, restarted, send, worker_of

from voicepipe.testing.audiosocket_caller import open_audiosocket_call


async def test_a_worker_that_is_killed_costs_its_own_calls_and_is_started_again(home):
    async with (
        open_workers(home) as engine,
        open_audiosocket_call(port=engine.port) as first,
        open_audiosocket_call(port=engine.port) as second,
    ):
        killed = await worker_of(engine, first)
        assert await worker_of(engine, second) != killed
        send(engine, killed)
        await first.hung_up.wait()
        ended = await restarted(engine, killed)
        assert ended["reason"] == "SIGKILL ended it"
        assert ended["calls_lost"] == 1
        assert await second.agent_spoke(quiet_ms=100)
        assert not second.hung_up.is_set()
        async with open_audiosocket_call(port=engine.port) as third:  # the new one has the fewest
            assert await worker_of(engine, third) == killed
            assert await third.agent_spoke(quiet_ms=100)
        engine.process.terminate()
        await second.hung_up.wait()
        assert second.how == "0x00"
        assert await engine.ended() == 0


ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0}]
records: sqlite:calls.db
control: c.sock
"""


def states(home):
    """The states of the calls in the database, by their transport's ID."""
    with sqlite3.connect(f"file:{home / 'calls.db'}?mode=ro", uri=True) as database:
        rows = database.execute("SELECT transport_id, state FROM calls").fetchall()
    return dict(rows) if len(dict(rows)) == len(rows) else rows


async def test_a_killed_workers_calls_are_lost_once_and_the_others_have_whole_records(home):
    (home / "engine.yaml").write_text(ENGINE)
    async with open_workers(home, file="engine.yaml") as engine:
        async with (
            open_audiosocket_call(port=engine.port) as first,
            open_audiosocket_call(port=engine.port) as second,
        ):
            killed = await worker_of(engine, first)
            await worker_of(engine, second)
            calls = [str(first.call_id), str(second.call_id)]

            async def both_are_up():
                return (home / "calls.db").exists() and states(home) == dict.fromkeys(calls, "up")

            await engine.comes_true(both_are_up)
            send(engine, killed)
            await engine.logged("records.calls_lost")
            await second.hang_up()
        await engine.logged("call.ended", transport_id=calls[1])
        engine.process.terminate()
        assert await engine.ended() == 0
    assert states(home) == {calls[0]: "lost", calls[1]: "ended"}


def is_running(pid):
    """Whether a process has not ended; one that nobody has waited for has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_the_supervisor_is_killed_its_calls_go_on_and_another_takes_the_port(home):
    async with (
        open_workers(home) as engine,
        open_audiosocket_call(port=engine.port) as first,
    ):
        busy = await worker_of(engine, first)
        pids = {number: pid_of(engine, number) for number in (1, 2)}
        engine.process.send_signal(signal.SIGKILL)
        await engine.logged("worker.draining", worker=busy, calls=1, drain_s=None)
        where = ("--audiosocket", f"127.0.0.1:{engine.port}")
        async with open_engine(home, *where) as next_engine, open_audiosocket_call(port=engine.port) as second:
            await next_engine.logged("call.started", transport_id=str(second.call_id))
            assert await first.agent_spoke(quiet_ms=100)
            assert not first.hung_up.is_set()
            assert is_running(pids[busy])
            await first.hang_up()
            await engine.logged("worker.stopped", worker=busy)
        with trio.fail_after(LONG_S):
            while any(map(is_running, pids.values())):  # noqa: ASYNC110 - of processes that are not children
                await trio.sleep(0.02)
