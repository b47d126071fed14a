"""What the pages say that the commands print is what they print."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest
from doc_pages import ROOT, blocks_in
from patience import LONG_S

ENGINE = (sys.executable, "-m", "reference_engine")


@pytest.fixture
def place(tmp_path):
    """A copy of what the commands read."""
    pytest.importorskip("vosk", reason="the pipelines recognise with vosk: make setup")
    shutil.copytree(ROOT / "config", tmp_path / "config")
    shutil.copytree(ROOT / "examples/pipelines", tmp_path / "examples/pipelines")
    return tmp_path


@pytest.fixture
def serve(place):
    """Starts an engine; stops it in the end."""
    engines = []

    def start(file, *options):
        engine = subprocess.Popen(
            [
                *(*ENGINE, "run", file, *options, "--log-format", "json"),
                *("--audiosocket", "127.0.0.1:0", "--control", "control.sock"),
            ],
            cwd=place,
            stderr=subprocess.PIPE,
            text=True,
        )
        engines.append(engine)
        assert engine.stderr is not None
        while json.loads(line := engine.stderr.readline())["event"] != "engine.ready":
            assert line

    yield start
    for engine in engines:
        engine.send_signal(signal.SIGTERM)
        engine.communicate(timeout=LONG_S)


def edit(file, old, new):
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def printed(place, command):
    run = subprocess.run(
        [*ENGINE, command, "--control", "control.sock"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=LONG_S,
        check=False,
    )
    return timeless(run.stdout)


def timeless(text):
    """Without what is different each time."""
    return re.sub(r"\d+\.\d\d s\b", "N s", re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "WHEN", text))


def shown(page, command):
    """What a page shows below a command, once for each time."""
    return [
        timeless(block.text.partition("\n")[2])
        for block in blocks_in(ROOT / page)
        if block.text.startswith(f"$ {command}\n")
    ]


@pytest.mark.parametrize("page", ["README.md", "docs/how-to/change-a-pipeline.md"])
def test_a_reload_and_a_refusal(page, place, serve):
    file = place / "config/ai-agent.yaml"
    serve("config/ai-agent.yaml")
    applied, rejected = shown(page, "make engine-reload")
    edit(file, "active_pipeline: default", "active_pipeline: after_hours")
    assert printed(place, "reload") == applied
    edit(file, "active_pipeline: after_hours", "active_pipeline: after_hour")
    assert printed(place, "reload") == rejected


def test_the_regression_call_s_reload_and_its_refusal(place, serve):
    page = ROOT / "docs/call-framework.md"
    file = place / "examples/pipelines/two-voices.yaml"
    serve("examples/pipelines/two-voices.yaml")
    text = timeless(page.read_text(encoding="utf-8"))
    edit(file, "active_pipeline: day", "active_pipeline: evening")
    assert f"$ reference-engine reload --control ./control.sock\n{printed(place, 'reload')}$ " in text
    edit(file, "voice: en-gb", "voise: en-gb")
    assert f"$ reference-engine reload --control ./control.sock\n{printed(place, 'reload')}```" in text


def test_a_rotated_secret(place, serve):
    page = "docs/how-to/secrets.md"
    (text,) = (block.text for block in blocks_in(ROOT / page) if block.language == "yaml")
    (place / "config/ai-agent.yaml").write_text(text, encoding="utf-8")
    (lines,) = (block.text for block in blocks_in(ROOT / page) if "NIGHT_DESK=" in block.text)
    (place / "env").write_text(lines, encoding="utf-8")
    serve("config/ai-agent.yaml", "--env-file", "env")
    (applied,) = shown(page, "reference-engine reload")
    edit(place / "env", "NIGHT_DESK=2001", "NIGHT_DESK=2002")
    assert printed(place, "reload") == applied
