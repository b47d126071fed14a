"""What only an engine's file has: limits over all sets, files that are watched, an environment that is read again."""

from __future__ import annotations

import re

import trio
from engine_process import open_engine, run_command
from patience import LONG_S

from voicepipe.testing.audiosocket_caller import open_audiosocket_call


async def test_calls_beyond_max_calls_are_refused_at_once(home):
    engine_yaml = home / "engine.yaml"
    text = engine_yaml.read_text().replace("{set: acme,", "{set: acme, when_full: hang_up,")
    engine_yaml.write_text(text + "max_calls: 2\n")
    async with open_engine(home, file="engine.yaml") as engine:
        async with (
            open_audiosocket_call(port=engine.ports["main"]) as first,
            open_audiosocket_call(port=engine.ports["acme"]) as second,
        ):
            await engine.logged("call.started", set="main")
            await engine.logged("call.started", set="acme")
            async with open_audiosocket_call(port=engine.ports["acme"]) as third:
                with trio.fail_after(LONG_S):
                    await third.hung_up.wait()
                assert third.how == "0x00"
            refused = await engine.logged("call.refused", transport_id=str(third.call_id))
            assert (refused["set"], refused["listener"], refused["level"]) == ("acme", "acme", "warning")
            assert refused["reason"] == "2 calls are up already, as many as max_calls allows"
            assert not first.hung_up.is_set()
            assert not second.hung_up.is_set()
            assert (await engine.samples())['voicepipe_calls_refused_total{reason="full",set="acme"}'] == 1

            engine.edit("max_calls: 2", "max_calls: 3", file="engine.yaml")
            assert (await engine.ask("POST", "/-/reload")).json()["engine"]["plan"]["changed"] == ["max_calls"]
            async with open_audiosocket_call(port=engine.ports["acme"]) as fourth:
                await engine.logged("call.started", transport_id=str(fourth.call_id))

        async def all_closed():  # a call's place is free when all that was its own is closed
            samples = await engine.samples()
            return not any(value for name, value in samples.items() if name.startswith("voicepipe_active_calls{"))

        await engine.comes_true(all_closed)
        async with open_audiosocket_call(port=engine.ports["main"]) as fifth:
            await engine.logged("call.started", transport_id=str(fifth.call_id))


async def test_a_burst_does_not_slip_past_max_calls(home):
    engine_yaml = home / "engine.yaml"
    text = re.sub(r"\{set: (\w+),", r"{set: \1, when_full: error,", engine_yaml.read_text())  # each gets an answer
    engine_yaml.write_text(text + "max_calls: 3\n")
    async with open_engine(home, file="engine.yaml") as engine, trio.open_nursery() as nursery:

        async def call(port):
            async with open_audiosocket_call(port=port):
                await trio.sleep_forever()

        for number in range(12):
            nursery.start_soon(call, engine.ports["main" if number % 2 else "acme"])

        async def all_answered():
            await trio.lowlevel.checkpoint()
            return engine.count("call.started") + engine.count("call.refused") == 12

        await engine.comes_true(all_answered)
        assert (engine.count("call.started"), engine.count("call.refused")) == (3, 9)
        nursery.cancel_scope.cancel()


async def test_files_are_watched_while_that_is_wanted(home):
    engine_yaml = home / "engine.yaml"
    (home / "env").write_text("VOICE=en-us\n")
    (home / "acme.yaml").write_text((home / "acme.yaml").read_text().replace("en-us", '"${VOICE}"'))
    async with open_engine(home, "--env-file", "env", file="engine.yaml") as engine:
        engine_yaml.write_text(engine_yaml.read_text() + "watch: true\n")
        assert (await engine.ask("POST", "/-/reload")).status_code == 200
        await engine.logged("reload.unchanged", set="acme", trigger="watch")
        await engine.logged("engine.reload.unchanged", trigger="watch")

        engine.edit("active_pipeline: default", "active_pipeline: night")
        assert (await engine.logged("reload.applied", set="main", trigger="watch"))["version"] == 2

        (home / "env").write_text("VOICE=en-gb\n")
        applied = await engine.logged("reload.applied", set="acme", trigger="watch")
        assert applied["plan"]["secrets_changed"]

        (home / "bank.yaml").write_text("pipelines: [")
        engine.edit("acme: acme.yaml}", "acme: acme.yaml, bank: bank.yaml}", file="engine.yaml")
        assert (await engine.logged("engine.reload.applied", trigger="watch"))["plan"]["sets_added"] == ["bank"]
        await engine.logged("reload.rejected", set="bank")
        (home / "bank.yaml").write_text((home / "ai-agent.yaml").read_text())
        await engine.logged("reload.applied", set="bank", trigger="watch")

        engine.edit("watch: true", "watch: false", file="engine.yaml")
        assert (await engine.logged("engine.reload.applied", after=len(engine.records)))["plan"]["changed"] == ["watch"]
        before = len(engine.records)
        engine.edit("active_pipeline: night", "active_pipeline: default")
        await trio.sleep(1)
        assert engine.records[before:] == [] or "main" not in {one.get("set") for one in engine.records[before:]}


