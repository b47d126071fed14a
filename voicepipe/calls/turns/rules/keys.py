"""Keys (DTMF): menu keys, keys that are replied to one by one, and numbers.

A key interrupts any reply, and is replied to together with the words before it: if their final transcript has not come,
it is requested first. Keys never wait for words that come after them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.rules.closing import begin_transfer, close
from voicepipe.calls.turns.rules.preemptive import discard
from voicepipe.calls.turns.rules.replying import announce, let_caller_speak, listen, reply, reply_to_caller
from voicepipe.calls.turns.rules.transcripts import ask_for_final
from voicepipe.calls.turns.table import rule
from voicepipe.calls.turns.unanswered import utterance_of
from voicepipe.components.requests import Dtmf

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState
    from voicepipe.config.call_settings import KeyAction


@rule(events.KeyPressed, "listening", "user_speaking", "endpointing")
def take_key(state: TurnState, event: events.KeyPressed, now: float) -> None:
    """A menu key does what `keys` says; other keys are replied to, one by one or as a number."""
    press(state, event.digit, now)


@rule(events.DigitsDue, "listening", "user_speaking", "endpointing")
def complete_number(state: TurnState, _event: events.DigitsDue, now: float) -> None:
    """The number is complete and is replied to."""
    reply_to_digits(state, now, may_wait=True, after_words=False)


@rule(events.KeyPressed, "thinking", "speaking", "interrupted")
def interrupt_by_key(state: TurnState, event: events.KeyPressed, now: float) -> None:
    """The reply is cancelled; then the key does what it does in silence."""
    cancel_reply(state, now)
    press(state, event.digit, now)


@rule(events.DigitsDue, "thinking", "speaking", "interrupted")
def interrupt_by_number(state: TurnState, _event: events.DigitsDue, now: float) -> None:
    """The reply is cancelled, and the number that was dialled before it is replied to."""
    cancel_reply(state, now)
    reply_to_digits(state, now, may_wait=True, after_words=False)


def cancel_reply(state: TurnState, now: float) -> None:
    """Cancels the reply for a key."""
    state.actions.append(actions.CancelReply(retracted=False))
    state.unanswered.commit()
    if state.caller_speaks:
        let_caller_speak(state, now)
    else:
        state.enter("listening")


def press(state: TurnState, digit: str, now: float) -> None:
    """Does what a key is for: a menu key's action, another digit of a number, the number's end, or a reply."""
    state.idle_prompts = 0
    dtmf, unanswered = state.turns.dtmf, state.unanswered
    others_wait, state.digits_awaiting_final = state.digits_awaiting_final is not None, None
    if others_wait:
        unanswered.set_aside()
    if not unanswered.digits and (action := state.keys.get(digit)) is not None:
        run_menu_key(state, action, Dtmf(digit), now)
    elif dtmf.gap_ms and digit != dtmf.end_key:
        discard(state)
        unanswered.dial(digit)
        state.timers[events.DigitsDue] = now + dtmf.gap_ms / 1000
        state.timers.pop(events.IdleDue, None)
    elif dtmf.gap_ms and not unanswered.digits:
        end_turn_by_key(state, digit, now)
    else:
        unanswered.digits = unanswered.digits or digit
        reply_to_digits(state, now, may_wait=not others_wait, after_words=True)


def end_turn_by_key(state: TurnState, digit: str, now: float) -> None:
    """`turns.dtmf.end_key` without a number ends the turn if there are words; else it is only told to the model."""
    if finals := state.unanswered.finals:
        state.unanswered.digits = digit
        state.unanswered.complete_number(after_words=True)
        reply(state, utterance_of(finals), state.unanswered.take())
    else:
        state.unanswered.note(Dtmf(digit))
        if state.phase == "listening":
            listen(state, now)


def run_menu_key(state: TurnState, action: KeyAction, key: Dtmf, now: float) -> None:
    """Does what `keys` says about a key."""
    state.unanswered.set_aside()
    state.unanswered.note(key)
    if action.say is not None:
        discard(state)
        announce(state, action.say, key)
    elif action.transfer is not None:
        begin_transfer(state, action.transfer)
    else:
        close(state, state.limits.goodbye, events.Ending("agent_hung_up"), now, answers=key)


def reply_to_digits(state: TurnState, now: float, *, may_wait: bool, after_words: bool) -> None:
    """Requests a reply to a number, or asks for the final of the words before it first.

    Args:
        state: the call's.
        now: the time, in s.
        may_wait: whether the reply may wait for that final.
        after_words: as in `Unanswered.complete_number`.

    """
    state.timers.pop(events.DigitsDue, None)
    state.digits_awaiting_final = state.unanswered.complete_number(after_words=after_words)
    if not may_wait or not words_are_coming(state):
        reply_to_caller(state, now)
    elif state.phase != "endpointing" or not state.awaits_final:
        discard(state)
        state.enter("endpointing")
        ask_for_final(state, now)


def words_are_coming(state: TurnState) -> bool:
    """Returns True if the caller was saying something of which the final transcript has not come."""
    if state.awaits_final and events.FinalOverdue not in state.timers:
        return False  # the recogniser was given up on, or is lost
    if state.partial:
        return True
    is_unheard = state.speech_is_uncovered or state.caller_speaks
    return state.speech_sustained and is_unheard and not state.gives_partials
