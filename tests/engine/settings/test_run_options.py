"""What is said on the command line goes before what is said in the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from reference_engine.settings.run_options import RunOptions
from voicepipe import ConfigError

GOOD = Path(__file__).parent / "good"


def test_nothing_said_is_the_file():
    settings, environ = RunOptions(GOOD / "smallest.yaml").load()
    assert (settings.listeners[0].options.host, settings.listeners[0].options.port, settings.drain_s) == (
        "127.0.0.1",
        9092,
        20,
    )
    assert "PATH" in environ


def test_all_said(tmp_path):
    (tmp_path / "env").write_text("SET=main\nPORT=9095\n")
    options = RunOptions(GOOD / "variables.yaml", tmp_path / "env", ("0.0.0.0", 9099), Path("c.sock"), 5.0)
    settings, environ = options.load()
    assert (settings.listeners[0].set, settings.listeners[0].options.host, settings.listeners[0].options.port) == (
        "main",
        "0.0.0.0",
        9099,
    )
    assert (settings.control, settings.drain_s) == (Path("c.sock"), 5.0)
    assert environ["PORT"] == "9095"


def test_each_load_reads_again(tmp_path):
    (tmp_path / "env").write_text("SET=main\nPORT=9095\n")
    options = RunOptions(GOOD / "variables.yaml", tmp_path / "env")
    assert options.load()[0].listeners[0].options.port == 9095
    (tmp_path / "env").write_text("SET=main\nPORT=9096\n")
    assert options.load()[0].listeners[0].options.port == 9096


def test_one_address_for_several_listeners():
    with pytest.raises(ConfigError) as caught:
        RunOptions(GOOD / "free-ports.yaml", audiosocket=("127.0.0.1", 0)).load()
    (problem,) = caught.value.problems
    assert (problem.where.line, problem.path) == (3, "listeners")
    assert "--audiosocket" in problem.message
