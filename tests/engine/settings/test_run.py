"""`reference-engine run` with an engine's file."""

from __future__ import annotations

import json

import pytest
import trio
from engine_process import EngineProcess, open_process, run_command

ENGINE = "pipeline_sets: {main: ai-agent.yaml}\nlisteners: [{set: main, port: 0}]\ncontrol: c.sock\ndrain_s: 3\n"


@pytest.fixture
def engine_yaml(home):
    path = home / "engine.yaml"
    path.write_text(ENGINE)
    return path


async def test_addresses_and_times_come_from_the_file(home, engine_yaml):
    run = ["run", "engine.yaml", "--log-format", "json"]
    async with trio.open_nursery() as nursery, open_process(*run, home=home) as process:
        engine = EngineProcess(process, home)
        nursery.start_soon(engine.read_log)
        ready = await engine.logged("engine.ready")
        assert ready["control"] == "c.sock"
        assert ready["listeners"][0]["port"] not in {0, 9092}
        assert (await engine.ask("GET", "/healthz")).status_code == 200
        process.terminate()
        assert (await engine.logged("engine.draining"))["drain_s"] == 3
        assert await engine.ended() == 0
        nursery.cancel_scope.cancel()


async def test_a_bad_file_ends_it_with_78_and_every_problem_at_its_place(home, engine_yaml):
    engine_yaml.write_text(ENGINE.replace("set: main", "set: mian").replace("drain_s: 3", "drain_s: soon"))
    ended = await run_command("run", "engine.yaml", "--log-format", "json", home=home)
    assert ended.returncode == 78
    places = [line.split(": ")[0] for line in ended.stdout.decode().splitlines() if line.startswith("engine.yaml")]
    assert places == ["engine.yaml:2:19", "engine.yaml:4:10"]
    *_, failed = map(json.loads, ended.stderr.splitlines())
    assert (failed["event"], len(failed["problems"])) == ("engine.failed", 2)
