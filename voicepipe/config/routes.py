"""Checks routes beyond their types, and makes `Route` objects of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from voicepipe.config.patterns import plain_number, takes_all
from voicepipe.config.sections import RouteSection, WhenSection
from voicepipe.config.settings import Route, When
from voicepipe.documents import Cursor, Refused, did_you_mean, likely, shown
from voicepipe.documents.nodes import MappingNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_ASTERISK = re.compile(r"_(?=.*[XZN.!\[])[0-9XZN.!+*#\[\]-]+")
_ASTERISK_PART = re.compile(r"[XZN]|\[[^\]]*\]|\.|!")


def check_routes(cursor: Cursor | None, pipelines: Collection[str]) -> None:
    """Reports problems of routes that their types don't show.

    Args:
        cursor: the value of `routes`, if there is one; its readers report wrong types.
        pipelines: the names of all pipelines; empty if they are not known.

    """
    if cursor is None or not isinstance(cursor.node, SequenceNode):
        return
    whens: list[tuple[Cursor, When]] = []
    for route in cursor.items():
        if isinstance(route.node, MappingNode):
            _check_targets(route, pipelines)
            if (when := _checked_when(route)) is not None:
                whens.append((route, when))
    _check_reached(whens)


def routes_of(sections: tuple[RouteSection, ...], cursor: Cursor | None) -> tuple[Route, ...]:
    """Returns the routes of a file without problems."""
    cursors = cursor.items() if cursor else []
    return tuple(
        Route(
            when=_when(section.when),
            weights={str(section.pipeline): 1.0} if section.pipeline else section.split,
            where=at.where,
        )
        for section, at in zip(sections, cursors, strict=True)
    )


def _check_targets(route: Cursor, pipelines: Collection[str]) -> None:
    """Reports a route without a target, with two, or with pipelines that don't exist."""
    entries = route.entries()
    pipeline, split = entries.get("pipeline"), entries.get("split")
    if pipeline and split:
        hint = "keep one of the two: `pipeline` for all of these calls, `split` to share them out"
        split.report("can't be combined with `pipeline`", hint, where=split.key_where)
    elif not pipeline and not split and route.sound and not _misspelt(entries):
        hint = "add `pipeline:` with a pipeline's name, or `split:` with names and weights"
        route.report("is required, but missing", hint, where=route.head, key="pipeline")
    if pipeline and (name := _read(pipeline, str)) is not None and pipelines and name not in pipelines:
        pipeline.report(f"there is no pipeline {pipeline.given}", did_you_mean(name, pipelines, "pipelines"))
    if split and isinstance(split.node, MappingNode):
        _check_split(split, pipelines)


def _misspelt(entries: Mapping[str, Cursor]) -> bool:
    """Returns True if one of the keys was probably meant to be `pipeline` or `split`."""
    return any(likely(key, ("when", "pipeline", "split")) in {"pipeline", "split"} for key in entries)


def _check_split(split: Cursor, pipelines: Collection[str]) -> None:
    entries = split.entries()
    if not entries and split.sound:
        split.report("is empty", "write {NAME: WEIGHT, ...}, for example {default: 95, sales: 5}")
    for name, weight in entries.items():
        if pipelines and name not in pipelines:
            where, hint = weight.key_where, did_you_mean(name, pipelines, "pipelines")
            weight.report(f"there is no pipeline {shown(name)}", hint, where=where)
        value = _read(weight, float)
        if value is not None and value <= 0:
            weight.report(f"must be more than 0, got {weight.given}", "remove the line to send no calls there")


def _checked_when(route: Cursor) -> When | None:
    """Returns the condition of a route; None if it was refused."""
    entries = route.entries()
    cursor = entries.get("when")
    if cursor is None:
        return When() if entries.keys() <= {"pipeline", "split"} else None
    section = _read(cursor, WhenSection)
    if section is None:
        return None
    valid = [
        _check_patterns(at, number=key in {"called", "caller"})
        for key, value in cursor.entries().items()
        for at in (value.entries().values() if key == "variables" else (value,))
    ]
    return _when(section) if all(valid) else None


def _check_patterns(cursor: Cursor, *, number: bool) -> bool:
    """Returns True if all patterns can match some call; reports those that can't."""
    if isinstance(cursor.node, SequenceNode) and not cursor.node.items:
        cursor.report("is empty", "add a pattern, or remove the line to match every call")
        return False
    valid = True
    for at in cursor.items() if isinstance(cursor.node, SequenceNode) else [cursor]:
        pattern = _read(at, str)
        if not number or not pattern:
            continue
        if not plain_number(pattern):
            at.report(f"{at.given} contains only separators", 'write "" for an unknown number')
            valid = False
        elif _ASTERISK.fullmatch(pattern):
            at.report(f"{at.given} uses the syntax of Asterisk's dialplan", f"{_translated(at, pattern)}, {_SIGNS}")
            valid = False
    return valid


_SIGNS = "where * matches any characters and ? exactly one"


def _translated(cursor: Cursor, pattern: str) -> str:
    """Returns a hint with an Asterisk pattern as it is written here; classes of digits become `?`."""
    signs = {".": "?*", "!": "*"}
    ours = _ASTERISK_PART.sub(lambda match: signs.get(match[0], "?"), pattern[1:].replace("-", ""))
    return f"write {shown(ours)}" if cursor.showable else "write it without the _"


def _check_reached(whens: list[tuple[Cursor, When]]) -> None:
    """Reports routes that no call reaches; after one that takes every call, only the first."""
    earlier: dict[Any, Cursor] = {}
    everything: Cursor | None = None
    for route, when in whens:
        if everything:
            hint = f"move routes[{everything.key}] to the end, or restrict it with `when`"
            route.report(f"unreachable: {_named(everything)} takes every call", hint)
            return
        if before := earlier.get(when.identity):
            route.report(f"unreachable: {_named(before)} takes the same calls", "remove one of the two")
        elif _takes_all(when):
            everything = route
        earlier.setdefault(when.identity, route)


def _named(route: Cursor) -> str:
    return f"routes[{route.key}] on line {route.where.line}"


def _takes_all(when: When) -> bool:
    keys = (when.called, when.caller, when.listener, *when.variables.values())
    return all(any(map(takes_all, patterns)) for patterns in keys if patterns)


def _when(section: WhenSection) -> When:
    return When(
        called=_listed(section.called),
        caller=_listed(section.caller),
        listener=_listed(section.listener),
        variables={name: _listed(patterns) for name, patterns in section.variables.items()},
    )


def _listed(patterns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else patterns


def _read(cursor: Cursor, of: Any) -> Any:
    """Returns the value as a type; None if it is refused, since its own reader reports the problem."""
    try:
        return cursor.trial().read(of)
    except Refused:
        return None