async def test_a_set_s_own_file_is_watched_if_the_command_line_says_so(home):
    async with open_engine(home, "--watch") as engine:
        await engine.logged("reload.unchanged", trigger="watch")
        engine.edit("active_pipeline: default", "active_pipeline: night")
        await engine.logged("reload.applied", trigger="watch", version=2)


async def test_rollback_by_command(home):
    async with open_engine(home, file="engine.yaml") as engine:
        told = await engine.command("rollback")
        assert told.returncode == 1
        assert b"2 pipeline sets: choose one with --set: main, acme" in told.stderr
        told = await engine.command("rollback", "--set", "main")
        assert told.returncode == 1
        assert b"the engine refused the request (status 404): pipeline set 'main' has no version 0" in told.stderr

        engine.edit("active_pipeline: default", "active_pipeline: night")
        assert (await engine.command("reload", "--set", "main")).returncode == 0
        told = await engine.command("rollback", "--set", "main", "--to", "1")
        assert told.returncode == 0
        lines = told.stdout.decode().splitlines()
        assert lines[0].startswith("main: version 3 serves as 1 did, from the next call on")
        assert lines[1] == "  active pipeline: night -> default"
        told = await engine.command("reload", "--set", "main")
        assert told.stdout == b"main: unchanged (rolled back to 1), version 3 serves on; nothing was reopened\n"
        told = await engine.command("reload", "--force")
        assert told.returncode == 0
        assert b"main: version 4 serves, from the next call on" in told.stdout
        assert b"acme: unchanged, version 1" in told.stdout
        assert (await engine.command("drain")).stdout == b"no call of an old version is up\n"


async def test_all_problems_of_all_sets_end_the_start(home):
    (home / "ai-agent.yaml").write_text("pipelines: [")
    (home / "acme.yaml").write_text("")
    ended = await run_command("run", "engine.yaml", "--log-format", "json", home=home)
    assert ended.returncode == 78
    places = {line.partition(":")[0] for line in ended.stdout.decode().splitlines() if ".yaml:" in line}
    assert places == {"ai-agent.yaml", "acme.yaml"}


async def test_the_last_known_good_files_serve_when_those_that_are_there_are_not_fit(home):
    engine_yaml = home / "engine.yaml"
    engine_yaml.write_text(engine_yaml.read_text() + "last_known_good: kept\n")
    async with open_engine(home, file="engine.yaml") as engine:

        async def kept():
            await trio.lowlevel.checkpoint()
            return all((home / "kept" / name / "manifest.json").exists() for name in ("main", "acme"))

        await engine.comes_true(kept)
        engine.process.terminate()
        assert await engine.ended() == 0
    (home / "ai-agent.yaml").write_text("pipelines: [")
    async with open_engine(home, file="engine.yaml") as engine:
        rejected = await engine.logged("reload.rejected", set="main", trigger="start")
        assert rejected["problems"][0]["file"] == "ai-agent.yaml"
        assert (await engine.logged("last_known_good.serves", set="main"))["version"] == 1
        main, acme = (await engine.ask("GET", "/sets")).json()["sets"]
        assert (main["last_known_good"], main["last_attempt"]["outcome"]) == (True, "rejected")
        assert (acme["last_known_good"], acme["last_attempt"]) == (False, None)
        samples = await engine.samples()
        assert samples['voicepipe_last_known_good{set="main"}'] == 1
        assert samples['voicepipe_last_known_good{set="acme"}'] == 0
        assert b"main: serving last-known-good files" in (await engine.command("status")).stdout
        async with open_audiosocket_call(port=engine.ports["main"]) as caller:
            assert await caller.agent_spoke(quiet_ms=100)
        (home / "ai-agent.yaml").write_text((home / "acme.yaml").read_text())
        assert (await engine.ask("POST", "/-/reload?set=main")).status_code == 200
        assert (await engine.samples())['voicepipe_last_known_good{set="main"}'] == 0
