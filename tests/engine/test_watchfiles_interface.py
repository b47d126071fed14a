"""What the watcher takes of watchfiles beyond its public interface, held against the version that is pinned.

`watchfiles.watch` and `awatch` don't tell when they have begun to watch, and a file that changes between reading it and
that moment would go unnoticed. So the watcher uses the class that both are built on. It has a stub file, but a private
name: this test fails first when an upgrade changes it.
"""

from __future__ import annotations

import inspect
from importlib.metadata import version
from pathlib import Path
from threading import Event

import pytest
from watchfiles import Change
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from reference_engine.watch import watching

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"


def watch(directory):
    return RustNotify(
        [str(directory)],
        debug=False,
        force_polling=False,
        poll_delay_ms=300,
        recursive=False,
        ignore_permission_denied=False,
    )


def test_the_pinned_version_is_the_one_that_is_tested():
    assert f"watchfiles=={version('watchfiles')}" in CONSTRAINTS.read_text().splitlines()


def test_a_change_between_its_making_and_the_first_wait_is_told(tmp_path):
    with watch(tmp_path) as watching_it:
        (tmp_path / "a.yaml").write_text("a: 1")
        changes = watching_it.watch(2000, 50, 10_000, Event())
    assert {(kind, Path(path).name) for kind, path in changes} >= {(Change.added, "a.yaml")}


def test_the_kind_of_a_modification_is_the_one_that_the_watcher_compares_with():
    assert Change.modified == watching._MODIFIED


def test_a_wait_ends_when_its_event_is_set(tmp_path):
    stop = Event()
    stop.set()
    with watch(tmp_path) as watching_it:
        assert watching_it.watch(2000, 50, 0, stop) == "stop"


def test_a_directory_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        watch(tmp_path / "gone")


def test_its_own_failures_are_runtime_errors():
    assert issubclass(WatchfilesRustInternalError, RuntimeError)


def test_the_watcher_imports_nothing_else_of_it():
    source = inspect.getsource(watching)
    assert [line for line in source.splitlines() if "watchfiles" in line and "import" in line] == [
        "from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError"
    ]
