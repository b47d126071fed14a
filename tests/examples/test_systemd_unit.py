"""The unit file in `examples/deploy/systemd` fits the engine."""

from __future__ import annotations

import shlex
import shutil
import signal
from configparser import RawConfigParser
from pathlib import Path
from subprocess import run

import pytest

from reference_engine import starting
from reference_engine.commands.parser import make_parser
from reference_engine.lifecycle import stopping

UNIT = Path(__file__).parents[2] / "examples/deploy/systemd/voicepipe.service"


@pytest.fixture
def service():
    parser = RawConfigParser(inline_comment_prefixes=None)
    parser.optionxform = str
    parser.read(UNIT)
    return parser["Service"]


@pytest.fixture
def arguments(service):
    """What the engine makes of the command line."""
    program, *words = shlex.split(service["ExecStart"])
    assert Path(program).name == "reference-engine"
    return make_parser().parse_args(words)


def test_the_drain_fits_into_the_time_that_systemd_gives(service, arguments):
    assert int(service["TimeoutStopSec"]) >= arguments.drain_seconds + stopping.CLOSE_S + 5
    assert service["KillSignal"] == signal.SIGTERM.name
    assert service["KillMode"] == "process"


def test_the_control_socket_is_where_systemd_makes_a_directory(service, arguments):
    assert arguments.control.parent == Path("/run") / service["RuntimeDirectory"]


def test_secrets_are_read_again_at_a_reload(service, arguments):
    assert arguments.env_file.parent == Path("/etc/voicepipe")
    assert "EnvironmentFile" not in service  # systemd would read that once


def test_there_is_a_private_place_to_write_to(service):
    assert service["StateDirectory"] == "voicepipe"
    assert service["StateDirectoryMode"] == "0700"
    guide = (UNIT.parents[3] / "docs/how-to/run-as-a-service.md").read_text(encoding="utf-8")
    assert "${STATE_DIRECTORY}/recordings" in guide
    assert "${STATE_DIRECTORY}/calls.db" in guide


def test_it_is_told_how_the_engine_is(service):
    assert service["Type"] == "notify-reload"
    assert service["NotifyAccess"] == "main"


def test_a_configuration_that_can_t_be_served_is_not_tried_again(service):
    assert str(starting.EX_CONFIG) in service["RestartPreventExitStatus"].split()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_knows_every_line(tmp_path):
    """With a program that is there, and a type that versions before 253 know."""
    unit = tmp_path / UNIT.name
    text = UNIT.read_text().replace("/opt/voicepipe/bin/reference-engine", "/bin/true")
    unit.write_text(text.replace("notify-reload", "notify"))
    verified = run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, check=False)
    assert UNIT.name not in verified.stderr
    assert "voicepipe" not in verified.stderr
