"""Computes the slots that are certainly filled in each state, so that no caller hears a gap in a sentence. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voicepipe.adapters.scripted.format import RESULT, slots_in
from voicepipe.adapters.scripted.intent_matching import slots_of
from voicepipe.adapters.scripted.reactions import reactions_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.adapters.scripted.format import Intent, Path, Script
    from voicepipe.adapters.scripted.reactions import Reaction

GROUP = re.compile(r"\(\?P<(\w+)>")
"""A named group of a regular expression, also of one that does not compile."""


def may_fill(intent: Intent) -> frozenset[str]:
    """Returns the slots that an intent can fill."""
    return frozenset((*slots_of(intent), *(group for pattern in intent.patterns for group in GROUP.findall(pattern))))


def surely_fills(intent: Intent) -> frozenset[str]:
    """Returns the slots that are filled whenever an intent is recognised: those that all of its phrases have.

    Groups of patterns are not among them, since a group may be optional.
    """
    if intent.patterns or not intent.phrases:
        return frozenset()
    return frozenset.intersection(*(frozenset(slot for slot, _ in slots_in(phrase)) for phrase in intent.phrases))


class Filling:
    """The slots that are certainly filled, by state and by response.

    It follows all ways that a call may take through the script, until no state is reached with fewer filled slots than
    before.

    Args:
        script: a script whose `needs` have no circles; unknown names in it are ignored.

    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self.states: dict[str, frozenset[str]] = {}
        """The slots that are filled in each state that a call can reach."""
        self.responses: dict[Path, frozenset[str]] = {}
        """The slots that are filled when a response begins to speak, by its place; without unreachable responses."""
        self._changed: list[str] = []
        self._arrive(script.start, frozenset())
        while self._changed:
            self._follow(self._changed.pop())

    def _arrive(self, name: str, filled: frozenset[str]) -> None:
        """Notes that a call can enter a state with these slots filled, and the states that `needs` lead to instead."""
        if (state := self._script.states.get(name)) is None:
            return
        for slot, instead in state.needs.items():
            if slot not in filled:
                self._arrive(instead, filled)
                filled |= {slot}
        before = self.states.get(name)
        if before is None or not before <= filled:
            self.states[name] = filled if before is None else before & filled
            self._changed.append(name)

    def _follow(self, name: str) -> None:
        """Enters the states that a call can go to from a state."""
        state = self._script.states[name]
        if state.ends and name != self._script.start:
            return
        for reaction, filled in self._reactions(name):
            self.responses[reaction.path] = self.responses.get(reaction.path, filled) & filled
            response = reaction.response
            target = name if response.again else response.go
            if target is not None:
                self._arrive(target, filled - {RESULT, *response.forget})

    def _reactions(self, name: str) -> Iterator[tuple[Reaction, frozenset[str]]]:
        for reaction in reactions_in(self._script, name):
            intent = self._script.intents.get(reaction.name) if reaction.kind == "on" else None
            own = surely_fills(intent) if intent else frozenset[str]()
            yield reaction, self.states[name] | own | ({RESULT} if reaction.kind == "results" else set())
