"""Checks routes beyond their types, and makes `Route` objects of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from voicepipe.config.dates import dates_of
from voicepipe.config.hours import ALWAYS, TimeTextError, minutes_of
from voicepipe.config.patterns import plain_number, takes_all
from voicepipe.config.sections import RouteSection, WhenSection
from voicepipe.config.settings import Route, When
from voicepipe.config.timezones import UTC, TimeZone
from voicepipe.documents import Cursor, Refused, did_you_mean, entries_of, likely, shown
from voicepipe.documents.nodes import MappingNode, SequenceNode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

_ASTERISK = re.compile(r"_(?=.*[XZN.!\[])[0-9XZN.!+*#\[\]-]+")
_ASTERISK_PART = re.compile(r"[XZN]|\[[^\]]*\]|\.|!")


def check_routes(cursor: Cursor | None, pipelines: Collection[str], timezone: Cursor | None) -> None:
    """Reports problems of routes that their types don't show.

    Args:
        cursor: the value of `routes`, if there is one; its readers report wrong types.
        pipelines: the names of all pipelines; empty if they are not known.
        timezone: the value of `timezone`, if there is one.

    """
    if cursor is None or not isinstance(cursor.node, SequenceNode):
        return
    zone = UTC if timezone is None else _read(timezone, TimeZone)
    whens: list[tuple[Cursor, When]] = []
    for route in cursor.items():
        if isinstance(route.node, MappingNode):
            _check_targets(route, pipelines)
            when = _checked_when(route, zone or UTC)
            if when is not None and (zone or not when.tells_time):
                whens.append((route, when))
    _check_reached(whens)


def routes_of(sections: tuple[RouteSection, ...], cursor: Cursor | None, timezone: str) -> tuple[Route, ...]:
    """Returns the routes of a file without problems.

    Args:
        sections: the routes as they were read.
        cursor: the value of `routes`, if there is one.
        timezone: the time zone of routes that name none.

    """
    cursors = cursor.items() if cursor else []
    return tuple(
        Route(
            when=_when(section.when, timezone),
            weights={str(section.pipeline): 1.0} if section.pipeline else section.split,
            where=at.where,
            timezone=None if section.when.timezone is None else str(section.when.timezone),
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


def _checked_when(route: Cursor, timezone: str) -> When | None:
    """Returns the condition of a route; None if it was refused."""
    entries = route.entries()
    cursor = entries.get("when")
    if cursor is None:
        return When() if entries.keys() <= {"pipeline", "split"} else None
    section = _read(cursor, WhenSection)
    if section is None:
        for key, value in entries_of(cursor).items():
            if key in _TIMES:
                _check_times(value, _TIMES[key])
        return None
    entries = cursor.entries()
    valid = [
        _check_times(value, _TIMES[key]) if key in _TIMES else _check_patterns(at, number=key in {"called", "caller"})
        for key, value in entries.items()
        if key != "timezone"
        for at in (value.entries().values() if key == "variables" else (value,))
    ]
    if not all(valid):
        return None
    when = _when(section, timezone)
    if not when.minutes:
        at = entries["outside_hours"]
        at.report("leaves no minute of the week", "make `hours` longer, or remove the route", where=at.key_where)
        return None
    return when


_TIMES: Mapping[str, Callable[[str], object]] = {
    "hours": minutes_of,
    "outside_hours": minutes_of,
    "dates": dates_of,
    "except_dates": dates_of,
}
"""The keys of `when` that tell times, each with what reads them."""


def _check_times(cursor: Cursor, read: Callable[[str], object]) -> bool:
    """Returns True if all hours or dates can be read; reports those that can't."""
    if isinstance(cursor.node, SequenceNode) and not cursor.node.items:
        cursor.report("is empty", "add a time, or remove the line to match at every time")
        return False
    valid = True
    for at in cursor.items() if isinstance(cursor.node, SequenceNode) else [cursor]:
        text = _read(at, str)
        if text is None or at.unknown:
            valid = False
            continue
        try:
            read(str(text))
        except TimeTextError as error:
            message = str(error) if at.showable else f"{at.given} can't be read"
            at.report(message, error.hint)
            valid = False
    return valid


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
    earlier: list[tuple[Cursor, When]] = []
    by_identity: dict[Any, Cursor] = {}
    everything: Cursor | None = None
    for route, when in whens:
        if everything:
            hint = f"move routes[{everything.key}] to the end, or restrict it with `when`"
            route.report(f"unreachable: {_named(everything)} takes every call", hint)
            return
        if before := by_identity.get(when.identity):
            route.report(f"unreachable: {_named(before)} takes the same calls", "remove one of the two")
        elif _takes_all(when):
            everything = route
        elif when.tells_time and (takers := _takers(when, earlier)):
            who = " and ".join(map(_named, takers))
            hint = "move it before them, or remove it" if takers[1:] else "move it before that one, or remove it"
            route.report(f"unreachable: {who} {'take' if takers[1:] else 'takes'} its calls at all of its times", hint)
        by_identity.setdefault(when.identity, route)
        earlier.append((route, when))


