"""Chooses the pipeline of a call: pure, and with the same result in every process and after every restart."""

from __future__ import annotations

import json
from datetime import datetime
from hashlib import sha256
from math import log
from typing import TYPE_CHECKING

from attrs import frozen

from voicepipe.components.values import Secret
from voicepipe.config.dates import any_has
from voicepipe.config.hours import DAYS, is_within, minutes_of
from voicepipe.config.patterns import matches, plain_number
from voicepipe.config.timezones import zone_of
from voicepipe.documents import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.components.requests import CallInfo
    from voicepipe.config.settings import Route, SetConfig, When

WITHHELD = frozenset({"anonymous", "unknown", "unavailable", "restricted", "private"})
"""Texts in place of a withheld number: `anonymous` by RFC 3323, section 4.1, the others by custom."""


@frozen
class Choice:
    """The pipeline that a call gets, and the reason."""

    pipeline: str
    """The name of the pipeline."""
    route: int | None
    """The index of the route that decided; None: no route matched."""
    reason: str
    """The reason, in words: `called "+18005550100" matches "+1800*"`."""
    timezone: str | None = None
    """The time zone that the route itself names; None: it names none, or no route matched."""


@frozen
class Comparison:
    """The comparison of one key of a route's `when` with a call."""

    key: str
    """`called`, `caller`, `listener`, or `variable NAME`."""
    given: str
    """The value in the call; empty if it is unknown."""
    patterns: tuple[str, ...]
    """The patterns of the route, of which one must match."""
    matched: str | None
    """The first pattern that matches; None if none does."""

    def __str__(self) -> str:
        given = f"{self.key} {shown(self.given)}" if self.given else f"{self.key}, which is not known,"
        if self.matched is not None:
            return f"{given} matches {_shown(self.matched)}"
        if len(self.patterns) == 1:
            return f"{given} does not match {_shown(self.patterns[0])}"
        return f"{given} matches none of {', '.join(map(_shown, self.patterns))}"


@frozen
class TimeComparison:
    """The comparison of the hours or the dates of a route's `when` with the moment of a call."""

    key: str
    """`hours`, `outside_hours`, `dates` or `except_dates`."""
    local: datetime
    """The moment on the wall clock of the route's time zone."""
    timezone: str
    """The name of that zone."""
    patterns: tuple[str, ...]
    """The hours or dates of the route."""
    found: str | None
    """The first of them that has the moment; None if none has."""

    @property
    def matched(self) -> str | None:
        """The text that makes the call match; None if the call does not."""
        if self.key in {"hours", "dates"}:
            return self.found
        return "" if self.found is None else None

    def __str__(self) -> str:
        day = DAYS[self.local.weekday()].capitalize()
        when = f"{day} {self.local:%Y-%m-%d %H:%M} in {self.timezone}"
        if self.found is not None:
            return f"{when} is in {self.key} {_shown(self.found)}"
        return f"{when} is not in {self.key} {', '.join(map(_shown, self.patterns))}"


def choose(config: SetConfig, info: CallInfo, at: datetime) -> Choice:
    """Returns the pipeline for a call: that of the first route that matches, or else the active one.

    Args:
        config: the configuration.
        info: the call.
        at: the moment of the call, with a time zone.

    """
    for index, route in enumerate(config.routes):
        comparisons = list(compare(route.when, info, at))
        if all(comparison.matched is not None for comparison in comparisons):
            reason = "; ".join(map(str, comparisons)) or "takes every call"
            pipeline, *others = route.weights
            if not others:
                return Choice(pipeline, index, reason, route.timezone)
            who = _who(info)
            pipeline = _dealt(route, who)
            share = f"{route.weights[pipeline]:g} of {sum(route.weights.values()):g}"
            whose = "this caller" if who[0] == "caller" else "this call, whose caller is not known"
            return Choice(pipeline, index, f"{reason}; the split ({share}) has it for {whose}", route.timezone)
    return Choice(config.active_pipeline, None, "no route matches" if config.routes else "there are no routes")


def compare(when: When, info: CallInfo, at: datetime) -> Iterator[Comparison | TimeComparison]:
    """Yields the comparison of each key of a condition with a call at a moment."""
    for key, patterns, number in (("called", when.called, info.called), ("caller", when.caller, info.caller)):
        if patterns:
            plain = plain_number(number)
            matched = next((pattern for pattern in patterns if matches(plain_number(pattern), plain)), None)
            yield Comparison(key, number, patterns, matched)
    others = [("listener", when.listener, info.listener)]
    others += [(f"variable {name}", asked, info.variables.get(name, "")) for name, asked in when.variables.items()]
    for key, patterns, text in others:
        if patterns:
            matched = next((pattern for pattern in patterns if matches(pattern, text)), None)
            yield Comparison(key, text, patterns, matched)
    if when.tells_time:
        yield from _compare_times(when, at)


def _compare_times(when: When, at: datetime) -> Iterator[TimeComparison]:
    """Yields the comparison of each key that tells times with a moment.

    The moment has one time on every wall clock, also where that clock is put back and shows an hour twice, or is put
    forward and leaves one out: nothing is guessed.
    """
    local = at.astimezone(zone_of(when.timezone))
    for key, texts in (("hours", when.hours), ("outside_hours", when.outside_hours)):
        if texts:
            found = next((text for text in texts if is_within(local, minutes_of(str(text)))), None)
            yield TimeComparison(key, local, when.timezone, texts, found)
    for key, texts in (("dates", when.dates), ("except_dates", when.except_dates)):
        if texts:
            yield TimeComparison(key, local, when.timezone, texts, any_has(texts, local.date()))


def _who(info: CallInfo) -> tuple[str, str]:
    """Returns the key of a split's hash: the caller, or the call itself if the caller is unknown."""
    caller = plain_number(info.caller)
    return ("call", info.call_id) if not caller or caller.lower() in WITHHELD else ("caller", caller)


def _dealt(route: Route, who: tuple[str, str]) -> str:
    """Returns the pipeline that a split assigns to a caller; assignments are computed, none is stored.

    Weighted rendezvous hashing: each pipeline draws an exponentially distributed number for the caller, divided by
    its weight, and the lowest wins. So a weight that grows moves callers only to its pipeline, one that shrinks only
    away from it, and nobody else moves. What `when` asks is part of the hash: splits are independent of each other.
    """

    def drawn(pipeline: str) -> float:
        digest = sha256(json.dumps([route.when.identity, who, pipeline]).encode()).digest()
        chance = (int.from_bytes(digest[:8], "big") + 1) / 2**64
        return -log(chance) / route.weights[pipeline]

    return min(sorted(route.weights), key=drawn)


def _shown(pattern: str) -> str:
    return shown(pattern.source if isinstance(pattern, Secret) else pattern)
