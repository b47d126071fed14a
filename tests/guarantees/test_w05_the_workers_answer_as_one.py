"""W05: calls, sets, metrics and commands of an engine are those of all workers; no sum falls when one is killed."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
from worker_engines import open_workers, pid_of, restarted, send, worker_of

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

ENDED = 'voicepipe_calls_total{outcome="caller_hung_up",pipeline="default",set="main"}'


async def test_two_workers_answer_as_one_engine_and_no_sum_falls(home):
    async with open_workers(home) as engine:
        async with AsyncExitStack() as up:
            callers = [await up.enter_async_context(open_audiosocket_call(port=engine.port)) for _ in range(3)]
            workers = [await worker_of(engine, caller) for caller in callers]
            assert set(workers) == {1, 2}
            calls = (await engine.ask("GET", "/calls")).json()["calls"]
            assert {call["transport_id"]: call["worker"] for call in calls} == {
                str(caller.call_id): worker for caller, worker in zip(callers, workers, strict=True)
            }
            for caller, worker in zip(callers, workers, strict=True):
                assert (await engine.ask("GET", f"/calls/{caller.call_id}")).json()["worker"] == worker
                told = await engine.command("steer", str(caller.call_id), "tell", "It is late.")
                assert (told.returncode, told.stderr) == (0, b"")
            samples = await engine.samples()
            assert samples['voicepipe_active_calls{set="main",version="1"}'] == 3
            status = (await engine.command("status")).stdout.decode()
            assert all(str(pid_of(engine, number)) in status for number in (1, 2))
            lines = [line.split() for line in status.splitlines()]
            assert next(line[3] for line in lines if line[:2] == ["main", "1"]) == "3"
        await engine.comes_true(lambda: _is(engine, ENDED, 3))

        killed = workers[0]
        assert (await engine.command("pause")).stdout == b"paused: no new call is taken; 0 calls are up\n"
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", engine.port)
        before = await engine.samples()
        send(engine, killed)
        await restarted(engine, killed)
        assert (await engine.ask("GET", "/readyz")).json()["status"] == "paused"  # the new worker too
        assert (await engine.command("resume")).returncode == 0
        after = await engine.samples()
        sums = [name for name in before if name.partition("{")[0].endswith(("_total", "_count", "_sum", "_bucket"))]
        assert len(sums) > 50
        assert {name: (before[name], after.get(name)) for name in sums if after.get(name, -1.0) < before[name]} == {}
        assert after[f'voicepipe_worker_deaths_total{{worker="{killed}"}}'] == 1
        async with open_audiosocket_call(port=engine.port) as caller:
            await worker_of(engine, caller)
        await engine.comes_true(lambda: _is(engine, ENDED, 4))
        assert after["voicepipe_supervisor_resident_memory_bytes"] < 40 << 20
        unknown = await engine.ask("GET", f"/calls/{callers[0].call_id}")
        assert unknown.status_code == 404
        assert f"worker {killed} ended in that time" in unknown.json()["error"]
        assert "Workers" in (await engine.ask("GET", "/pages/now", headers={"Host": "localhost"})).text
        assert (await engine.command("reload")).returncode == 0


async def _is(engine, series, value):
    return (await engine.samples()).get(series) == value
