"""Tools that a reply has called, and that run while the conversation goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import events
from voicepipe.calls.turns.rules.replying import announce, listen
from voicepipe.calls.turns.table import rule

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState


@rule(events.ToolsBegan, "listening")
def stop_idle_timer(state: TurnState, _event: events.ToolsBegan, _now: float) -> None:
    """A caller who waits for tools is not idle."""
    state.timers.pop(events.IdleDue, None)


@rule(events.ToolsEnded, "listening")
def reply_to_results(state: TurnState, _event: events.ToolsEnded, now: float) -> None:
    """A reply to the results is requested; in other phases they wait for the next reply."""
    listen(state, now)


@rule(events.ToolSlow, "listening")
def say_filler(state: TurnState, event: events.ToolSlow, _now: float) -> None:
    """The tool's `filler` is said."""
    announce(state, event.filler)
