"""R11: a SIGHUP during start-up is kept for after it, not lethal."""

from __future__ import annotations

from engine_process import open_engine


async def test_it_is_kept_and_a_burst_of_them_is_one(home):
    async with open_engine(home, file="engine.yaml", ready=False, fresh=True) as engine:
        await engine.logged("engine.starting")
        for _ in range(20):
            engine.hang_up()
        for name in ("main", "acme"):
            await engine.logged("reload.unchanged", set=name, trigger="signal")
        assert (await engine.ask("GET", "/readyz")).json() == {"status": "ready"}
        events = [record["event"] for record in engine.calm_records]
        assert events[:3] == ["engine.starting", "engine.ready", "engine.reload.unchanged"]
        assert events.count("engine.reload.unchanged") == 1
        engine.process.terminate()
        assert await engine.ended() == 0
