"""The programs in the guides run as they stand there."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import pytest
from doc_pages import ROOT, block_titled
from patience import LONG_S

import voicepipe

GUIDE = "docs/how-to/write-an-adapter.md"


@pytest.fixture
def parrot(tmp_path, monkeypatch):
    """The guide's package as pip would have installed it: module, test and entry point."""
    for title in ("voicepipe_parrot.py", "test_parrot.py"):
        (tmp_path / title).write_text(block_titled(GUIDE, title), encoding="utf-8")
    project = tomllib.loads(block_titled(GUIDE, "pyproject.toml"))["project"]
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {target}\n" for name, target in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(points), encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def check(directory, llm):
    models, scripts = ROOT / "config/models/tiny-en", ROOT / "config/scripts"
    assert scripts.is_dir()
    file = directory / "parrot.yaml"
    stt = f"{{type: vosk, model: {models}}}"
    file.write_text(f"pipelines:\n  default:\n    stt: {stt}\n    llm: {llm}\n    tts: espeak\n", encoding="utf-8")
    command = [sys.executable, "-m", "voicepipe.cli", "check", file.name]
    command[1:3] = ["-c", "import sys; from voicepipe.cli import main; sys.exit(main())"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, timeout=LONG_S, check=False)


def test_the_adapter_of_the_guide_is_found_by_its_entry_point(parrot):
    run = check(parrot, '{type: parrot, prefix: "I heard:"}')
    assert run.stdout.startswith("parrot.yaml: ok: 1 pipeline")
    assert run.returncode == 0


def test_its_options_are_checked_like_ours(parrot):
    run = check(parrot, "{type: parrot, prefixx: no}")
    assert run.stdout.startswith('parrot.yaml:4:25: pipelines.default.llm.prefixx: unknown key "prefixx"')
    assert run.returncode == 78


def test_the_test_of_the_guide_passes(parrot):
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-c",
        ROOT / "pyproject.toml",
        "--rootdir",
        parrot,
        "test_parrot.py",
    ]
    run = subprocess.run(command, cwd=parrot, capture_output=True, text=True, timeout=LONG_S, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "1 passed" in run.stdout


def test_the_program_that_reloads(tmp_path):
    pytest.importorskip("vosk", reason="its pipeline recognises with vosk: pip install 'voicepipe[local]'")
    program = tmp_path / "reloading.py"
    program.write_text(block_titled("docs/how-to/embed.md", "reloading.py"), encoding="utf-8")
    command = [sys.executable, program, ROOT / "config/ai-agent.yaml"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=True)
    assert run.stdout == "version 1: default answers\nnothing to do\n"


def test_the_observer(capsys):
    program = {}
    exec(block_titled("docs/how-to/embed.md", "observing.py"), program)
    turn = voicepipe.TurnEnded(
        call_id="1",
        at_s=2.0,
        turn=1,
        trigger="utterance",
        heard="hello",
        said="Hi.",
        interrupted=False,
        response_ms=600.0,
    )
    program["observe"](turn)
    program["observe"](voicepipe.CallEnded(call_id="1", at_s=3.0, outcome="caller_hung_up", turns=1))
    assert capsys.readouterr().out == "'hello' -> 'Hi.' after 600.0 ms\ncaller_hung_up\n"
