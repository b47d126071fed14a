"""The benchmark of the chain runs, and its results have their shape; how good they are is no test's business."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import bench_chain
import chain_runs
import pytest
import trio
from bench_chain import COLUMNS
from bench_components import LookingTranscripts
from chain_parts import Vendors, checked_out
from chain_runs import NoMeasurementError
from loop_turns import TaskTimes
from sampler import by_group

BENCH = Path(bench_chain.__file__)


def test_a_call(tmp_path):
    """Listens, thinks and speaks over TLS; the run would fail if the caller heard no reply."""
    out = tmp_path / "chain.json"
    run = subprocess.run([sys.executable, BENCH, "--quick", "--tls", "--out", out], check=True, capture_output=True)
    results = json.loads(out.read_text())
    echo, row = results["rows"]
    assert (echo["build"], row["build"]) == ("echo", "this one")
    assert row["faults"] == echo["faults"] == []
    assert row["n"] == echo["n"] == 1
    assert row["replies"] >= 1
    assert min(row["cpu_s_per_call_min"], echo["cpu_s_per_call_min"]) > 0
    assert row["over_silence_p50_ms"] <= row["over_silence_p99_ms"]
    assert 0 <= row["from_end_p50_ms"] <= row["from_end_p99_ms"]
    assert row["set_ups_a_second"] > 0
    assert row["pause_ms"] > 0
    assert any(name.startswith("voicepipe.") for name in row["steps_by_task"])
    assert min(row["base_mb"], row["ready_s"]) > 0
    assert row["vendors_load"] > 0
    assert COLUMNS["cpu_s_per_call_min"] in run.stdout.decode()


def test_another_revision_is_what_python_imports(tmp_path):
    if subprocess.run(["git", "-C", BENCH.parent, "rev-parse", "HEAD"], capture_output=True, check=False).returncode:
        pytest.skip("this is no git repository")
    program = (
        "import sys, voicepipe; from importlib.metadata import entry_points\n"
        "print(voicepipe.__file__, sorted(point.name for point in entry_points(group='voicepipe.llm')))"
    )
    with checked_out("HEAD") as folder:
        project = folder / "pyproject.toml"
        (named,) = folder.glob("*.dist-info")
        entries = named / "entry_points.txt"
        entries.write_text(entries.read_text().replace("openai = voicepipe.adapters.openai.llm", "then = then.llm"))
        assert "[project]" in project.read_text()
        run = subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": str(folder)},
            capture_output=True,
            check=True,
            cwd=tmp_path,
        )
        assert run.stdout.decode().strip() == f"{folder}/voicepipe/__init__.py ['scripted', 'then']"
    assert not folder.exists()
    with pytest.raises(SystemExit, match="no revision is called 'nowhere'"), checked_out("nowhere"):
        pass


def test_a_run_in_which_nobody_hears_a_reply_is_no_measurement(monkeypatch):
    row = {"replies": 7, "faults": [], "base_mb": 50.0}
    said = {"vendors": {"load": 0.1, "asked": {"/v1/listen": 10}}}
    monkeypatch.setattr(chain_runs, "run", lambda *_, **__: (row, said))
    with pytest.raises(NoMeasurementError, match=r"heard 7 replies where at least 8 were due.*'/v1/listen': 10"):
        chain_runs.hold(Vendors(), Path(), 10, 10, 1)


def test_ratios_are_of_runs_that_followed_each_other():
    def row(cpu_s, kb):
        return (
            {"cpu_s_per_call_min": cpu_s, "kb_per_active_call": kb}
            | dict.fromkeys(bench_chain.RATIOS, 1.0)
            | {
                "cpu_s_per_call_min": cpu_s,
                "kb_per_active_call": kb,
            }
        )

    rows = {
        "echo": [row(0.1, 10)] * 3,
        bench_chain.OWN: [row(0.2, 100), row(0.4, 100), row(0.3, 100)],
        "then": [row(0.4, 300), row(0.8, 200), row(0.3, 400)],
    }
    results = {"rows": [], "ratios": []}
    bench_chain.add_rows(results, 10, rows, {bench_chain.OWN: 200, "then": 100})
    (ratios,) = results["ratios"]
    assert (ratios["cpu_s_per_call_min"], ratios["kb_per_active_call"]) == (0.5, 0.333)
    assert ratios["set_ups_a_second"] == 2
    assert [row["ratio_to_echo"] for row in results["rows"]] == [1, 3, 4]


def test_a_profile_is_told_by_groups_of_modules():
    folded = """\
server:main;trio._core._run:run;voicepipe.adapters.deepgram.stt:send;enum:Enum.__call__ 30
server:main;trio._core._run:run;voicepipe.adapters.deepgram.stt:send;json.decoder:decode 10
server:main;trio._core._run:run;<attrs generated methods outcome._impl:__init__ 60
"""
    _, _, *rows = by_group(folded, chain_runs.GROUPS)
    assert rows == ["| trio | 60.0 % | 100.0 % |", "| our adapters | 30.0 % | 40.0 % |", "| json | 10.0 % | 10.0 % |"]


def test_task_steps_are_counted_in_whole_seconds_that_were_measured():
    by_second = {
        "0": {"start": 900},
        "10": {"send": 9},
        "11": {"send": 20, "run": 40},
        "12": {"run": 20},
        "13": {"run": 9},
    }
    measured = {"began": 10.5, "ended": 13.5}
    assert chain_runs.steps_by_task(by_second, measured, calls=2) == {"run": 15, "send": 5}
    assert chain_runs.a_second({}, measured) == 0


def test_the_steps_of_each_task_are_told_apart():
    times = TaskTimes()

    async def waits_thrice():
        for _ in range(3):
            await trio.lowlevel.checkpoint()

    async def computes():
        sum(range(300_000))

    async def main():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(waits_thrice, name="waits")
            nursery.start_soon(computes, name="computes")

    trio.run(main, instruments=[times])
    noted = json.loads(json.dumps(times.noted()))
    steps = sum(map(Counter, noted["task_steps"].values()), Counter())
    assert (steps["waits"], steps["computes"]) == (4, 1)
    cpu_s = sum(map(Counter, noted["task_cpu_s"].values()), Counter())
    assert max(cpu_s, key=cpu_s.get) == "computes"
    assert sum(noted["loop_turns"].values()) >= 3


async def test_the_scripted_recogniser_looks_at_every_frame():
    loud, quiet = b"\0\x10" * 160, bytes(320)
    transcripts = LookingTranscripts()
    await transcripts.send(loud * 3 + quiet[:100])
    assert (transcripts.loud_frames, transcripts.quiet_frames) == (3, 0)
    await transcripts.send(quiet[100:] + quiet * 2)
    assert (transcripts.loud_frames, transcripts.quiet_frames) == (3, 3)
