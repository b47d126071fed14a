"""The JSON Schema of an engine's file: it takes what the engine takes, and marks what it can of the mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from reference_engine import cli
from reference_engine.settings.loading import engine_schema
from voicepipe import installed_transports

ROOT = Path(__file__).parents[3]
HERE = Path(__file__).parent
UNSEEN = {
    "listener-of-an-unknown-set",
    "listener-of-a-set-in-another-case",
    "listener-name-with-space",
    "listener-host-with-port",
    "listener-host-empty",
}
"""Mistakes in listeners that only the engine's own check finds."""


@pytest.fixture(scope="module")
def validator():
    schema = engine_schema()
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


def read(path: Path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "path", [*sorted((HERE / "good").glob("*.yaml")), ROOT / "config/engine.yaml"], ids=lambda p: p.stem
)
def test_what_the_engine_takes_is_valid(path, validator):
    document = read(path)
    if "pipeline_sets" not in document:
        pytest.skip("a pipeline set's own file")
    assert [error.message for error in validator.iter_errors(document)] == []


@pytest.mark.parametrize("path", sorted((HERE / "bad").glob("listener-*.yaml")), ids=lambda p: p.stem)
def test_mistakes_in_listeners_are_marked(path, validator):
    assert validator.is_valid(read(path)) == (path.stem in UNSEEN)


@pytest.mark.parametrize("name", installed_transports().names())
def test_each_transport_has_its_own_options(name, validator):
    def errors(**listener):
        document = {"pipeline_sets": {"main": "x.yaml"}, "listeners": [{"set": "main", "type": name, **listener}]}
        return [error.message for error in validator.iter_errors(document)]

    required = {"asterisk_ari": {"url": "http://pbx:8088", "username": "x", "password": "y"}}.get(name, {})
    required |= {"media_stream": {"dialect": "twilio", "public_url": "https://x"}}.get(name, {})
    assert errors(**required) == []
    assert errors(**required, nonsense=1) != []
    if required:
        assert errors() != []


def test_the_default_type_needs_no_name(validator):
    sets = {"pipeline_sets": {"main": "x.yaml"}}
    assert validator.is_valid({**sets, "listeners": [{"set": "main", "port": 1, "rate": 16000}]})
    assert not validator.is_valid({**sets, "listeners": [{"set": "main", "dialect": "twilio"}]})
    assert not validator.is_valid({**sets, "listeners": [{"set": "main", "type": "browser", "rate": 16000}]})
    assert validator.is_valid({**sets, "listeners": [{"set": "main", "type": "${TYPE}", "rate": 16000}]})


def test_the_command_prints_it(capsys):
    assert cli.main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out)["title"] == "The file of a reference engine"
