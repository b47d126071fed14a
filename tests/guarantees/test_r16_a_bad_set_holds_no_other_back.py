"""R16: a bad set never holds back another in the same SIGHUP."""

from __future__ import annotations

from engine_process import open_engine


async def test_each_has_its_own_fate(home):
    async with open_engine(home, file="engine.yaml") as engine:
        engine.edit("active_pipeline: default", "active_pipeline: night")
        (home / "acme.yaml").write_text("pipelines: [")
        engine.hang_up()
        applied = await engine.logged("reload.applied", set="main", trigger="signal")
        rejected = await engine.logged("reload.rejected", set="acme", trigger="signal")
        assert (applied["version"], rejected["serving_version"]) == (2, 1)

        # the engine's own file is no exception, and its removal neither
        engine.edit("active_pipeline: night", "active_pipeline: default")
        (home / "engine.yaml").unlink()
        engine.hang_up()
        assert (await engine.logged("engine.reload.rejected", trigger="signal"))["problems"]
        assert (await engine.logged("reload.applied", set="main", version=3))["plan"]["active"] == "default"

        samples = await engine.samples()
        assert samples['voicepipe_config_last_reload_successful{set="main"}'] == 1
        assert samples['voicepipe_config_last_reload_successful{set="acme"}'] == 0
        assert samples["voicepipe_engine_config_last_reload_successful"] == 0
