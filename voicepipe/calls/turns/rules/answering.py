"""The beginning of a call: what is said before anything else, and by whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import events
from voicepipe.calls.turns.rules.consent import ask, await_first_words
from voicepipe.calls.turns.rules.replying import listen, say_greeting
from voicepipe.calls.turns.table import rule

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState


@rule(events.Answered, "listening")
def greet(state: TurnState, event: events.Answered, now: float) -> None:
    """The caller is told of the recording, or asked; or greeted; or waited for, if they are to speak first."""
    limits = state.limits
    length_s = limits.max_call_minutes * 60
    state.timers[events.MaxLengthDue] = now + length_s
    if 0 < limits.warning_s < length_s:
        state.timers[events.WarningDue] = now + length_s - limits.warning_s
    state.greeting, state.greeting_is_due = event.greeting, True
    state.consent = event.consent
    if event.consent is not None and event.caller_first_s is not None:
        await_first_words(state, event.caller_first_s, now)
    elif event.consent is not None:
        ask(state, event.consent)
    elif event.caller_first_s is not None:
        state.timers[events.FirstWordsDue] = now + event.caller_first_s
    else:
        say_greeting(state)


@rule(events.FirstWordsDue, "listening")
def greet_silent_caller(state: TurnState, _event: events.FirstWordsDue, now: float) -> None:
    """The caller was to speak first, and has not: the greeting comes anyway."""
    listen(state, now)
