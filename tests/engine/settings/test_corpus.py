"""What can be wrong with an engine's file: each mistake has a case in `bad/`, with its report beside it.

After a change of wording: `REGENERATE=1 pytest tests/engine/settings`, and read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from reference_engine.settings.loading import load_engine_settings, load_settings
from voicepipe import ConfigError, format_problems

HERE = Path(__file__).parent
BAD = sorted(path.stem for path in (HERE / "bad").glob("*.yaml"))
GOOD = sorted((HERE / "good").glob("*.yaml"))
ENVIRON = {"TOKEN": "0123456789abcdef", "SHORT": "sh0rt-one", "SET": "main", "PORT": "9095"}


def problems_of(name, monkeypatch):
    monkeypatch.chdir(HERE / "bad")
    with pytest.raises(ConfigError) as caught:
        load_settings(Path(f"{name}.yaml"), environ=ENVIRON)
    return caught.value.problems


@pytest.mark.parametrize("name", BAD)
def test_report(name, monkeypatch):
    report = format_problems(problems_of(name, monkeypatch))
    expected = HERE / "bad" / f"{name}.expected"
    if os.environ.get("REGENERATE"):
        expected.write_text(report, encoding="utf-8")
    assert report == expected.read_text(encoding="utf-8")
    assert not {"sh0rt-one", "hunter2", ENVIRON["TOKEN"]} & set(report.split())
    assert all(char.isprintable() or char == "\n" for char in report)


@pytest.mark.parametrize("name", BAD)
def test_every_problem_has_a_place_in_its_file_and_a_hint(name, monkeypatch):
    for problem in problems_of(name, monkeypatch):
        lines = Path(f"{name}.yaml").read_text(encoding="utf-8").split("\n")
        assert problem.where.file == Path(f"{name}.yaml")
        assert problem.where.line <= len(lines)
        assert problem.where.column <= len(lines[problem.where.line - 1]) + 1
        assert problem.hint


def test_every_report_has_its_case():
    assert {path.stem for path in (HERE / "bad").glob("*.expected")} == set(BAD)
    assert len(BAD) >= 60


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_the_good_half(path):
    settings = load_engine_settings(path, environ=ENVIRON)
    assert {one.set for one in settings.listeners} <= set(settings.pipeline_sets)
    assert settings == load_settings(path, environ=ENVIRON)
