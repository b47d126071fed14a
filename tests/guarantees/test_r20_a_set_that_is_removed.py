"""R20: a set or pipeline that is removed lets its calls finish and refuses new ones, by name."""

from __future__ import annotations

import pytest
import trio
from engine_process import open_engine
from recording import RecordedSet, pipeline

from voicepipe import CallInfo, PipelineSetClosed
from voicepipe.testing.audiosocket_caller import open_audiosocket_call

WITHOUT_ACME = """\
pipeline_sets: {main: ai-agent.yaml}
listeners:
  - {set: main, name: main, port: 0}
control: c.sock
admin: {port: 0}
"""


async def test_a_set(home):
    async with open_engine(home, file="engine.yaml") as engine:
        port = engine.ports["acme"]
        async with open_audiosocket_call(port=port) as up, await trio.open_tcp_stream("127.0.0.1", port) as late:
            await engine.logged("call.started", transport_id=str(up.call_id), set="acme")
            (home / "engine.yaml").write_text(WITHOUT_ACME)
            answers = []

            async def reload():
                answers.append(await engine.ask("POST", "/-/reload"))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(reload)
                await engine.logged("engine.reload.applied")
                # It was connected before, and says now who it is: within its 5 s, however long the sets are read.
                await late.send_all(b"\x01\x00\x10" + bytes(16))
            (done,) = answers
            body = done.json()
            assert (done.status_code, body["set"], body["outcome"]) == (200, "main", "unchanged")
            assert body["engine"]["plan"]["sets_removed"] == ["acme"]
            assert body["engine"]["plan"]["listeners_closed"] == ["acme"]

            assert await up.agent_spoke(quiet_ms=100)
            assert not up.hung_up.is_set()
            refused = await engine.logged("call.refused")
            assert refused["listener"] == "acme"
            assert "'acme' was removed" in refused["reason"]
            with pytest.raises(OSError, match="all attempts"):
                await trio.open_tcp_stream("127.0.0.1", port)
            unknown = await engine.ask("POST", "/-/reload?set=acme")
            assert unknown.status_code == 404
            assert "unknown pipeline set 'acme'; pipeline sets: main" in unknown.json()["error"]

            shown = (await engine.ask("GET", "/sets")).json()
            (main,), (acme,) = shown["sets"], shown["removed"]
            assert (main["state"], acme["state"], acme["versions"][0]["calls"]) == ("serving", "removed", 1)
            status = (await engine.command("status")).stdout.decode().splitlines()
            assert status[2].split()[:4] == ["acme", "1", "removed", "1"]
            assert not any("acme" in name for name in await engine.samples())
        assert (await engine.logged("call.ended", transport_id=str(up.call_id)))["outcome"] == "caller_hung_up"

        async def gone():
            return (await engine.ask("GET", "/sets")).json()["removed"] == []

        await engine.comes_true(gone)


async def test_a_new_set_and_another_that_answers(home):
    async with open_engine(home, file="engine.yaml") as engine:
        (home / "bank.yaml").write_text("pipelines: [")
        engine.edit("acme: acme.yaml}", "acme: acme.yaml, bank: bank.yaml}", file="engine.yaml")
        body = (await engine.ask("POST", "/-/reload")).json()
        assert body["engine"]["plan"]["sets_added"] == ["bank"]
        bank = body["sets"][2]
        assert (bank["set"], bank["outcome"], bank["serving_version"]) == ("bank", "rejected", None)
        assert (await engine.samples())['voicepipe_config_last_reload_successful{set="bank"}'] == 0
        assert b"bank  -        rejected" in (await engine.command("status")).stdout

        # nobody would answer if a listener were given to it now
        engine.edit("{set: acme, name: acme", "{set: bank, name: acme", file="engine.yaml")
        refused = await engine.ask("POST", "/-/reload")
        assert refused.status_code == 422
        errors = [(error["file"], error["path"]) for error in refused.json()["engine"]["errors"]]
        assert errors == [("bank.yaml", ""), ("engine.yaml", "listeners[1].set")]
        async with open_audiosocket_call(port=engine.ports["acme"]) as caller:
            await engine.logged("call.started", transport_id=str(caller.call_id), set="acme")

        (home / "bank.yaml").write_text((home / "acme.yaml").read_text())
        done = await engine.ask("POST", "/-/reload")
        assert done.status_code == 200
        assert done.json()["engine"]["plan"]["listeners_answered"] == ["acme"]
        bank = done.json()["sets"][2]
        assert (bank["set"], bank["outcome"], bank["version"]) == ("bank", "applied", 1)
        async with open_audiosocket_call(port=engine.ports["acme"]) as caller:
            await engine.logged("call.started", transport_id=str(caller.call_id), set="bank")


async def test_a_set_with_another_file_goes_on_with_its_versions(home):
    async with open_engine(home, file="engine.yaml") as engine:
        (home / "other.yaml").write_text("pipelines: [")
        engine.edit("acme: acme.yaml", "acme: other.yaml", file="engine.yaml")
        body = (await engine.ask("POST", "/-/reload")).json()
        assert body["engine"]["plan"]["sets_moved"] == ["acme"]
        assert (body["sets"][1]["outcome"], body["sets"][1]["serving_version"]) == ("rejected", 1)
        assert body["sets"][1]["errors"][0]["file"] == "other.yaml"
        (home / "other.yaml").write_text(
            (home / "acme.yaml").read_text().replace("active_pipeline: default", "active_pipeline: night")
        )
        body = (await engine.ask("POST", "/-/reload")).json()
        assert (body["sets"][1]["outcome"], body["sets"][1]["version"]) == ("applied", 2)


async def test_a_pipeline(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.write(default=pipeline(), sales=pipeline(tts="b", selectable=True))
    async with recorded.serve() as pipelines:
        with pipelines.pin() as up:
            outcome = await recorded.rewrite(pipelines, default=pipeline())
            assert outcome.plan.removed == ("sales",)
            assert up.pipelines["sales"].version == 1
            assert recorded.open["tts b"] == 1
            with pipelines.pin() as new:
                assert "sales" not in new.pipelines
                assert new.choose(CallInfo("1")).name == "default"
        closed = pipelines
    with pytest.raises(PipelineSetClosed, match="'main' is closing"), closed.pin():
        pass
