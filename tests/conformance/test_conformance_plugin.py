"""The pytest plugin: three lines are a set of named tests."""

from __future__ import annotations

from pathlib import Path

import pytest
from forked_pytest import forked_pytest

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


ENTRY_POINT = f"[pytest11]\n{PLUGIN} = {PLUGIN}\n"

RUNS = {
    **{
        how: (THREE_LINES, "-v", "-rs", "-k", "once or loses_nothing or other_faults", *options)
        for how, options in {"option": ("-p", PLUGIN), "entry point": (), "both": ("-p", PLUGIN)}.items()
    },
    "a check": (THREE_LINES, "-p", PLUGIN, "test_it.py::test_parrot::everything_is_answered"),
    "a mutant": (MUTANT, "-p", PLUGIN, "-k", "once or another_kind"),
    "without": (THREE_LINES, "-p", f"no:{PLUGIN}"),
}
"""A test file and pytest's options, by what is tried."""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What came of each run."""

    def prepared(how, test, *options):
        directory = tmp_path_factory.mktemp("run")
        (directory / "test_it.py").write_text(test, encoding="utf-8")
        (directory / "pytest.ini").touch()
        if how in {"entry point", "both"}:  # as pip would have installed it
            info = directory / "kit-1.dist-info"
            info.mkdir()
            (info / "METADATA").write_text("Name: kit\nVersion: 1\n", encoding="utf-8")
            (info / "entry_points.txt").write_text(ENTRY_POINT, encoding="utf-8")
        what = [] if any("test_it.py" in option for option in options) else ["test_it.py"]
        return directory, ["-p", "no:cacheprovider", *what, *options], [directory, Path(__file__).parent]

    runs = [prepared(how, *what) for how, what in RUNS.items()]
    return dict(zip(RUNS, forked_pytest(runs, tmp_path_factory.mktemp("output")), strict=True))


@pytest.mark.parametrize("how", ["option", "entry point", "both"])
def test_three_lines_are_a_test_for_each_check(ran, how):
    said = ran[how].stdout
    assert ran[how].returncode == 0, said + ran[how].stderr
    assert "test_it.py::test_parrot::a_reply_ends_once PASSED" in said
    assert "test_it.py::test_parrot::a_cancelled_receive_loses_nothing PASSED" in said
    assert "test_it.py::test_parrot::other_faults_are_noticed SKIPPED" in said
    assert "hand in faults={kind: options} for what can go wrong" in said


def test_one_check_can_be_chosen_by_its_name(ran):
    assert "1 passed" in ran["a check"].stdout
    assert ran["a check"].returncode == 0


def test_a_failure_says_what_it_means_and_how_to_mend_it(ran):
    said = ran["a mutant"].stdout
    assert ran["a mutant"].returncode == 1
    assert "llm adapter 'parrot': a_reply_ends_once: a reply has 2 ReplyDone" in said
    assert "a reply without\n    it counts as broken off" in said
    assert "Traceback" not in said
    assert "FAILED test_it.py::TestMutants::twice::a_reply_ends_once" in said
    assert "1 failed, 1 passed" in said


def test_without_the_plugin_pytest_says_that_something_was_not_collected(ran):
    assert "cannot collect 'test_parrot'" in ran["without"].stdout
