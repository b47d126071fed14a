"""Endpointing, the rules: a caller's turn begins and ends by voice activity, silence and transcripts.

`turns/endpointing.py` computes the silence that ends a turn, from its words; the rules here wait for it. Then the reply
needs all of the words: if the finals do not reach the end of the speech, the recogniser is asked for the rest, and the
turn ends when that comes. A recogniser that ends turns by itself (`EndOfTurn`) is believed at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.rules.preemptive import discard, discard_if_outdated, prepare_at_pause
from voicepipe.calls.turns.rules.replying import (
    await_end_of_turn,
    let_caller_speak,
    listen,
    prompt_caller,
    reply_to_caller,
    reply_to_waiting_digits,
    start_idle_timer,
)
from voicepipe.calls.turns.rules.transcripts import ask_for_final, finals_cover_speech, keep_words
from voicepipe.calls.turns.table import rule

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState


@rule(events.SpeechBegan, "listening", "endpointing")
def begin_turn(state: TurnState, _event: events.SpeechBegan, now: float) -> None:
    """The caller speaks, or goes on; keys that wait for a final are replied to at once."""
    discard(state)
    if state.digits_awaiting_final is not None:
        reply_to_waiting_digits(state)
    else:
        let_caller_speak(state, now)


@rule(events.Partial, "user_speaking")
def hear_new_words(state: TurnState, _event: events.Partial, now: float) -> None:
    """New words start the wait for `idle_prompt_s` anew; a noise brings none."""
    if state.partial_has_changed:
        start_idle_timer(state, now)
        discard_if_outdated(state)


@rule(events.Final, "user_speaking")
def keep_part_of_turn(state: TurnState, event: events.Final, now: float) -> None:
    """The words are kept for the reply."""
    if keep_words(state, event):
        start_idle_timer(state, now)
        discard_if_outdated(state)


@rule(events.SpeechEnded, "user_speaking")
def begin_endpointing(state: TurnState, _event: events.SpeechEnded, now: float) -> None:
    """The turn ends if the silence lasts as long as the words ask for."""
    state.enter("endpointing")
    await_end_of_turn(state, now)
    prepare_at_pause(state)


@rule(events.Partial, "endpointing")
def adjust_silence(state: TurnState, _event: events.Partial, now: float) -> None:
    """The new words say how much silence ends the turn."""
    if not state.awaits_final:
        await_end_of_turn(state, now)
        prepare_at_pause(state)


@rule(events.Final, "listening")
def begin_turn_by_words(state: TurnState, event: events.Final, now: float) -> None:
    """Words that voice activity detection missed are a turn like any other."""
    if keep_words(state, event):
        state.silent_since = now
        state.enter("endpointing")
        await_end_of_turn(state, now)


@rule(events.EndOfTurnDue, "endpointing")
def end_turn_by_silence(state: TurnState, _event: events.EndOfTurnDue, now: float) -> None:
    """The caller has finished: a reply is requested, after the final of the last words if that is still out."""
    if finals_cover_speech(state):
        reply_to_caller(state, now)
    else:
        ask_for_final(state, now)


@rule(events.Final, "endpointing")
def end_turn_by_final(state: TurnState, event: events.Final, now: float) -> None:
    """The turn ends if this final was waited for; else its words say how much silence ends it."""
    keep_words(state, event)
    if state.awaits_final:
        conclude_turn(state, now)
    else:
        await_end_of_turn(state, now)
        prepare_at_pause(state)


@rule(events.FinalOverdue, "endpointing", "awaiting_consent")
def give_up_on_final(state: TurnState, _event: events.FinalOverdue, _now: float) -> None:
    """The recogniser has failed and the next alternative is opened; keys are replied to without it."""
    state.actions.append(actions.GiveUpOnFinal())
    reply_to_waiting_digits(state)


@rule(events.RecogniserLost, "endpointing", "awaiting_consent")
def stop_awaiting_final(state: TurnState, _event: events.RecogniserLost, _now: float) -> None:
    """No final is waited for until an alternative listens; keys are replied to without it."""
    state.timers.pop(events.FinalOverdue, None)
    reply_to_waiting_digits(state)


@rule(events.RecogniserFound, "endpointing", "awaiting_consent")
def await_final_anew(state: TurnState, _event: events.RecogniserFound, now: float) -> None:
    """The wait for a final begins anew, if there was one: the new recogniser has been asked for it."""
    if state.awaits_final:
        state.timers[events.FinalOverdue] = now + state.final_s


@rule(events.EndOfTurn, "user_speaking", "endpointing")
def end_turn_by_recogniser(state: TurnState, _event: events.EndOfTurn, now: float) -> None:
    """A reply to the words is requested at once; without any, nothing happens."""
    if state.unanswered.finals:
        if state.caller_speaks:
            state.silent_since = now
        reply_to_caller(state, now)


def conclude_turn(state: TurnState, now: float) -> None:
    """Nothing more will come of this turn: requests a reply, or goes back to listening if there were no words."""
    state.speech_is_uncovered = False
    if state.unanswered.finals or state.digits_awaiting_final is not None:
        reply_to_caller(state, now)
    elif state.caller_speaks or state.interrupted_by_partial:
        prompt_caller(state, now)  # a noise that goes on, or one that took a reply from the caller
    else:
        discard(state)
        listen(state, now)
