"""Which directories are watched for a file, and what in them matters."""

from __future__ import annotations

import os

import pytest

from reference_engine.watchpoints import MAX_DIRECTORIES, WatchPoints, watchpoints_of


@pytest.fixture
def at(tmp_path):
    """A directory that no symlink leads to."""
    return tmp_path.resolve()


def texts(*paths):
    return frozenset(map(str, paths))


def test_a_file_and_its_directory(at):
    (at / "config").mkdir()
    (at / "config/a.yaml").touch()
    assert watchpoints_of([at / "config/a.yaml"]) == WatchPoints(
        directories=texts(at, at / "config"), entries=texts(at / "config", at / "config/a.yaml")
    )


def test_what_matters(at):
    (at / "a.yaml").touch()
    points = watchpoints_of([at / "a.yaml"])
    assert points.concern(str(at / "a.yaml"))
    assert not points.concern(str(at / "a.yaml.swp"))
    assert not points.concern(str(at / "engine.log"))


def test_a_config_map(at):
    (at / "etc/..2026_01").mkdir(parents=True)
    (at / "etc/..2026_01/a.yaml").touch()
    (at / "etc/..data").symlink_to("..2026_01")
    (at / "etc/a.yaml").symlink_to("..data/a.yaml")
    points = watchpoints_of([at / "etc/a.yaml"])
    assert points.directories == texts(at, at / "etc", at / "etc/..2026_01")
    assert points.entries == texts(
        at / "etc", at / "etc/a.yaml", at / "etc/..data", at / "etc/..2026_01", at / "etc/..2026_01/a.yaml"
    )


def test_a_symlink_far_up(at):
    """A deployment that swaps `current` for another release."""
    (at / "releases/42/config/prompts").mkdir(parents=True)
    (at / "releases/42/config/prompts/a.md").touch()
    (at / "current").symlink_to("releases/../releases/42")
    points = watchpoints_of([at / "current/config/prompts/a.md"])
    assert points.concern(str(at / "current"))
    assert points.directories == texts(at, at / "releases/42/config", at / "releases/42/config/prompts")


def test_an_absolute_symlink(at):
    (at / "a.yaml").symlink_to(at / "elsewhere/a.yaml")
    (at / "elsewhere").mkdir()
    points = watchpoints_of([at / "a.yaml"])
    assert points.entries >= texts(at / "a.yaml", at / "elsewhere/a.yaml")
    assert points.directories >= texts(at, at / "elsewhere")


def test_what_is_missing_is_awaited_where_the_way_ends(at):
    points = watchpoints_of([at / "one/two/three.md"])
    assert points == WatchPoints(directories=texts(at), entries=texts(at / "one"))
    (at / "one").mkdir()
    assert watchpoints_of([at / "one/two/three.md"]).entries == texts(at / "one/two")


def test_a_file_where_a_directory_should_be(at):
    (at / "one").touch()
    assert watchpoints_of([at / "one/two/three.md"]) == WatchPoints(directories=texts(at), entries=texts(at / "one"))


def test_symlinks_that_lead_nowhere(at):
    (at / "a").symlink_to("b")
    (at / "b").symlink_to("a")
    assert watchpoints_of([at / "a"]).entries == texts(at, at / "a", at / "b")


def test_a_model_s_directory(at):
    (at / "models/en/am").mkdir(parents=True)
    (at / "models/en/am/final.mdl").touch()
    points = watchpoints_of([at / "models/en"])
    assert points.directories == texts(at, at / "models", at / "models/en", at / "models/en/am")
    assert points.concern(str(at / "models/en/am/final.mdl"))
    assert points.concern(str(at / "models/en"))
    assert not points.concern(str(at / "models/en.zip"))
    assert not points.concern(str(at / "models/de/am/final.mdl"))


def test_a_directory_that_can_hardly_be_meant(at):
    for number in range(MAX_DIRECTORIES + 10):
        (at / "all" / str(number)).mkdir(parents=True)
    assert len(watchpoints_of([at / "all"]).directories) < MAX_DIRECTORIES + 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_may_not_be_read(at):
    (at / "closed").mkdir(0o300)
    assert watchpoints_of([at / "closed/a.yaml"]).directories == texts(at)
