"""The end of a call: the last words, events while they are said, and the beginning of a transfer, which may fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.rules.preemptive import discard
from voicepipe.calls.turns.rules.transcripts import keep_words
from voicepipe.calls.turns.state import REPLYING
from voicepipe.calls.turns.table import rule

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState
    from voicepipe.components.requests import Trigger

LAST_WORDS_S = 30.0
"""The time that the last words may take, in s: a synthesiser that hangs must not keep the call."""


@rule(events.ReplyEnded, "closing")
def hang_up(state: TurnState, _event: events.ReplyEnded, _now: float) -> None:
    """The call ends, or the caller is transferred."""
    end(state)


@rule(events.TransferDone, "closing")
def end_call_of_late_transfer(state: TurnState, event: events.TransferDone, _now: float) -> None:
    """The call ends without its last words: the transfer was given up too late, and the caller is gone."""
    if state.ending is not None:
        state.ending = None
        state.timers.clear()
        state.actions.append(actions.End(event.ending))


@rule(events.LastWordsOverdue, "closing")
def hang_up_in_mid_word(state: TurnState, _event: events.LastWordsOverdue, _now: float) -> None:
    """The call ends, or the caller is transferred, before the last words have been said."""
    if _is_transfer(state.ending):
        state.actions.append(actions.CancelReply(retracted=False, by_program=True))
    end(state)


@rule(events.RoleFailed, "closing")
def hang_up_without_last_words(state: TurnState, event: events.RoleFailed, _now: float) -> None:
    """The call ends without its last words, unless it is the recogniser that failed: they do not need one."""
    if event.role != "stt":
        end(state)


@rule(events.Final, "closing")
def record_words(state: TurnState, event: events.Final, _now: float) -> None:
    """The words are kept for the call's record; no reply follows."""
    keep_words(state, event)


@rule(events.KeyPressed, "closing")
def record_key(state: TurnState, event: events.KeyPressed, _now: float) -> None:
    """The key is kept for the call's record; no reply follows."""
    state.unanswered.dial(event.digit)


def close(
    state: TurnState,
    text: str,
    ending: events.Ending,
    now: float,
    *,
    apology: bool = False,
    answers: Trigger | None = None,
) -> None:
    """Cancels the current reply, announces the last words, and ends the call after them.

    Args:
        state: the call's.
        text: the last words; empty: the call ends at once.
        ending: the end of the call.
        now: the time, in s.
        apology: whether the text is `on_failure.say`, of which there may be a recording.
        answers: the caller's input that ends the call, if one does.

    """
    if state.phase in REPLYING:
        state.actions.append(actions.CancelReply(retracted=False, by_program=answers is None))
    discard(state)
    state.enter("closing")
    state.timers.clear()
    state.ending, state.digits_awaiting_final = ending, None
    if text:
        state.timers[events.LastWordsOverdue] = now + LAST_WORDS_S
        state.actions.append(actions.Announce(text, apology, answers, state.unanswered.take_all()))
    else:
        end(state)


def end(state: TurnState) -> None:
    """Ends the call now, as `state.ending` says, which may be by a transfer; no-op if that has been requested."""
    if state.ending is not None and _is_transfer(state.ending):
        target, state.ending = state.ending.detail, None
        begin_transfer(state, target)
        return
    state.enter("closing")
    state.timers.clear()
    if state.ending is not None:
        state.actions.append(actions.End(state.ending))
        state.ending = None


def begin_transfer(state: TurnState, target: str) -> None:
    """Transfers the caller; no reply is on.

    What the caller says and presses from now on waits for the reply that follows if nobody takes the call.
    """
    discard(state)
    state.transfer_to, state.digits_awaiting_final = "", None
    state.unanswered.commit()
    state.unanswered.complete_number(after_words=False)
    for timer in (events.DigitsDue, events.LastWordsOverdue):
        state.timers.pop(timer, None)
    state.enter("transferring")
    state.actions.append(actions.BeginTransfer(target))


def _is_transfer(ending: events.Ending | None) -> bool:
    return ending is not None and ending.outcome == "transfer_requested"
