"""Preemptive replies (`turns.preemptive`): a reply is prepared before the turn is certain to be over.

A prepared reply costs a request, and nobody hears it. If the turn ends with the words that it was prepared for, it is
adopted, and the model's first words are there already; if other words come, it is discarded. A recogniser that guesses
ends of turns (`EagerEndOfTurn`) says when to prepare; with any other, the caller's pause does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.table import rule
from voicepipe.calls.turns.unanswered import utterance_of
from voicepipe.text.words import phrase_of

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState


@rule(events.EagerEndOfTurn, "user_speaking", "endpointing")
def prepare_by_guess(state: TurnState, _event: events.EagerEndOfTurn, _now: float) -> None:
    """With `preemptive`, a reply to the words so far is prepared; nobody hears it before the turn is over."""
    prepare(state)


@rule(events.TurnResumed, "user_speaking", "endpointing")
def discard_by_guess(state: TurnState, _event: events.TurnResumed, _now: float) -> None:
    """The prepared reply is discarded."""
    discard(state)


def prepare(state: TurnState) -> None:
    """Prepares a reply to the words so far, in place of one to other words; no-op without `turns.preemptive`."""
    if (words := _words_so_far(state)) and (phrase := _phrase(state, words)) != state.prepared_phrase:
        discard(state)
        state.prepared_phrase = phrase
        utterance = utterance_of(words)
        state.actions.append(actions.Prepare(utterance, (*state.unanswered.before_words, utterance)))


def prepare_at_pause(state: TurnState) -> None:
    """Prepares a reply as the caller pauses; with a recogniser that guesses, only discards one to other words."""
    if state.guesses_end_of_turn:
        discard_if_outdated(state)
    else:
        prepare(state)


def discard_if_outdated(state: TurnState) -> None:
    """Discards a reply that was prepared for other words than those so far."""
    words = _words_so_far(state) if state.prepared_phrase is not None else []
    if words and _phrase(state, words) != state.prepared_phrase:
        discard(state)


def discard(state: TurnState) -> None:
    """Discards the prepared reply; no-op if there is none."""
    if state.prepared_phrase is not None:
        state.prepared_phrase = None
        state.actions.append(actions.Discard())


def _words_so_far(state: TurnState) -> list[events.Final]:
    """Returns the words to prepare a reply for: finals and the partial behind them; none while keys are dialled."""
    if not state.turns.preemptive or state.unanswered.digits or state.digits_awaiting_final is not None:
        return []
    if state.greeting_is_due and state.greeting is not None:  # it is the answer, and no model is asked
        return []
    return [*state.unanswered.finals, *([events.Final(state.partial)] if state.partial else [])]


def _phrase(state: TurnState, words: list[events.Final]) -> str:
    return phrase_of(" ".join(final.text for final in words), state.language)
