"""The page on the engine names what the engine has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import reference_engine
from reference_engine.cli import main
from reference_engine.control.operations import OPERATIONS
from reference_engine.fleet.fleet_metrics import FleetCollector
from reference_engine.reports.call_log import ROWS
from reference_engine.reports.metrics import Metrics
from reference_engine.supervisor.gateway.worker_states import worker_families
from reference_engine.telemetry.telemetry_metrics import TelemetryCollector

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "engine.md").read_text()
SOURCES = "".join(path.read_text() for path in Path(reference_engine.__file__).parent.rglob("*.py"))


def test_every_record_has_an_example():
    examples = [json.loads(line) for line in PAGE.splitlines() if line.startswith('{"timestamp"')]
    assert all(list(example)[:3] == ["timestamp", "level", "event"] for example in examples)
    written = set(re.findall(r'(?:debug|info|warning|error|exception|write)\(\s*"([a-z_]+\.[a-z_.]+)"', SOURCES))
    written |= {row.name for row in ROWS.values()}
    outcomes = ("applied", "unchanged", "rejected")
    reloads = {f"{whose}reload.{outcome}" for whose in ("", "engine.") for outcome in outcomes}
    assert {example["event"] for example in examples} == written | reloads


def test_every_path_of_the_control_is_listed():
    listed = set(re.findall(r"^\| `(DELETE|GET|POST|PUT) (\S+)`", PAGE, re.MULTILINE))
    listed = {(method, path) for method, path in listed if not path.endswith("...")}  # several of them
    assert {(operation.method, operation.path) for operation in OPERATIONS} == listed


STEERED = ("say", "play", "tell", "variables", "language", "recording", "transfer", "hang-up")


def test_every_option_is_listed(capsys):
    options = set()
    steering = (("steer", "CALL", action) for action in STEERED)
    changing = ("run", "check", "reload", "rollback", "drain", "pause", "resume")
    alone = (*changing, "status", "calls", "call", "versions", "steer", "dial")
    for command in (*((name,) for name in alone), *steering):
        with pytest.raises(SystemExit, match=r"^0$"):
            main([*command, "--help"])
        options |= set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out.split("examples:")[0]))
    assert options - {"--help"} == set(re.findall(r"--[a-z][a-z-]+", PAGE)) - {"--unix-socket", "--ulimit", "--yes"}


def test_every_metric_is_listed():
    text = Metrics({}, others=[TelemetryCollector(None), FleetCollector(None)]).exposition()[0].decode()
    made = {name.removesuffix("_total") for name in re.findall(r"^# TYPE (voicepipe_\w+)", text, re.MULTILINE)}
    made |= {family.name for family in worker_families([], {}, [])}
    listed = re.findall(r"^\| `(voicepipe_\w+)` \|", PAGE, re.MULTILINE)
    assert {name.removesuffix("_total") for name in listed} == made
