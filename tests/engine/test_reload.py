"""Reloads of a running engine: by signal, over the control socket, and by `reference-engine reload`."""

from __future__ import annotations

import signal

import pytest
from engine_process import open_engine, run_command


def hang_up(engine):
    """Sends SIGHUP."""
    engine.process.send_signal(signal.SIGHUP)


async def test_by_signal(engine):
    hang_up(engine)
    unchanged = await engine.logged("reload.unchanged")
    assert (unchanged["set"], unchanged["version"], unchanged["trigger"]) == ("main", 1, "signal")

    engine.edit("active_pipeline: default", "active_pipeline: night")
    hang_up(engine)
    applied = await engine.logged("reload.applied")
    assert (applied["set"], applied["version"], applied["level"]) == ("main", 2, "info")
    assert applied["plan"]["active"] == "night"
    assert applied["plan"]["kept"] == ["stt vosk (tiny-en)", "llm scripted (reception.yaml)"]
    assert applied["digest"] != unchanged["digest"]
    assert (await engine.logged("version.retired"))["version"] == 1

    engine.edit("active_pipeline: night", "active_pipeline: nigth")
    hang_up(engine)
    rejected = await engine.logged("reload.rejected")
    assert (rejected["set"], rejected["serving_version"], rejected["level"]) == ("main", 2, "error")
    (problem,) = rejected["problems"]
    assert (problem["file"], problem["line"], problem["column"]) == ("ai-agent.yaml", 1, 18)
    assert problem["path"] == "active_pipeline"
    assert "night" in problem["hint"]
    assert "errors" not in rejected
    assert [engine.count(f"reload.{outcome}") for outcome in ("applied", "unchanged", "rejected")] == [1, 1, 1]


async def test_a_signal_during_the_start_is_kept_for_after_it(home):
    async with open_engine(home, ready=False) as engine:
        await engine.logged("engine.starting")
        hang_up(engine)
        await engine.logged("reload.unchanged", trigger="signal")
        events = [record["event"] for record in engine.calm_records]
        assert events == ["engine.starting", "engine.ready", "reload.unchanged"]


async def test_over_the_control_socket(engine):
    engine.edit("voice: en-us", "voice: en-gb+f3")
    done = await engine.ask("POST", "/-/reload")
    body = done.json()
    assert done.status_code == 200
    assert (body["set"], body["version"], body["outcome"]) == ("main", 2, "applied")
    assert body["plan"]["changed"] == ["default"]
    assert (body["plan"]["opened"], body["plan"]["closed"]) == (["tts espeak (en-gb+f3)"], ["tts espeak (en-us)"])

    same = await engine.ask("POST", "/-/reload")
    assert (same.status_code, same.json()["outcome"], same.json()["version"]) == (200, "unchanged", 2)

    engine.yaml.write_text("pipelines: [")
    refused = await engine.ask("POST", "/-/reload")
    assert refused.status_code == 422
    assert (refused.json()["outcome"], refused.json()["serving_version"]) == ("rejected", 2)
    (error,) = refused.json()["errors"]
    assert set(error) == {"file", "line", "column", "path", "message", "hint"}

    (shown,) = (await engine.ask("GET", "/sets")).json()["sets"]
    assert (shown["set"], shown["version"], shown["active_pipeline"]) == ("main", 2, "default")
    assert [(version["version"], version["state"]) for version in shown["versions"]] == [(1, "retired"), (2, "serving")]
    assert shown["last_attempt"]["errors"] == [error]
    assert shown["digest"] == body["digest"]


async def test_what_the_control_does_not_have(engine):
    for method, path, status in (("GET", "/-/reload", 405), ("GET", "/nothing", 404)):
        answer = await engine.ask(method, path)
        assert answer.status_code == status
        assert answer.json()["error"]


async def test_by_command(engine):
    told = await engine.command("reload")
    assert told.returncode == 0
    assert told.stdout == b"main: unchanged, version 1 serves on; nothing was reopened\n"

    engine.edit("active_pipeline: default", "active_pipeline: night")
    told = await engine.command("reload")
    assert told.returncode == 0
    lines = told.stdout.decode().splitlines()
    assert lines[0].startswith("main: version 2 serves, from the next call on")
    assert lines[1:] == [
        "  active pipeline: default -> night",
        "  pipelines added: night",
        "  pipelines removed: default",
        "  components opened: tts espeak (en-gb)",
        "  components kept: stt vosk (tiny-en), llm scripted (reception.yaml)",
        "  components that close with their last call: tts espeak (en-us)",
    ]

    engine.edit("voice: en-gb", "voise: en-gb")
    told = await engine.command("reload")
    assert told.returncode == 1
    assert told.stdout.startswith(b"main: rejected (1 problem), version 2 serves on\n\nai-agent.yaml:12:")
    assert b"voice" in told.stdout.split(b"hint: ")[1]

    told = await engine.command("status")
    assert told.returncode == 0
    head, serving, _, last, *problems = told.stdout.decode().splitlines()
    assert head.split()[:4] == ["SET", "VERSION", "STATE", "CALLS"]
    assert serving.split()[:5] == ["main", "2", "serving", "0", "night"]
    assert last.startswith("main: last reload rejected, 1 problem, ")
    assert any("voise" in line for line in problems)


@pytest.mark.parametrize("command", ["reload", "rollback", "status"])
async def test_a_command_without_an_engine_says_what_to_do(home, command):
    told = await run_command(command, "--control", "c.sock", home=home)
    assert told.returncode == 1
    assert told.stdout == b""
    assert told.stderr.startswith(b"reference-engine: no engine is answering at c.sock")
    assert b"reference-engine run" in told.stderr


async def test_a_reload_is_answered_once_the_start_is_done(home):
    async with open_engine(home, ready=False) as engine:
        await engine.logged("engine.starting")
        answer = await engine.ask("POST", "/-/reload")
        assert answer.json()["outcome"] == "unchanged"


async def test_a_logging_level_takes_effect_at_once_and_for_its_set_only(engine):
    with engine.yaml.open("a") as yaml:
        yaml.write("logging: {level: ERROR}\n")
    assert (await engine.ask("POST", "/-/reload")).json()["outcome"] == "applied"
    assert (await engine.ask("POST", "/-/reload")).json()["outcome"] == "unchanged"
    engine.yaml.write_text("")
    assert (await engine.ask("POST", "/-/reload")).status_code == 422
    await engine.logged("reload.rejected")
    engine.process.terminate()
    assert await engine.ended() == 0
    await engine.logged("engine.stopped")
    events = [record["event"] for record in engine.calm_records]
    assert events[2:] == ["reload.rejected", "engine.draining", "engine.stopped"]
