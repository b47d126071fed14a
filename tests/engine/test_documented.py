"""The page on the engine names what the engine has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import reference_engine
from reference_engine.cli import main
from reference_engine.control.app import control_app
from reference_engine.sessions import SessionStore

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "engine.md").read_text()
SOURCES = "".join(path.read_text() for path in Path(reference_engine.__file__).parent.rglob("*.py"))


def test_every_record_has_an_example():
    examples = [json.loads(line) for line in PAGE.splitlines() if line.startswith('{"timestamp"')]
    assert all(list(example)[:3] == ["timestamp", "level", "event"] for example in examples)
    written = set(re.findall(r'(?:debug|info|warning|error|exception|write)\(\s*"([a-z]+\.[a-z]+)"', SOURCES))
    reloads = {"reload.applied", "reload.unchanged", "reload.rejected"}
    assert sorted(example["event"] for example in examples) == sorted(written | reloads)


def test_every_path_of_the_control_is_listed():
    routes = control_app({}, SessionStore(), default_set="main").routes
    listed = set(re.findall(r"^\| `(GET|POST) (\S+)`", PAGE, re.MULTILINE))
    assert {(method, route.path) for route in routes for method in route.methods - {"HEAD"}} == listed


def test_every_option_is_listed(capsys):
    options = set()
    for command in ("run", "reload", "status"):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([command, "--help"])
        options |= set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out.split("examples:")[0]))
    assert options - {"--help"} == set(re.findall(r"--[a-z][a-z-]+", PAGE)) - {"--unix-socket"}
