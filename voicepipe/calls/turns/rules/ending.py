"""Ends a call for causes other than the caller and the model: failures, the greatest length, a drain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import events
from voicepipe.calls.turns.rules.closing import close
from voicepipe.calls.turns.rules.replying import announce
from voicepipe.calls.turns.state import BEFORE_THE_END
from voicepipe.calls.turns.table import rule

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState


@rule(events.RoleFailed, *BEFORE_THE_END)
def apologise(state: TurnState, event: events.RoleFailed, now: float) -> None:
    """The apology of `on_failure.say` is said, then the call ends as `on_failure.then` says."""
    then = state.on_failure.then
    if isinstance(then, str):
        ending = events.Ending("failed" if then == "hang_up" else "returned_to_dialplan", event.detail)
    else:
        ending = events.Ending("transfer_requested", then.transfer)
        state.if_back = events.Ending("failed", event.detail)  # nothing is left to go on with
    if event.role != "stt":
        state.enter("listening")  # the reply is what failed: there is none to cancel
    close(state, state.on_failure.say, ending, now, apology=True)


@rule(events.WarningDue, "listening")
def warn(state: TurnState, _event: events.WarningDue, _now: float) -> None:
    """`limits.warning` is said."""
    announce(state, state.limits.warning)


@rule(events.WarningDue, *(phase for phase in BEFORE_THE_END if phase != "listening"))
def warn_later(state: TurnState, _event: events.WarningDue, _now: float) -> None:
    """`limits.warning` is said as soon as nobody speaks."""
    state.sayings.append(events.Saying(state.limits.warning))


@rule(events.MaxLengthDue, *BEFORE_THE_END)
def end_longest_call(state: TurnState, _event: events.MaxLengthDue, now: float) -> None:
    """`limits.goodbye` is said, then the call ends."""
    close(state, state.limits.goodbye, events.Ending("max_length"), now)


@rule(events.DrainAsked, "listening", "user_speaking", "endpointing")
def drain(state: TurnState, _event: events.DrainAsked, now: float) -> None:
    """`limits.goodbye` is said, then the call ends."""
    close(state, state.limits.goodbye, events.Ending("drained"), now)


@rule(events.DrainAsked, "thinking", "speaking", "interrupted")
def drain_later(state: TurnState, _event: events.DrainAsked, _now: float) -> None:
    """The call ends after the reply."""
    state.draining = True
