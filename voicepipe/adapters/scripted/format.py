"""The classes that a script's YAML is read into, and the templates in its texts.

Wherever text holds `{slot}`, a slot's value goes there; `{slot|words}` gives the words to use while it is
missing. In phrases that are heard (`phrases`, `expect`) `{slot}` stands for anything that the slot may hear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import product
from math import prod
from typing import Any, TypeAlias, TypeVar

from attrs import field, frozen

T = TypeVar("T")

Path: TypeAlias = tuple[str | int, ...]
"""A place in a script: keys and list indices from the top of the file."""

RESULT = "result"
"""The slot that holds what a tool returned, in responses to that."""

SLOT = re.compile(r"(?P<space>\s*)\{(?P<slot>\w+)(?:\|(?P<missing>[^{}]*))?\}")
"""`{slot}` or `{slot|words while it is missing}`, with the space before it."""


@frozen
class Intent:
    """Something that a caller may want, and how to hear it."""

    phrases: tuple[str, ...] = ()
    """Words to be found in what was said, in this order and next to each other; `{slot}` is any word of that slot."""
    patterns: tuple[str, ...] = ()
    """Regular expressions, searched in what was said as lower-case words; a named group fills the slot of its name."""
    slots: tuple[str, ...] = ()
    """Slots to fill besides, if any of their words is found anywhere in what was said."""


@frozen
class Response:
    """What to say and do about something."""

    say: str = ""
    """Said first."""
    go: str | None = None
    """The state to enter; what that state says follows."""
    again: bool = False
    """Enters the present state once more, which says its text again."""
    forget: tuple[str, ...] = ()
    """Slots to empty after `say`; only with `go` or `again`."""
    transfer: str | None = None
    """Hands the call to this number or extension."""
    hang_up: bool = False
    """Ends the call."""
    call: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    """Calls this tool with these arguments, in whose text slots may stand; `results` says what to do then."""

    @property
    def tool(self) -> str:
        """The tool that it calls; empty: none."""
        return next(iter(self.call), "")


@frozen
class State:
    """A place in the conversation: a question, and what to make of the answers."""

    say: str | tuple[str, ...]
    """Said on entering. A list: its first text the first time, and so on; the last one stays."""
    needs: Mapping[str, str] = field(factory=dict)
    """Slots that must be filled on entering, each with the state to go to instead while it is empty."""
    expect: tuple[str, ...] | None = None
    """Makes the recogniser listen for these phrases and those of all intents known here, and nothing else."""
    on: Mapping[str, Response] = field(factory=dict)
    """What to do by intent; these come before those of `anywhere`."""
    dtmf: Mapping[str, Response] = field(factory=dict)
    """What to do by keys pressed; likewise."""
    otherwise: Response | tuple[Response, ...] | None = None
    """What to do about anything else that is said or pressed. A list: the first, second, ... time in a row."""
    silence: Response | tuple[Response, ...] | None = None
    """What to do when the caller says nothing. A list: the first, second, ... time in a row."""
    no_transfer: Response | None = None
    """What to do in place of a transfer that this call can't have."""
    results: Mapping[str, Response] = field(factory=dict)
    """What to do with what a tool returned, by tool; `{result}` is that."""
    failed: Response | None = None
    """What to do about a tool that failed, or that this call can't have."""
    transfer: str | None = None
    """Hands the call to this number or extension once `say` is said."""
    hang_up: bool = False
    """Ends the call once `say` is said."""

    @property
    def ends(self) -> bool:
        """Whether the conversation ends here."""
        return self.hang_up or self.transfer is not None


@frozen
class Anywhere:
    """What holds in every state that doesn't say otherwise."""

    on: Mapping[str, Response] = field(factory=dict)
    """What to do by intent."""
    dtmf: Mapping[str, Response] = field(factory=dict)
    """What to do by keys pressed."""
    otherwise: Response | tuple[Response, ...] = Response(again=True)
    """What to do about anything else that is said or pressed."""
    silence: Response | tuple[Response, ...] = Response(again=True)
    """What to do when the caller says nothing."""
    no_transfer: Response = Response(again=True)
    """What to do in place of a transfer that this call can't have."""
    results: Mapping[str, Response] = field(factory=dict)
    """What to do with what a tool returned, by tool; where nothing is said of one, its result is said as it is."""
    failed: Response = Response(again=True)
    """What to do about a tool that failed, or that this call can't have."""


@frozen
class Script:
    """A whole script: the file's top level."""

    start: str
    """The state that a call begins in."""
    states: Mapping[str, State]
    """By name."""
    intents: Mapping[str, Intent] = field(factory=dict)
    """By name, for use in any state."""
    slots: Mapping[str, Mapping[str, str]] = field(factory=dict)
    """By name: what may be heard, and how to say it in a reply (`monday: on Monday`)."""
    anywhere: Anywhere = Anywhere()
    """What holds in every state that doesn't say otherwise."""


def in_turn(entries: T | tuple[T, ...], count: int) -> T:
    """The entry for the `count`-th time, from 1; the last one stays."""
    if not isinstance(entries, tuple):
        return entries
    return entries[min(max(count, 1), len(entries)) - 1]


def slots_in(template: str) -> Iterator[tuple[str, bool]]:
    """The slots that a template uses, each with whether it says what to do while the slot is missing."""
    return ((match["slot"], match["missing"] is not None) for match in SLOT.finditer(template))


def fill(template: str, slots: Mapping[str, str]) -> str:
    """The template as it is said; where a slot comes to nothing, the space before it goes too."""

    def value(match: re.Match[str]) -> str:
        text = slots.get(match["slot"], match["missing"] or "")
        return text and match["space"] + text

    return SLOT.sub(value, template).strip()


def count_expansions(template: str, slots: Mapping[str, Mapping[str, str]]) -> int:
    """The number of phrases that a template expands to."""
    return prod(len(slots[slot]) for slot in _used(template))


def expand(template: str, slots: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Every phrase that a template stands for."""
    used = _used(template)
    for heard in product(*(slots[slot] for slot in used)):
        yield fill(template, dict(zip(used, heard, strict=True)))


def _used(template: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(slot for slot, _ in slots_in(template)))
