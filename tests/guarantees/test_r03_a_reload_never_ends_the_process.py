"""R03: a reload never ends the process, whatever the file holds and whatever a component's factory raises."""

from __future__ import annotations

import logging
import random
import shutil
import sys
from pathlib import Path

import pytest
from engine_process import open_engine
from recording import RecordedSet, pipeline, raising

from voicepipe import Applied, ConfigError, Rejected
from voicepipe.components.registry import BrokenAdapter
from voicepipe.pipelines import change_worker

RANDOM = random.Random(3)
RUBBISH = {
    "NUL": b"\0" * 100,
    "not UTF-8": b"pipelines: \xff\xfe",
    "a tag": b"pipelines: !!python/object/apply:sys.exit [3]",
    "deep": b"[" * 20_000,
    "an alias of itself": b"pipelines: &a [*a]",
    "another type": b"42",
    **{f"random {number}": RANDOM.randbytes(300) for number in range(20)},
}
RAISED = {
    "error": lambda: RuntimeError("no"),
    "exit": lambda: SystemExit(3),
    "exit in a group": lambda: BaseExceptionGroup("several", [SystemExit(3), OSError("reset")]),
    "generator exit": GeneratorExit,
    "memory": MemoryError,
    "recursion": lambda: RecursionError("too deep"),
}


@pytest.mark.parametrize("content", RUBBISH.values(), ids=RUBBISH)
async def test_whatever_the_file_holds(tmp_path, content):
    recorded = RecordedSet(tmp_path)
    async with recorded.serve() as pipelines:
        recorded.path.write_bytes(content)
        assert isinstance(await pipelines.reload(), Rejected)
        recorded.write(default=pipeline(stt="b"))
        assert isinstance(await pipelines.reload(), Applied)


@pytest.mark.parametrize("make", RAISED.values(), ids=RAISED)
async def test_whatever_a_factory_raises(tmp_path, make):
    recorded = RecordedSet(tmp_path)
    recorded.opening["llm b"] = raising(make())
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(llm="b"))
        assert isinstance(outcome, Rejected)
        assert pipelines.current.version == 1
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}


async def test_a_factory_that_exits_while_it_makes_its_context(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.check = lambda options: sys.exit(3) if options.id == "b" else ()
    async with recorded.serve() as pipelines:
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline(llm="b")), Rejected)


async def test_a_start_does_not_end_it_either(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.opening["llm a"] = raising(SystemExit(3))
    with pytest.raises(ConfigError, match="SystemExit"):
        async with recorded.serve():
            pytest.fail("it serves")


async def test_an_adapter_that_cant_be_imported(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.registry.broken = (BrokenAdapter("tts", "rusty", "rusty_voice:tts can't be imported: SystemExit: 3"),)
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline() | {"tts": "rusty"})
        assert isinstance(outcome, Rejected)
        assert outcome.problems[0].path == "pipelines.default.tts"
        assert "is installed, but can't be used: rusty_voice:tts can't be imported" in outcome.problems[0].message
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline(tts="b")), Applied)


async def test_whatever_who_looks_on_raises(tmp_path, caplog):
    recorded = RecordedSet(tmp_path)

    def clumsy(event):
        recorded.events.append(event)
        raise RuntimeError("no")

    async with recorded.serve(observer=clumsy) as pipelines:
        for stt in ("b", "c"):
            assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt=stt)), Applied)
        with pipelines.pin() as snapshot:
            assert snapshot.version == 3
    assert [type(event).__name__ for event in recorded.events] == ["Applied", "Retired"] * 2
    assert {record.levelname for record in caplog.records} == {"ERROR"}
    assert all("clumsy" in record.getMessage() and record.exc_info for record in caplog.records)


@pytest.mark.parametrize("step", ["_read_files", "_unchanged", "_replace", "plan_change", "check_losses"])
async def test_whatever_a_defect_raises(tmp_path, monkeypatch, caplog, step):
    recorded = RecordedSet(tmp_path)
    async with recorded.serve() as pipelines:
        recorded.write(default=pipeline(stt="b"))
        with monkeypatch.context() as broken:
            broken.setattr(pipelines._worker if step.startswith("_") else change_worker, step, lambda *_, **__: 1 / 0)
            rejected = await pipelines.reload()
        assert (rejected.reason, pipelines.current.version) == ("defect", 1)
        assert "ZeroDivisionError" in rejected.problems[0].message
        assert [record.levelno for record in caplog.records] == [logging.ERROR]
        assert caplog.records[0].exc_info
        assert isinstance(await pipelines.reload(), Applied)
        assert recorded.open["stt b"] == 1


def drop_a_setting(packages):
    settings = packages / "voicepipe/config/call_settings.py"
    text = settings.read_text()
    start = text.index("    warning: str =")
    settings.write_text(text[:start] + text[text.index("    goodbye: str =") :])


UPGRADES = {
    "a setting less": drop_a_setting,
    "a module less": lambda packages: (packages / "voicepipe/config/reading_helper.py").unlink(),
    "half copied": lambda packages: (packages / "voicepipe/config/load.py").write_text("def load_config(\n"),
}


@pytest.mark.parametrize("upgrade", UPGRADES.values(), ids=UPGRADES)
async def test_an_upgrade_in_place_says_that_it_needs_a_restart(home, tmp_path, monkeypatch, upgrade):
    """`pip install -U` under a running engine: its helper would run the new code, and answer in its classes."""
    for package in ("voicepipe", "reference_engine"):
        shutil.copytree(Path(__file__).parents[2] / package, tmp_path / package)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    async with open_engine(home) as engine:
        upgrade(tmp_path)
        engine.edit("voice: en-us", "voice: en-gb+f3")
        engine.hang_up()
        rejected = await engine.logged("reload.rejected")
        (problem,) = rejected["problems"]
        assert "voicepipe was upgraded since the start" in problem["message"]
        assert "restart the engine" in problem["hint"]
        assert (rejected["serving_version"], rejected["reason"]) == (1, "config")
        assert (await engine.ask("GET", "/sets")).status_code == 200
        assert engine.count("upkeep.failed") == 0
