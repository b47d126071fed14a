"""The classes into which a script's YAML is parsed, and the templates in its texts. No I/O.

In a text to speak, `{slot}` is replaced by the slot's value, and `{slot|words}` by these words while the slot is empty.
`{caller}`, `{variables.customer}` and the other values of a call are replaced too; a slot of such a name comes first.
In a phrase to recognise (`phrases`, `expect`), `{slot}` stands for each of the slot's words.
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
"""The place of a value in a script: keys and list indices from the top of the file."""

RESULT = "result"
"""The slot that holds a tool's result, in responses to it."""

SLOT = re.compile(r"(?P<space>\s*)\{(?P<slot>\w+|variables\.[^\s{}|]+)(?:\|(?P<missing>[^{}]*))?\}")
"""`{slot}` or `{slot|words while it is missing}`, with the space before it."""


@frozen
class Intent:
    """An intent of the caller, and the words by which it is recognised."""

    phrases: tuple[str, ...] = ()
    """Phrases, any of which must be part of the caller's words; `{slot}` is any word of that slot."""
    patterns: tuple[str, ...] = ()
    """Regular expressions that are searched in the lower-case words; a named group fills the slot of its name."""
    slots: tuple[str, ...] = ()
    """Further slots, which are filled if any of their words occurs among the caller's."""


@frozen
class Response:
    """A response: a text and an action."""

    say: str = ""
    """The text, spoken before the action."""
    go: str | None = None
    """The state to enter, whose text follows."""
    again: bool = False
    """Enters the present state once more, which speaks its text again."""
    forget: tuple[str, ...] = ()
    """Slots to empty after `say`; only with `go` or `again`."""
    transfer: str | None = None
    """Transfers the call to this number or extension."""
    hang_up: bool = False
    """Ends the call."""
    call: Mapping[str, Mapping[str, Any]] = field(factory=dict)
    """Calls this tool with these arguments, whose texts may have slots; `results` has the response to its result."""

    @property
    def tool(self) -> str:
        """The name of the tool to call; empty: none."""
        return next(iter(self.call), "")


@frozen
class State:
    """A state of the conversation: a question, and the responses to its answers."""

    say: str | tuple[str, ...]
    """The text, spoken on entering. A list has the texts for the first time, the second, ...; the last one stays."""
    needs: Mapping[str, str] = field(factory=dict)
    """Slots that must be filled on entering, each with the state to enter instead while it is empty."""
    expect: tuple[str, ...] | None = None
    """Restricts the recogniser to these phrases and those of all intents that have a response here."""
    on: Mapping[str, Response] = field(factory=dict)
    """Responses by intent; they precede those of `anywhere`."""
    dtmf: Mapping[str, Response] = field(factory=dict)
    """Responses by the keys that are pressed; they precede those of `anywhere`."""
    otherwise: Response | tuple[Response, ...] | None = None
    """The response to any other words or keys. A list has those for the first, second, ... time in a row."""
    silence: Response | tuple[Response, ...] | None = None
    """The response when the caller says nothing. A list has those for the first, second, ... time in a row."""
    no_transfer: Response | None = None
    """The response in place of a transfer that this call does not offer, or after one that nobody took."""
    results: Mapping[str, Response] = field(factory=dict)
    """Responses to tools' results, by the tool's name; `{result}` is the result."""
    failed: Response | None = None
    """The response to a tool that failed, or that this call does not offer."""
    transfer: str | None = None
    """Transfers the call to this number or extension after `say`."""
    hang_up: bool = False
    """Ends the call after `say`."""

    @property
    def ends(self) -> bool:
        """Whether the conversation ends in this state."""
        return self.hang_up or self.transfer is not None


@frozen
class Anywhere:
    """The responses in every state that has none of its own."""

    on: Mapping[str, Response] = field(factory=dict)
    """Responses by intent."""
    dtmf: Mapping[str, Response] = field(factory=dict)
    """Responses by the keys that are pressed."""
    otherwise: Response | tuple[Response, ...] = Response(again=True)
    """The response to any other words or keys."""
    silence: Response | tuple[Response, ...] = Response(again=True)
    """The response when the caller says nothing."""
    no_transfer: Response = Response(again=True)
    """The response in place of a transfer that this call does not offer, or after one that nobody took."""
    results: Mapping[str, Response] = field(factory=dict)
    """Responses to tools' results, by the tool's name; the result of a tool without one is spoken as it is."""
    failed: Response = Response(again=True)
    """The response to a tool that failed, or that this call does not offer."""


@frozen
class Script:
    """A script: the top level of the file."""

    start: str
    """The state in which a call begins."""
    states: Mapping[str, State]
    """The states by name."""
    intents: Mapping[str, Intent] = field(factory=dict)
    """The intents by name, for all states."""
    slots: Mapping[str, Mapping[str, str]] = field(factory=dict)
    """The slots by name, each with the words to recognise and their form in replies (`monday: on Monday`)."""
    anywhere: Anywhere = Anywhere()
    """The responses in every state that has none of its own."""


def in_turn(entries: T | tuple[T, ...], count: int) -> T:
    """Returns the entry for the `count`-th time, from 1; the last entry for all further times."""
    if not isinstance(entries, tuple):
        return entries
    return entries[min(max(count, 1), len(entries)) - 1]


def slots_in(template: str) -> Iterator[tuple[str, bool]]:
    """Yields the slots of a template, each with whether it has words for an empty slot."""
    return ((match["slot"], match["missing"] is not None) for match in SLOT.finditer(template))


def fill(template: str, slots: Mapping[str, str]) -> str:
    """Replaces the slots of a template; where a slot is empty, the space before it is removed too."""

    def value(match: re.Match[str]) -> str:
        text = slots.get(match["slot"], match["missing"] or "")
        return text and match["space"] + text

    return SLOT.sub(value, template).strip()


def count_expansions(template: str, slots: Mapping[str, Mapping[str, str]]) -> int:
    """Returns the number of phrases that `expand` yields."""
    return prod(len(slots[slot]) for slot in _used(template))


def expand(template: str, slots: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """Yields every phrase that a template stands for."""
    used = _used(template)
    for words in product(*(slots[slot] for slot in used)):
        yield fill(template, dict(zip(used, words, strict=True)))


def _used(template: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(slot for slot, _ in slots_in(template)))
