"""The table of turn-taking: which function answers an event in a state. `rules` fills it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.calls.turns.events import Event
    from voicepipe.calls.turns.state import State

Rule = TypeVar("Rule", bound="Callable[[Any, Any, float], None]")

RULES: dict[tuple[State, type[Event]], Callable[[Any, Any, float], None]] = {}
"""What each event does in each state, called with the conversation, the event and the time; an event without a row does
nothing."""


def rule(event: type[Event], *states: State) -> Callable[[Rule], Rule]:
    """Enters the function that it decorates into the table: for this event in these states."""

    def register(function: Rule) -> Rule:
        for state in states:
            if RULES.setdefault((state, event), function) is not function:
                raise AssertionError(f"two rules for {event.__name__} while {state}")
        return function

    return register
