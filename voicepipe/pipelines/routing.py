"""Which pipeline a call gets: pure, and the same on every worker and after every restart."""

from __future__ import annotations

import json
from hashlib import sha256
from math import log
from typing import TYPE_CHECKING

from attrs import frozen

from voicepipe.components.values import Secret
from voicepipe.config.patterns import matches, plain_number
from voicepipe.documents import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.components.requests import CallInfo
    from voicepipe.config.settings import Route, SetConfig, When

WITHHELD = frozenset({"anonymous", "unknown", "unavailable", "restricted", "private"})
"""What stands for a number that is not shown: `anonymous` by RFC 3323, section 4.1, the others by custom."""


@frozen
class Choice:
    """The pipeline that a call gets, and why."""

    pipeline: str
    """Its name."""
    route: int | None
    """Which of the routes decided, from 0; None: none matched."""
    reason: str
    """For people: `called "+18005550100" matches "+1800*"`."""


@frozen
class Comparison:
    """One key of a route's `when`, held against a call."""

    key: str
    """`called`, `caller`, `listener`, or `variable NAME`."""
    given: str
    """What the call says; empty if unknown."""
    patterns: tuple[str, ...]
    """What the route asks: any of them."""
    matched: str | None
    """The first of them that matches; None if none does."""

    def __str__(self) -> str:
        given = f"{self.key} {shown(self.given)}" if self.given else f"{self.key}, which is not known,"
        if self.matched is not None:
            return f"{given} matches {_shown(self.matched)}"
        if len(self.patterns) == 1:
            return f"{given} does not match {_shown(self.patterns[0])}"
        return f"{given} matches none of {', '.join(map(_shown, self.patterns))}"


def choose(config: SetConfig, info: CallInfo) -> Choice:
    """The pipeline for a call: by the first route that matches, else the active one."""
    for index, route in enumerate(config.routes):
        if all(one.matched is not None for one in compare(route.when, info)):
            reason = "; ".join(map(str, compare(route.when, info))) or "takes every call"
            pipeline, *others = route.weights
            if not others:
                return Choice(pipeline, index, reason)
            who = _who(info)
            pipeline = _dealt(route, who)
            share = f"{route.weights[pipeline]:g} of {sum(route.weights.values()):g}"
            whose = "this caller" if who[0] == "caller" else "this call, whose caller is not known"
            return Choice(pipeline, index, f"{reason}; the split ({share}) has it for {whose}")
    return Choice(config.active_pipeline, None, "no route matches" if config.routes else "there are no routes")


def compare(when: When, info: CallInfo) -> Iterator[Comparison]:
    """What a route asks, held against a call, key by key."""
    for key, patterns, number in (("called", when.called, info.called), ("caller", when.caller, info.caller)):
        if patterns:
            plain = plain_number(number)
            matched = next((one for one in patterns if matches(plain_number(one), plain)), None)
            yield Comparison(key, number, patterns, matched)
    others = [("listener", when.listener, info.listener)]
    others += [(f"variable {name}", of, info.variables.get(name, "")) for name, of in when.variables.items()]
    for key, patterns, text in others:
        if patterns:
            yield Comparison(key, text, patterns, next((one for one in patterns if matches(one, text)), None))


def _who(info: CallInfo) -> tuple[str, str]:
    """For whom a split decides: the caller, or if that is not known, only this call."""
    caller = plain_number(info.caller)
    return ("call", info.call_id) if not caller or caller.lower() in WITHHELD else ("caller", caller)


def _dealt(route: Route, who: tuple[str, str]) -> str:
    """The pipeline that a split has for somebody.

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
