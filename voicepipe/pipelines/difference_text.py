"""Writes the difference between two configurations for people, as `voicepipe diff` prints it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import evolve

from voicepipe.config.describe.effective import comparable
from voicepipe.documents import shown
from voicepipe.pipelines.difference import Change, Difference, compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe.config.settings import SetConfig

_LONGEST = 60


def difference_between(old: SetConfig, new: SetConfig) -> Difference:
    """Returns the difference between two configurations that this process has read, secrets included."""
    difference = compare(comparable(old), comparable(new))
    return evolve(difference, hidden=not difference and old.digest != new.digest)


def describe_difference(old: SetConfig, new: SetConfig, *, names: tuple[str, str]) -> str:
    """Returns what would change if one configuration replaced another, as `voicepipe diff` prints it.

    Blocks: for hundreds of pipelines it takes some 10 ms. Secrets are shown as they are written.

    Args:
        old: the configuration that serves, for instance `snapshot.config`.
        new: the one that would take its place.
        names: what the text calls them.

    """
    return "\n".join(in_text(*names, difference_between(old, new))) + "\n"


def in_text(old: str, new: str, difference: Difference) -> Iterator[str]:
    """Yields the lines of a difference as `voicepipe diff` prints it; `old` and `new` name the two."""
    if not difference:
        yield f"{old} -> {new}: no difference"
        return
    yield f"{old} -> {new}, from the next call on:"
    if difference.hidden:
        yield "\nThe only difference is in a secret that is written into the file itself, which is not shown."
    yield from _section("components", _components(difference))
    yield from _section("pipelines", _pipelines(difference))
    at_once = [change for change in difference.settings if change.path.startswith("logging.")]
    yield from _section("settings", (_change(change) for change in difference.settings if change not in at_once))
    yield from _section("immediately, also for active calls", map(_change, at_once))
    yield "\nNo restart is needed."


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    if entries := list(lines):
        yield f"\n{title}:"
        yield from (f"  {line}" for line in entries)


def _components(difference: Difference) -> Iterator[str]:
    for component in difference.opens:
        yield f"opens   {component}, for {', '.join(component.pipelines)}"
    for component in difference.closes:
        yield f"closes  {component}, with the last call that uses it"
    for component in difference.keeps:
        yield f"keeps   {component}"


def _pipelines(difference: Difference) -> Iterator[str]:
    for name in difference.added:
        yield f"adds     {name}"
    for name in difference.removed:
        yield f"removes  {name}"
    for name, changes in difference.changed.items():
        yield f"changes  {name}"
        yield from (f"    {_change(change)}" for change in changes)
    for name in difference.unused:
        yield f"differs  {name}, which no call gets"


def _change(change: Change) -> str:
    old, new = _brief(change.old), _brief(change.new)
    if old != new:
        return f"{change.path}: {old} -> {new}"
    if isinstance(change.new, dict):
        return f"{change.path}: {new}, with different content"
    return f"{change.path}: {new}, with a different value that is not shown"


def _brief(value: Any) -> str:
    """Returns a value in a few words."""
    match value:
        case None:
            return "nothing"
        case {"file": str(path)} | {"directory": str(path)} | {"file": {"file": str(path)}}:
            return path
        case float():
            return f"{value:g}"
        case str():
            return shown(value, _LONGEST) if value != value.strip() or not value.isprintable() or not value else value
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
