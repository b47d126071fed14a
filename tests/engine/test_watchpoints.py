"""Which directories are watched for a file, and what in them matters."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from reference_engine.watch.watchpoints import MAX_DIRECTORIES, states_of, watchpoints_of


@pytest.fixture
def at(tmp_path):
    """A directory that no symlink leads to."""
    return tmp_path.resolve()


def texts(*paths):
    return frozenset(map(str, paths))


def points_of(paths):
    """The points by their paths alone."""
    points = watchpoints_of(paths)
    for directory, (device, inode) in points.directories.items():
        status = Path(directory).stat()
        assert (device, inode) == (status.st_dev, status.st_ino)
    return SimpleNamespace(directories=frozenset(points.directories), entries=points.entries, concern=points.concern)


def test_a_file_and_its_directory(at):
    (at / "config").mkdir()
    (at / "config/a.yaml").touch()
    points = points_of([at / "config/a.yaml"])
    assert points.directories == texts(at, at / "config")
    assert points.entries == texts(at / "config", at / "config/a.yaml")


def test_what_matters(at):
    (at / "a.yaml").touch()
    points = points_of([at / "a.yaml"])
    assert points.concern(str(at / "a.yaml"))
    assert not points.concern(str(at / "a.yaml.swp"))
    assert not points.concern(str(at / "engine.log"))


def test_a_config_map(at):
    (at / "etc/..2026_01").mkdir(parents=True)
    (at / "etc/..2026_01/a.yaml").touch()
    (at / "etc/..data").symlink_to("..2026_01")
    (at / "etc/a.yaml").symlink_to("..data/a.yaml")
    points = points_of([at / "etc/a.yaml"])
    assert points.directories == texts(at, at / "etc", at / "etc/..2026_01")
    assert points.entries == texts(
        at / "etc", at / "etc/a.yaml", at / "etc/..data", at / "etc/..2026_01", at / "etc/..2026_01/a.yaml"
    )


def test_a_symlink_far_up(at):
    """A deployment that swaps `current` for another release."""
    (at / "releases/42/config/prompts").mkdir(parents=True)
    (at / "releases/42/config/prompts/a.md").touch()
    (at / "current").symlink_to("releases/../releases/42")
    points = points_of([at / "current/config/prompts/a.md"])
    assert points.concern(str(at / "current"))
    assert points.directories == texts(at, at / "releases/42/config", at / "releases/42/config/prompts")


def test_an_absolute_symlink(at):
    (at / "a.yaml").symlink_to(at / "elsewhere/a.yaml")
    (at / "elsewhere").mkdir()
    points = points_of([at / "a.yaml"])
    assert points.entries >= texts(at / "a.yaml", at / "elsewhere/a.yaml")
    assert points.directories >= texts(at, at / "elsewhere")


def test_what_is_missing_is_awaited_where_the_way_ends(at):
    points = points_of([at / "one/two/three.md"])
    assert (points.directories, points.entries) == (texts(at), texts(at / "one"))
    (at / "one").mkdir()
    assert points_of([at / "one/two/three.md"]).entries == texts(at / "one/two")


def test_a_file_where_a_directory_should_be(at):
    (at / "one").touch()
    points = points_of([at / "one/two/three.md"])
    assert (points.directories, points.entries) == (texts(at), texts(at / "one"))


def test_symlinks_that_lead_nowhere(at):
    (at / "a").symlink_to("b")
    (at / "b").symlink_to("a")
    assert points_of([at / "a"]).entries == texts(at, at / "a", at / "b")


def test_a_model_s_directory(at):
    (at / "models/en/am").mkdir(parents=True)
    (at / "models/en/am/final.mdl").touch()
    points = points_of([at / "models/en"])
    assert points.directories == texts(at, at / "models", at / "models/en", at / "models/en/am")
    assert points.concern(str(at / "models/en/am/final.mdl"))
    assert points.concern(str(at / "models/en"))
    assert not points.concern(str(at / "models/en.zip"))
    assert not points.concern(str(at / "models/de/am/final.mdl"))


def test_a_directory_that_can_hardly_be_meant(at):
    for number in range(MAX_DIRECTORIES + 10):
        (at / "all" / str(number)).mkdir(parents=True)
    assert len(points_of([at / "all"]).directories) < MAX_DIRECTORIES + 5


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_directory_that_may_not_be_read(at):
    (at / "closed").mkdir(0o300)
    assert points_of([at / "closed/a.yaml"]).directories == texts(at)


def test_a_directory_in_the_place_of_another_is_another_one(at):
    for name in ("app", "app.new"):
        (at / name / "config").mkdir(parents=True)
        (at / name / "config/a.yaml").touch()
    before = watchpoints_of([at / "app/config/a.yaml"])
    assert watchpoints_of([at / "app/config/a.yaml"]) == before
    (at / "app").rename(at / "app.old")
    (at / "app.new").rename(at / "app")
    after = watchpoints_of([at / "app/config/a.yaml"])
    assert after != before
    assert after.directories.keys() == before.directories.keys()


def test_what_is_no_path_is_passed_over(at):
    (at / "a.yaml").touch()
    no_paths = [Path("/a\0b"), at / "a\0b/c", at / "\ud800", at / ("m" * 300), at / ("m/" * 3000)]
    assert watchpoints_of([*no_paths, at / "a.yaml"]).entries >= texts(at, at / "a.yaml")
    assert set(states_of(no_paths).values()) == {None}


CHANGES = {
    "written": lambda file: file.write_text("other"),
    "as long as before": lambda file: file.write_text("two"),
    "replaced": lambda file: (file.with_name("new").write_text("one"), file.with_name("new").rename(file)),
    "removed": lambda file: file.unlink(),
    "a directory now": lambda file: (file.unlink(), file.mkdir()),
    "with the old times": lambda file: (
        file.write_text("two"),
        os.utime(file, ns=(1, 1)),
    ),
    "a directory further up replaced": lambda file: (
        shutil.copytree(file.parents[1], file.parents[2] / "new"),
        file.parents[1].rename(file.parents[2] / "old"),
        (file.parents[2] / "new").rename(file.parents[1]),
    ),
}


@pytest.mark.parametrize("named", ["one/two/a.yaml", "one/two", "link"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_look_sees(at, named, change):
    (at / "one/two").mkdir(parents=True)
    (at / "link").symlink_to("one/two/a.yaml")
    file = at / "one/two/a.yaml"
    file.write_text("one")
    os.utime(file, ns=(1, 1))
    before = states_of([at / named])
    assert states_of([at / named]) == before
    change(file)
    assert states_of([at / named]) != before


def test_what_a_look_does_not_mind(at):
    (at / "a.yaml").touch()
    before = states_of([at / "a.yaml", at / "missing"])
    (at / "beside").touch()
    (at / "a.yaml").read_bytes()
    assert states_of([at / "a.yaml", at / "missing"]) == before
