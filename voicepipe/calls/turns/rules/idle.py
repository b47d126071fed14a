"""Idle callers: silence, and noise that passes for speech but brings no words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import events
from voicepipe.calls.turns.rules.end_of_turn import conclude_turn
from voicepipe.calls.turns.rules.replying import prompt_caller
from voicepipe.calls.turns.rules.transcripts import ask_for_final
from voicepipe.calls.turns.table import rule

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState


@rule(events.IdleDue, "listening")
def prompt_idle_caller(state: TurnState, _event: events.IdleDue, now: float) -> None:
    """The model is asked to break the silence; after `idle_prompts` of these in a row the call ends."""
    prompt_caller(state, now)


@rule(events.IdleDue, "user_speaking")
def stop_waiting_for_noise(state: TurnState, _event: events.IdleDue, now: float) -> None:
    """Speech without words is a noise: words before it get a reply; if there were none, the caller counts as idle."""
    state.silent_since = now
    state.enter("endpointing")
    if state.gives_partials and not state.partial:
        conclude_turn(state, now)
    else:
        ask_for_final(state, now)
