"""CFG6: every pipeline set in `config/` and `examples/`, and every good file of the corpus, is fit to be served."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from config_adapters import ENVIRON, REGISTRY

from voicepipe.config.load import load_config

ROOT = Path(__file__).parents[2]
SHOWN = [path for place in ("config", "examples") for path in sorted((ROOT / place).rglob("*.yaml"))]
SETS = [path for path in SHOWN if re.search(r"^pipelines:", path.read_text(encoding="utf-8"), re.MULTILINE)]
INTEGRATORS_TOOLS = ("support_hours",)
"""Those that the programs in `examples/` bring along."""
GOOD = sorted((ROOT / "tests/config/good").glob("*.yaml"))


@pytest.mark.parametrize("path", SETS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_we_show(path):
    """With whatever has no default set to anything."""
    variables = re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8"))
    config = load_config(path, environ=dict.fromkeys(variables, "a-value-for-tests"), tools=INTEGRATORS_TOOLS)
    assert config.active_pipeline in config.pipelines


def test_there_is_something_to_show():
    assert ROOT / "config/ai-agent.yaml" in SETS


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_the_good_half_of_the_corpus(path):
    config = load_config(path, registry=REGISTRY, environ=ENVIRON)
    assert config.active_pipeline in config.pipelines
