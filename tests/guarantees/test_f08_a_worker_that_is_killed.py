"""F08: kill -9 of a worker costs its calls only; the others serve on, it is started again, and records are whole."""

from __future__ import annotations

from worker_engines import open_workers, restarted, send, worker_of

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
