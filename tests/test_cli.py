"""The `voicepipe` command, in this process; its exit status in a real one is in guarantees/test_r04."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import voicepipe
from voicepipe import cli
from voicepipe.commands import check

CONFIG = Path(__file__).parents[1] / "config" / "ai-agent.yaml"
RUN = [sys.executable, "-m", "voicepipe"]


@pytest.fixture
def broken(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("pipelines: {default: {stt: x}}\n")
    return path


def test_a_good_file_is_one_line(capsys):
    assert cli.main(["check", str(CONFIG)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{CONFIG}: ok: 2 pipelines (default, after_hours)")
    assert line.endswith("default is active")


def test_every_file_is_looked_at(capsys, broken):
    assert cli.main(["check", str(broken), str(CONFIG), str(broken.with_name("nowhere.yaml"))]) == 78
    out = capsys.readouterr().out
    assert f"{broken}:1:28: pipelines.default.stt:" in out
    assert f"{CONFIG}: ok" in out
    assert "nowhere.yaml:1:1: the file does not exist\n" in out
    assert out.endswith("4 problems\n")


def test_json(capsys, broken):
    assert cli.main(["check", "--format", "json", str(broken), str(CONFIG)]) == 78
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is False
    assert {error["path"] for error in report["errors"]} == {
        f"pipelines.default.{role}" for role in ("stt", "llm", "tts")
    }
    assert cli.main(["check", "--format", "json", str(CONFIG)]) == 0
    assert json.loads(capsys.readouterr().out) == {"ok": True, "errors": []}


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["check", "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "voicepipe check config/ai-agent.yaml" in out
    assert "exit status" in out


def test_version(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"voicepipe {voicepipe.__version__}\n"


def test_ctrl_c_ends_it_quietly(monkeypatch, capsys):
    def interrupted(_path, **_arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(check, "load_with_places", interrupted)
    assert cli.main(["check", str(CONFIG)]) == 130
    assert capsys.readouterr() == ("", "")


def test_a_reader_that_has_gone_is_no_error(broken):
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = subprocess.run([*RUN, "check", broken], stdout=write_end, stderr=subprocess.PIPE, check=False)
    os.close(write_end)
    assert (process.returncode, process.stderr) == (78, b"")


@pytest.mark.parametrize(("variables", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_colour_only_on_a_terminal_that_wants_it(broken, variables, coloured):
    leader, follower = pty.openpty()
    environ = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | {"TERM": "xterm"} | variables
    subprocess.run([*RUN, "check", broken], stdout=follower, env=environ, check=False)
    os.close(follower)
    output = os.read(leader, 65536)
    os.close(leader)
    assert b"unknown" not in output
    assert (b"\x1b[" in output) == coloured
    piped = subprocess.run([*RUN, "check", broken], stdout=subprocess.PIPE, env=environ, check=False)
    assert b"\x1b[" not in piped.stdout
