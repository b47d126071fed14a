"""The fuzz target of the configuration runs, and is not easily satisfied."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

TARGET = Path(__file__).parents[1] / "fuzz" / "fuzz_config.py"


def test_the_fuzz_target_runs():
    rounds, refused = runpy.run_path(str(TARGET))["fuzz"](0, 1, least=500)
    assert 0 < refused < rounds == 500


def test_it_says_how_to_repeat_a_failure(capsys):
    target = runpy.run_path(str(TARGET))

    def broken(*_arguments, **_more):
        raise RuntimeError("a traceback")

    target["check"].__globals__["load_config"] = broken
    with pytest.raises(RuntimeError, match="a traceback"):
        target["fuzz"](0, 7)
    assert capsys.readouterr().err == "--seed 7\n"
