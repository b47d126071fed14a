"""Names of files that are no UTF-8, over HTTP, in metrics and in the log."""

from __future__ import annotations

import os

from engine_process import open_engine

NAME = os.fsdecode(b"m\xff\xfcller.yaml")


async def test_a_set_whose_file_is_named_so_is_served_and_shown(home, monkeypatch):
    (home / "ai-agent.yaml").rename(home / NAME)
    (home / "scripts/\udcff.yaml").symlink_to("reception.yaml")
    (home / NAME).write_text((home / NAME).read_text().replace("scripts/reception.yaml", '"${SCRIPT}"'))
    monkeypatch.setenv("SCRIPT", "scripts/\udcff.yaml")
    async with open_engine(home, file=NAME) as engine:
        assert (await engine.ask("GET", "/sets")).json()["sets"][0]["file"] == NAME
        for path in ("/metrics", "/sets/main/versions/1", "/calls", "/sets/\N{SNOWMAN}/versions/1"):
            answer = await engine.ask("GET", path)
            assert answer.status_code in {200, 404}
        refused = await engine.ask("POST", "/sets/%ff%fe/rollback")
        assert refused.status_code == 404
        assert refused.json()["error"]
        assert (await engine.command("status")).returncode == 0
        (home / NAME).write_text("pipelines: {}")
        rejected = await engine.ask("POST", "/-/reload")
        assert rejected.status_code == 422
        assert rejected.json()["errors"][0]["file"] == NAME
        assert (await engine.logged("reload.rejected"))["problems"][0]["file"] == NAME
        engine.process.terminate()
        assert await engine.ended() == 0
