"""Writes the difference between two effective configurations for people who look back: a past version, and another."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from voicepipe.pipelines.difference import Change, compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from voicepipe.pipelines.difference import Difference

_LONGEST = 100


def describe_changes(
    old: Mapping[str, Any], new: Mapping[str, Any], *, names: tuple[str, str], same_digest: bool = True
) -> str:
    """Returns what is different in the newer of two configurations, as text: `-` is gone, `+` is new.

    Secrets are not in effective configurations, so their values are not compared.

    Args:
        old: an effective configuration, for instance from records.
        new: another one.
        names: what the text calls them.
        same_digest: whether their digests are equal; if not, and nothing else is different, the text says that.

    """
    difference = compare(old, new)
    before, after = names
    if not difference:
        hidden = "" if same_digest else " but in how it is written, or in a secret that stands in the file"
        return f"{before} -> {after}: no difference{hidden}\n"
    return "\n".join([f"{before} -> {after}:", *_sections(difference)]) + "\n"


def _sections(difference: Difference) -> Iterator[str]:
    yield from _section("components", _components(difference))
    yield from _section("pipelines", _pipelines(difference))
    yield from _section("settings", map(_change, difference.settings))


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    if entries := list(lines):
        yield f"\n{title}:"
        yield from (f"  {line}" for line in entries)


def _components(difference: Difference) -> Iterator[str]:
    yield from (f"- {component}, for {', '.join(component.pipelines)}" for component in difference.closes)
    yield from (f"+ {component}, for {', '.join(component.pipelines)}" for component in difference.opens)


def _pipelines(difference: Difference) -> Iterator[str]:
    yield from (f"- {name}" for name in difference.removed)
    yield from (f"+ {name}" for name in difference.added)
    for name, changes in difference.changed.items():
        yield f"{name}:"
        yield from (f"  {_change(change)}" for change in changes)
    yield from (f"{name} differs, which no call gets" for name in difference.unused)


def _change(change: Change) -> str:
    old, new = _brief(change.old), _brief(change.new)
    return f"{change.path}: {old} -> {new}" if old != new else f"{change.path}: {new}, with other content"


def _brief(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case {"file": str(path)} | {"directory": str(path)} | {"file": {"file": str(path)}}:
            return path
        case float():
            return f"{value:g}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
