"""What the program asks of a call: texts to say, facts for the model, a transfer, the end.

The program takes part in the conversation by the same rules as everybody: what it has said waits until nobody speaks,
unless it interrupts. A reply that is interrupted before anybody has heard it is requested again afterwards, so that
nothing that the caller said stays without an answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.rules.closing import begin_transfer, close
from voicepipe.calls.turns.rules.preemptive import discard
from voicepipe.calls.turns.rules.replying import announce, listen, retract
from voicepipe.calls.turns.state import BEFORE_THE_END
from voicepipe.calls.turns.table import rule
from voicepipe.components.requests import ToolResults

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState


@rule(events.SayAsked, "listening")
def say(state: TurnState, event: events.SayAsked, _now: float) -> None:
    """The text is said; while a number is being dialled, after the reply to that."""
    if state.unanswered.digits and not event.interrupt:
        state.sayings.append(event.saying)
    else:
        announce(state, event.saying.text, saying=event.saying.number)


@rule(events.SayAsked, "user_speaking", "endpointing")
def say_over_caller(state: TurnState, event: events.SayAsked, _now: float) -> None:
    """The text is said as soon as nobody speaks; one that interrupts, at once."""
    if not event.interrupt:
        state.sayings.append(event.saying)
    elif state.digits_awaiting_final is not None:  # the reply to keys is a moment away, and nothing else asks for it
        state.sayings.insert(0, event.saying)
    else:
        discard(state)
        announce(state, event.saying.text, saying=event.saying.number)


@rule(events.SayAsked, "thinking", "speaking", "interrupted")
def say_after_reply(state: TurnState, event: events.SayAsked, _now: float) -> None:
    """The text is said after the reply; one that interrupts, in its place, and an unheard reply is requested again."""
    if not event.interrupt:
        state.sayings.append(event.saying)
        return
    if state.phase == "thinking" and state.unanswered.is_retractable:
        retract(state)
    else:
        if state.phase == "thinking":
            owe_again(state)
        state.actions.append(actions.CancelReply(retracted=False, by_program=True))
    announce(state, event.saying.text, saying=event.saying.number)


@rule(events.SayAsked, "transferring")
def say_if_back(state: TurnState, event: events.SayAsked, _now: float) -> None:
    """The text is said if nobody takes the transfer: the caller hears the other side ring."""
    state.sayings.append(event.saying)


@rule(events.FactTold, "listening")
def reply_to_fact(state: TurnState, event: events.FactTold, now: float) -> None:
    """The model replies to the fact, if it is to; while a number is being dialled, together with that."""
    if event.fact is not None and not state.unanswered.digits:
        listen(state, now)


@rule(events.FactTold, "user_speaking", "endpointing")
def prepare_anew(state: TurnState, _event: events.FactTold, _now: float) -> None:
    """A reply that was prepared without the fact is discarded."""
    discard(state)


@rule(events.HangUpAsked, *BEFORE_THE_END)
def say_goodbye(state: TurnState, event: events.HangUpAsked, now: float) -> None:
    """The goodbye is said in place of the reply, then the call ends."""
    close(state, event.goodbye, events.Ending("agent_hung_up"), now)


@rule(events.TransferAsked, "listening", "user_speaking", "endpointing")
def transfer(state: TurnState, event: events.TransferAsked, _now: float) -> None:
    """The caller is transferred."""
    begin_transfer(state, event.target)


@rule(events.TransferAsked, "thinking", "speaking", "interrupted")
def transfer_after_reply(state: TurnState, event: events.TransferAsked, _now: float) -> None:
    """The caller is transferred after the reply, or after the one to what interrupts it."""
    state.transfer_to = event.target


def owe_again(state: TurnState) -> None:
    """Has the reply that is being thought of requested again, once nobody speaks; no-op if it is an announcement."""
    if isinstance(state.replying_to, ToolResults):
        state.tool_results = {**state.replying_to.results, **state.tool_results}
        state.failed_tools |= state.replying_to.failed
    elif state.replying_to is not None:
        state.owed = state.replying_to
