"""`reference-engine check`: an engine's file with all its sets, or a set's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from reference_engine.cli import main

ROOT = Path(__file__).parents[3]
SET = """\
pipelines:
  default:
    stt: {type: vosk, model: %s}
    llm: {type: scripted, script: %s}
    tts: espeak
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = SET % (ROOT / "config/models/tiny-en", ROOT / "config/scripts/reception.yaml")
    (tmp_path / "main.yaml").write_text(good)
    (tmp_path / "acme.yaml").write_text(good)
    (tmp_path / "engine.yaml").write_text(
        "pipeline_sets: {main: main.yaml, acme: acme.yaml}\n"
        "listeners:\n  - {set: main}\n  - {set: acme, name: acme, port: 9094}\n"
    )
    return tmp_path


def edit(path, old, new):
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def check(capsys, *arguments):
    status = main(["check", *arguments])
    return status, capsys.readouterr().out


def test_all_is_fine(home, capsys):
    status, said = check(capsys, "engine.yaml")
    assert status == 0
    assert said.splitlines() == [
        "engine.yaml: ok: 2 pipeline sets (main, acme), 2 listeners",
        "main.yaml: ok: 1 pipeline, default is active",
        "acme.yaml: ok: 1 pipeline, default is active",
    ]


def test_a_sets_own_file(home, capsys):
    assert check(capsys, "main.yaml") == (0, "main.yaml: ok: 1 pipeline, default is active\n")


def test_a_file_of_two_sets_is_checked_once(home, capsys):
    edit(home / "engine.yaml", "acme: acme.yaml", "acme: main.yaml")
    assert check(capsys, "engine.yaml")[1].count("main.yaml: ok") == 1


def test_what_is_wrong_anywhere_is_told_at_once(home, capsys):
    edit(home / "engine.yaml", "port: 9094", "port: 70000")
    edit(home / "acme.yaml", "tts: espeak", "tts: espaek")
    edit(home / "main.yaml", "type: vosk", "type: vsok")
    status, said = check(capsys, "engine.yaml")
    assert status == 78
    places = [line.split(": ")[0] for line in said.splitlines() if ".yaml:" in line]
    assert places == ["engine.yaml:4:35", "main.yaml:3:17", "acme.yaml:5:10"]
    assert said.endswith("3 problems\n")


def test_a_bad_set_beside_a_good_one(home, capsys):
    (home / "acme.yaml").unlink()
    status, said = check(capsys, "engine.yaml")
    assert status == 78
    assert "main.yaml: ok" in said
    assert "acme.yaml:1:1: the file does not exist" in said


def test_for_programs(home, capsys):
    status, said = check(capsys, "--format", "json", "engine.yaml")
    assert (status, json.loads(said)) == (0, {"ok": True, "errors": []})
    edit(home / "engine.yaml", "port: 9094", "prot: 9094")
    status, said = check(capsys, "--format", "json", "engine.yaml")
    assert status == 78
    (error,) = json.loads(said)["errors"]
    assert error == {
        "file": "engine.yaml",
        "line": 4,
        "column": 29,
        "path": "listeners[1].prot",
        "message": 'unknown key "prot"',
        "hint": 'did you mean "port"? options of audiosocket: host, port, rate, when_full, tls',
    }


def test_variables_are_for_the_engine_and_its_sets(home, capsys):
    edit(home / "engine.yaml", "port: 9094", 'port: "${PORT}"')
    edit(home / "main.yaml", "tts: espeak", 'tts: {type: espeak, voice: "${VOICE}"}')
    assert check(capsys, "engine.yaml")[0] == 78
    (home / "env").write_text("PORT=9095\nVOICE=en-us\n")
    assert check(capsys, "--env-file", "env", "engine.yaml")[0] == 0
    (home / "env").write_text("PORT\n")
    status, said = check(capsys, "--env-file", "env", "engine.yaml")
    assert (status, said.splitlines()[0]) == (78, "env:1:1: is not of the form NAME=value")


def test_wrong_usage(home, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        main(["check"])
