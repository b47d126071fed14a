"""A YAML file of somebody's own settings: `${...}`, paths, and checks across fields."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import frozen

from voicepipe import ConfigError, Directory, File, Secret, read_document


@frozen
class Door:
    name: str
    key: Secret | None = None
    width: int = 80


@frozen
class House:
    doors: tuple[Door, ...]
    plan: File | None = None
    garden: Directory | None = None
    sheds: Mapping[str, Path] = {}
    lamp: Path | None = None


@pytest.fixture
def read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/plan.txt").write_text("a plan")

    def read(text):
        path = Path("sub/house.yaml")
        path.write_text(text)
        return read_document(path, environ={"KEY": "opensesame", "WIDTH": "90"})

    return read


def test_every_kind_of_value(read, tmp_path):
    document = read(
        'doors: [{name: front, key: "${KEY}", width: "${WIDTH}"}]\n'
        "plan: plan.txt\ngarden: .\nsheds: {a: ../a, b: /b}\nlamp: no/such/lamp\n"
    )
    house = document.structure(House)
    assert house.doors == (Door("front", Secret("opensesame"), 90),)
    assert house.plan.content == b"a plan"
    assert house.garden.path == tmp_path / "sub"
    assert house.sheds == {"a": Path("sub/../a"), "b": Path("/b")}
    assert house.lamp == Path("sub/no/such/lamp")
    assert document.files == (tmp_path / "sub/house.yaml", tmp_path / "sub/plan.txt", tmp_path / "sub")


def test_what_can_be_taken_of_a_document_with_mistakes(read):
    document = read('doors:\n  - {name: front, width: wide, key: "${KEY}"}\n  - {nmae: back}\nsheds: {a: x, b: [y]}\n')
    with pytest.raises(ConfigError) as caught:
        document.structure(House)
    assert [problem.path for problem in caught.value.problems] == ["doors[0].width", "doors[1].nmae", "sheds.b"]
    assert document.keys_at() == ("doors", "sheds")
    assert document.keys_at("sheds") == ("a", "b")
    assert document.length_at("doors") == 2
    assert document.take(("doors", 0, "name"), str) == "front"
    assert document.take(("doors", 0, "key"), Secret) == "opensesame"
    assert document.take(("doors", 0, "width"), int) is None
    assert document.take(("doors", 1), Door) is None
    assert document.take(("sheds", "a"), Path) == Path("sub/x")


@pytest.mark.parametrize("at", [("no",), ("doors", 9), ("doors", "x"), ("doors", 0, "name", "x"), (0,)])
def test_what_is_not_there(read, at):
    document = read("doors: [{name: front}]\n")
    assert document.take(at, str) is None
    assert document.keys_at(*at) == ()
    assert document.length_at(*at) == 0


def test_a_problem_shows_its_line_without_its_secrets(read):
    document = read("doors:\n  - {name: front, key: plain-as-day}\n")
    document.structure(House)
    problem = document.problem(("doors", 0, "name"), "is blue", "paint it")
    assert str(problem) == "sub/house.yaml:2:12: doors[0].name: is blue (paint it)"
    assert problem.source == "  - {name: front, key: ************}"
    assert document.problem(("doors", 0, "key"), "", key=True).where.column == 19
    assert document.problem(("doors", 7), "").where.line == 2


def test_a_file_that_is_not_there_has_its_neighbours_in_the_hint(read):
    read("doors: []\n")
    with pytest.raises(ConfigError) as caught:
        read_document(Path("sub/hose.yaml"))
    (problem,) = caught.value.problems
    assert str(problem).startswith('sub/hose.yaml:1:1: the file does not exist (did you mean "house.yaml"?')
