"""The table of rules: which function handles an event in a phase. The modules in `rules/` fill it as they are imported.

A rule is a function of the call's state, the event and the time. It returns nothing: it changes the state, and appends
to `state.actions` what is to be done.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from voicepipe.calls.turns.state import Phase, TurnState

if TYPE_CHECKING:
    from voicepipe.calls.turns.events import Event

Rule: TypeAlias = Callable[[TurnState, Any, float], None]
AnyRule = TypeVar("AnyRule", bound=Rule)

BY_PHASE: dict[tuple[Phase, type[Event]], Rule] = {}
"""Rules that hold in one phase; an event without a rule in the current phase does nothing more."""

IN_EVERY_PHASE: dict[type[Event], Rule] = {}
"""Rules that record what an event says in every phase, before the rule of the phase runs."""


def rule(event: type[Event], *phases: Phase) -> Callable[[AnyRule], AnyRule]:
    """Registers the decorated function as the rule for an event in these phases.

    Raises:
        AssertionError: another function is registered for the event in one of them.

    """

    def register(function: AnyRule) -> AnyRule:
        for phase in phases:
            if BY_PHASE.setdefault((phase, event), function) is not function:
                raise AssertionError(f"two rules for {event.__name__} in {phase}")
        return function

    return register


def rule_in_every_phase(event: type[Event]) -> Callable[[AnyRule], AnyRule]:
    """Registers the decorated function as what an event changes in every phase.

    Raises:
        AssertionError: another function is registered for the event.

    """

    def register(function: AnyRule) -> AnyRule:
        if IN_EVERY_PHASE.setdefault(event, function) is not function:
            raise AssertionError(f"two rules for {event.__name__} in every phase")
        return function

    return register
