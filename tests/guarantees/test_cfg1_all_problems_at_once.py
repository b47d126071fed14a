"""CFG1: every problem of a file is reported at once, each with `file:line:column`, path, hint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from config_adapters import ENVIRON, REGISTRY

from voicepipe.config.load import load_config
from voicepipe.config.report import format_problems
from voicepipe.errors import ConfigError

CORPUS = Path(__file__).parents[1] / "config"


def test_mistakes_of_every_kind_in_one_file(monkeypatch):
    monkeypatch.chdir(CORPUS / "bad")
    with pytest.raises(ConfigError) as caught:
        load_config(Path("many-at-once.yaml"), registry=REGISTRY, environ=ENVIRON)
    places = [(problem.where.line, problem.where.column, problem.path) for problem in caught.value.problems]
    assert places == [
        (1, 1, "active_pipline"),
        (3, 3, "components.ears"),
        (4, 31, "components.mouth.voice"),
        (7, 37, "pipelines.default.stt[1].model"),
        (8, 10, "pipelines.default.llm.model"),
        (8, 23, "pipelines.default.llm.temperature"),
        (10, 22, "pipelines.default.tools[1]"),
        (11, 5, "pipelines.default.tools"),
        (12, 3, "pipelines.night.llm"),
        (14, 10, "pipelines.night.tts"),
        (15, 17, "pipelines.night.selectable"),
        (16, 25, "turns.end_of_turn_ms"),
    ]
    assert all(problem.hint for problem in caught.value.problems)
    report = format_problems(caught.value.problems)
    assert len(re.findall(r"^many-at-once\.yaml:\d+:\d+: ", report, re.MULTILINE)) == len(places)


def test_a_mistake_or_two_in_each_of_many_pipelines(tmp_path):
    tts = "{type: cloud, model: a, api_key: short, spede: 1}"
    pipelines = [f"  p{n}: {{stt: {{type: ears, model: nowhere}}, llm: x, tts: {tts}}}\n" for n in range(200)]
    path = tmp_path / "set.yaml"
    path.write_text("active_pipeline: p0\npipelines:\n" + "".join(pipelines))
    with pytest.raises(ConfigError) as caught:
        load_config(path, registry=REGISTRY, environ=ENVIRON)
    assert [problem.where.line for problem in caught.value.problems] == [n // 4 + 3 for n in range(800)]
