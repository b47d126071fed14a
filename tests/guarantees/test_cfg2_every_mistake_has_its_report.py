"""CFG2: each mistake that a file can hold has a case in `tests/config/bad`, with its report beside it.

After a change of wording: `REGENERATE=1 pytest tests/guarantees/test_cfg2_*.py`, and read the diff.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from config_adapters import ENVIRON, REGISTRY

from voicepipe.config.load import load_config
from voicepipe.config.report import format_problems
from voicepipe.errors import ConfigError

BAD = Path(__file__).parents[1] / "config" / "bad"
CASES = sorted(path.stem for path in BAD.glob("*.yaml"))


def report_on(name: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(Path(f"{name}.yaml"), registry=REGISTRY, environ=ENVIRON)
    return format_problems(caught.value.problems)


@pytest.mark.parametrize("name", CASES)
def test_report(name, monkeypatch):
    monkeypatch.chdir(BAD)
    report = report_on(name)
    expected = BAD / f"{name}.expected"
    if os.environ.get("REGENERATE"):
        expected.write_text(report, encoding="utf-8")
    assert report == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_no_secret_in_a_report(name, monkeypatch):
    monkeypatch.chdir(BAD)
    report = report_on(name)
    assert ENVIRON["API_KEY"] not in report
    assert "hunter2" not in report


@pytest.mark.parametrize("name", CASES)
def test_every_problem_has_a_place_in_its_file_and_a_hint(name, monkeypatch):
    monkeypatch.chdir(BAD)
    with pytest.raises(ConfigError) as caught:
        load_config(Path(f"{name}.yaml"), registry=REGISTRY, environ=ENVIRON)
    for problem in caught.value.problems:
        lines = problem.where.file.read_bytes().decode(errors="replace").split("\n")
        assert problem.where.line <= len(lines)
        assert problem.where.column <= len(lines[problem.where.line - 1]) + 1
        assert problem.hint


def test_every_report_has_its_case():
    assert {path.stem for path in BAD.glob("*.expected")} == set(CASES)
    assert len(CASES) >= 100