def _named(route: Cursor) -> str:
    return f"routes[{route.key}] on line {route.where.line}"


def _takes_all(when: When) -> bool:
    keys = (when.called, when.caller, when.listener, *when.variables.values())
    every_time = when.minutes == ALWAYS and not when.dates and not when.except_dates
    return every_time and all(any(map(takes_all, patterns)) for patterns in keys if patterns)


def _takers(when: When, earlier: list[tuple[Cursor, When]]) -> list[Cursor]:
    """Returns the earlier routes that together take all calls of a route, apart from their times; empty if none do."""
    left, takers = when.minutes, []
    for route, other in earlier:
        if not (_takes_these(other, when) and _has_these_dates(other, when)):
            continue
        same_zone = other.timezone == when.timezone
        if other.minutes == ALWAYS or (same_zone and left & other.minutes):
            takers.append(route)
            left &= ~other.minutes
        if not left:
            return takers
    return []


def _takes_these(other: When, when: When) -> bool:
    """Returns True if a condition's patterns match all calls that another's match."""
    keys = [(other.called, when.called), (other.caller, when.caller), (other.listener, when.listener)]
    keys += [(patterns, when.variables.get(name, ())) for name, patterns in other.variables.items()]
    return all(
        not patterns or any(map(takes_all, patterns)) or (of_when and {*map(str, of_when)} <= {*map(str, patterns)})
        for patterns, of_when in keys
    )


def _has_these_dates(other: When, when: When) -> bool:
    """Returns True if a condition's dates are all dates of another."""
    if not (other.dates or other.except_dates):
        return True
    dates, others = ({str(dates_of(str(text))) for text in one.dates} for one in (when, other))
    free, others_free = ({str(dates_of(str(text))) for text in one.except_dates} for one in (when, other))
    in_dates = not others or (bool(dates) and dates <= others)
    return other.timezone == when.timezone and in_dates and others_free <= free


def _when(section: WhenSection, timezone: str) -> When:
    return When(
        called=_listed(section.called),
        caller=_listed(section.caller),
        listener=_listed(section.listener),
        variables={name: _listed(patterns) for name, patterns in section.variables.items()},
        hours=_listed(section.hours),
        outside_hours=_listed(section.outside_hours),
        dates=_listed(section.dates),
        except_dates=_listed(section.except_dates),
        timezone=str(section.timezone or timezone),
    )


def _listed(patterns: str | tuple[str, ...]) -> tuple[str, ...]:
    return (patterns,) if isinstance(patterns, str) else patterns


def _read(cursor: Cursor, of: Any) -> Any:
    """Returns the value as a type; None if it is refused, since its own reader reports the problem."""
    try:
        return cursor.trial().read(of)
    except Refused:
        return None
