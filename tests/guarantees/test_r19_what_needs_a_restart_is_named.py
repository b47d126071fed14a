"""R19: a changed setting that needs a restart is named, and rejected."""

from __future__ import annotations

from engine_process import open_engine

CHANGED = """\
pipeline_sets: {main: ai-agent.yaml, acme: acme.yaml}
listeners:
  - {set: main, name: main, port: 0, max_connections: 7}
  - {set: acme, name: acme, port: 0}
  - {set: acme, name: more, port: 0}
control: c.sock
max_calls: 3
"""


async def test_it_is_named_and_nothing_of_the_file_is_applied(home):
    async with open_engine(home, file="engine.yaml") as engine:
        (home / "engine.yaml").write_text(CHANGED)
        engine.edit("active_pipeline: default", "active_pipeline: night")
        refused = await engine.ask("POST", "/-/reload")
        body = refused.json()
        assert refused.status_code == 422
        assert body["engine"]["outcome"] == "rejected"
        assert [(error["file"], error["line"], error["path"]) for error in body["errors"]] == [
            ("engine.yaml", 1, "admin"),
            ("engine.yaml", 3, "listeners[0].max_connections"),
            ("engine.yaml", 5, "listeners[2]"),
        ]
        assert all("restart" in error["hint"] for error in body["errors"])
        assert "from 500 to 7" in body["errors"][1]["message"]
        assert [one["outcome"] for one in body["sets"]] == ["applied", "unchanged"]  # the sets have fates of their own
        logged = await engine.logged("engine.reload.rejected")
        assert (logged["level"], logged["problems"]) == ("error", body["errors"])

        told = await engine.command("reload")
        assert told.returncode == 1
        assert b"the engine's file: rejected (3 problems), nothing of it changed\n\nengine.yaml:1:" in told.stdout
        assert b"main: unchanged, version 2 serves on" in told.stdout

        status = (await engine.command("status")).stdout.decode()
        assert "the engine's file: last reload rejected, 3 problems, " in status


async def test_what_needs_none_takes_effect_at_once(home):
    async with open_engine(home, file="engine.yaml") as engine:
        engine.edit("control: c.sock", "drain_s: 0", file="engine.yaml")
        told = await engine.command("reload")
        assert told.returncode == 0
        assert told.stdout.startswith(b"the engine's file: changed: drain_s\n\nmain: unchanged, version 1")
        applied = await engine.logged("engine.reload.applied")
        assert (applied["trigger"], applied["plan"]["changed"]) == ("control", ["drain_s"])
        engine.process.terminate()
        assert (await engine.logged("engine.draining"))["drain_s"] == 0
        assert await engine.ended() == 0
