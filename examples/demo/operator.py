"""The operator: edits the YAML as an editor would, and has the engine reload it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from examples.demo.failure import DemoFailed
from voicepipe import Location, Problem, format_problems

if TYPE_CHECKING:
    from examples.demo.engine import Engine, Record
    from examples.demo.screen import Screen


@frozen
class Change:
    """A text that is replaced by another, in one place."""

    old: str
    """What is there."""
    new: str
    """What comes in its place, on the same line."""


def edit(file: Path, changes: tuple[Change, ...]) -> list[str]:
    """Changes a file in one go, as editors do; gives the lines that differ, marked `-` and `+`.

    Raises:
        DemoFailed: what should be changed is not there, or is there more than once.

    """
    before = file.read_text(encoding="utf-8")
    after = before
    for change in changes:
        if after.count(change.old) != 1:
            raise DemoFailed(f"{file} should have {change.old!r} once, but has it {after.count(change.old)} times")
        after = after.replace(change.old, change.new)
    rewrite(file, after)
    shown = []
    for number, (old, new) in enumerate(zip(before.splitlines(), after.splitlines(), strict=True), 1):
        if old != new:
            shown += [f"{number:3} - {old}", f"{number:3} + {new}"]
    return shown


def place_of(word: str, text: str) -> tuple[int, int]:
    """The line and column, from 1, where a word first stands in a text."""
    before = text[: text.index(word)]
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def rewrite(file: Path, text: str) -> None:
    """Replaces a file's text in one step."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(file)


async def reload(engine: Engine, screen: Screen) -> Record:
    """Sends SIGHUP and shows what came of it, as the engine's log tells it."""
    screen.event("operator", "SIGHUP", f"kill -HUP {engine.process_id}")
    record = await engine.reload()
    outcome = record["event"].partition(".")[2]
    if outcome == "rejected":
        screen.event("engine", outcome, f"version {record['serving_version']} serves on, because:", "bad")
        for problem in record["problems"]:
            screen.block(_shown(problem), indent=2)
    else:
        what = record.get("summary", "the files say what is served already")
        taken = f"version {record['version']} serves, after {record['seconds'] * 1000:.0f} ms: {what}"
        screen.event("engine", outcome, taken, "good")
    return record


def _shown(problem: Record) -> list[str]:
    """A problem as `voicepipe check` shows it: the place, the line with a caret below, the hint."""
    where = Location(problem["file"], problem["line"], problem["column"])
    source = Path(problem["file"]).read_text(encoding="utf-8").splitlines()[where.line - 1]
    told = Problem(where, problem["path"], problem["message"], problem["hint"], source)
    return format_problems([told]).rstrip().splitlines()
