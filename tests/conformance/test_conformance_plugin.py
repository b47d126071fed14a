"""The pytest plugin: three lines are a set of named tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

THREE_LINES = """
import parrot
from voicepipe.testing import conformance

test_parrot = conformance.language_model(parrot.adapter(), parrot.ParrotOptions())
"""

MUTANT = """
import parrot
from voicepipe.testing import conformance

class TestMutants:
    twice = conformance.language_model(parrot.adapter(parrot.with_reply(parrot.IsDoneTwice)), parrot.ParrotOptions())

def test_of_another_kind():
    pass
"""

PLUGIN = "voicepipe.testing.plugin"


def run(directory, test, *options, what="test_it.py"):
    (directory / "test_it.py").write_text(test, encoding="utf-8")
    (directory / "pytest.ini").touch()
    path = os.pathsep.join([str(directory), str(Path(__file__).parent)])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", what, *options],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def entry_point(directory):
    """As pip would have installed it."""
    info = directory / "kit-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: kit\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[pytest11]\n{PLUGIN} = {PLUGIN}\n", encoding="utf-8")


@pytest.mark.parametrize("how", ["option", "entry point", "both"])
def test_three_lines_are_a_test_for_each_check(tmp_path, how):
    if how != "option":
        entry_point(tmp_path)
    options = [] if how == "entry point" else ["-p", PLUGIN]
    ran = run(tmp_path, THREE_LINES, "-v", "-rs", "-k", "once or loses_nothing or other_faults", *options)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "test_it.py::test_parrot::a_reply_ends_once PASSED" in ran.stdout
    assert "test_it.py::test_parrot::a_cancelled_receive_loses_nothing PASSED" in ran.stdout
    assert "test_it.py::test_parrot::other_faults_are_noticed SKIPPED" in ran.stdout
    assert "hand in faults={kind: options} for what can go wrong" in ran.stdout


def test_one_check_can_be_chosen_by_its_name(tmp_path):
    ran = run(tmp_path, THREE_LINES, "-p", PLUGIN, what="test_it.py::test_parrot::everything_is_answered")
    assert "1 passed" in ran.stdout
    assert ran.returncode == 0


def test_a_failure_says_what_it_means_and_how_to_mend_it(tmp_path):
    ran = run(tmp_path, MUTANT, "-p", PLUGIN, "-k", "once or another_kind")
    assert ran.returncode == 1
    assert "llm adapter 'parrot': a_reply_ends_once: a reply has 2 ReplyDone" in ran.stdout
    assert "a reply without\n    it counts as broken off" in ran.stdout
    assert "Traceback" not in ran.stdout
    assert "FAILED test_it.py::TestMutants::twice::a_reply_ends_once" in ran.stdout
    assert "1 failed, 1 passed" in ran.stdout


def test_without_the_plugin_pytest_says_that_something_was_not_collected(tmp_path):
    ran = run(tmp_path, THREE_LINES, "-p", f"no:{PLUGIN}")
    assert "cannot collect 'test_parrot'" in ran.stdout
