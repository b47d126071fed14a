"""A transfer: the agent is silent while the other side rings, and speaks again if nobody takes the call.

What ends other calls does not end one that is being transferred, since it ends soon by itself: a drain and the greatest
length only decide what happens if the caller comes back. A transfer has a time limit of its own, which is not kept here
but by the task that carries it out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.rules.closing import close
from voicepipe.calls.turns.rules.ending import apologise
from voicepipe.calls.turns.rules.replying import go_on, reply
from voicepipe.calls.turns.rules.transcripts import keep_words
from voicepipe.calls.turns.table import rule
from voicepipe.components.requests import Dtmf

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState


@rule(events.TransferDone, "transferring")
def end_transferred_call(state: TurnState, event: events.TransferDone, _now: float) -> None:
    """The call ends."""
    state.enter("closing")
    state.timers.clear()
    state.actions.append(actions.End(event.ending))


@rule(events.TransferUnanswered, "transferring")
def take_caller_back(state: TurnState, event: events.TransferUnanswered, now: float) -> None:
    """The model is told, and replies to that and to what the caller said meanwhile; or the call ends, if it was to.

    If a tool that still runs has asked for the transfer, the model replies to all of that with the tool's result, once.
    """
    is_tools, state.tools_transfer = state.tools_transfer == event.fact.transfer != "", ""
    if state.if_back is not None:
        goodbye = "" if state.if_back.outcome == "failed" else state.limits.goodbye  # the apology was said
        close(state, goodbye, state.if_back, now)
    elif state.draining:
        close(state, state.limits.goodbye, events.Ending("drained"), now)
    elif state.role_lost is not None:
        apologise(state, state.role_lost, now)
    elif is_tools and state.running_tools:
        state.actions.append(actions.TellModel(event.fact))
        state.unanswered.set_aside()
        go_on(state, now)
    else:
        reply(state, event.fact, state.unanswered.take())


@rule(events.HangUpAsked, "transferring")
def give_transfer_up(state: TurnState, event: events.HangUpAsked, now: float) -> None:
    """The transfer is given up, the goodbye is said, and the call ends."""
    state.actions.append(actions.CancelTransfer())
    close(state, event.goodbye, events.Ending("agent_hung_up"), now)


@rule(events.DrainAsked, "transferring")
def drain_if_back(state: TurnState, _event: events.DrainAsked, _now: float) -> None:
    """The call ends if nobody takes the transfer."""
    state.draining = True


@rule(events.MaxLengthDue, "transferring")
def end_if_back(state: TurnState, _event: events.MaxLengthDue, _now: float) -> None:
    """The call ends if nobody takes the transfer."""
    state.if_back = state.if_back or events.Ending("max_length")


@rule(events.RoleFailed, "transferring")
def apologise_if_back(state: TurnState, event: events.RoleFailed, _now: float) -> None:
    """The apology is said if nobody takes the transfer: nobody would listen to the caller."""
    state.role_lost = event


@rule(events.WarningDue, "transferring")
def warn_if_back(state: TurnState, _event: events.WarningDue, _now: float) -> None:
    """`limits.warning` is said if nobody takes the transfer."""
    state.sayings.append(events.Saying(state.limits.warning))


@rule(events.SpeechEnded, "transferring")
def ask_for_words_if_back(state: TurnState, _event: events.SpeechEnded, _now: float) -> None:
    """The recogniser is asked for the words, which the model reads if nobody takes the transfer."""
    state.actions.append(actions.FinaliseTranscript())


@rule(events.Final, "transferring")
def keep_words_if_back(state: TurnState, event: events.Final, _now: float) -> None:
    """The words are kept for the reply that follows if nobody takes the transfer, and for the record."""
    keep_words(state, event)


@rule(events.KeyPressed, "transferring")
def keep_key_if_back(state: TurnState, event: events.KeyPressed, _now: float) -> None:
    """The key is kept for the model, if nobody takes the transfer, and for the record."""
    state.unanswered.set_aside()
    state.unanswered.note(Dtmf(event.digit))
