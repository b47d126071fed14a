"""Records each event in the state, whatever the phase; the rule of the phase runs afterwards and may rely on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import events
from voicepipe.calls.turns.state import Phase
from voicepipe.calls.turns.table import rule_in_every_phase
from voicepipe.components.requests import Told

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState


PAUSE_S = 1.0
"""The longest pause within words of which the recogniser has told nothing yet, in s: what came before was a noise."""

IN_TURN = frozenset[Phase]({"user_speaking", "endpointing", "interrupted"})
"""The phases in which speech goes on with the turn that has begun, however long the pause before it was."""


@rule_in_every_phase(events.SpeechBegan)
def speech_begins(state: TurnState, event: events.SpeechBegan, now: float) -> None:
    """The caller speaks, for how long is not known yet."""
    state.caller_speaks, state.speech_sustained = True, False
    state.speaks_since = began = now - event.since_s
    in_turn = state.phase in IN_TURN or state.partial or began - state.silent_since <= PAUSE_S
    if state.spoken_from is None or not in_turn:
        state.spoken_from = began


@rule_in_every_phase(events.SpeechSustained)
def speech_lasts(state: TurnState, _event: events.SpeechSustained, _now: float) -> None:
    """The speech is long enough to interrupt."""
    state.speech_sustained = True


@rule_in_every_phase(events.SpeechEnded)
def speech_ends(state: TurnState, event: events.SpeechEnded, now: float) -> None:
    """The caller is silent, since before the voice activity detector was sure of it."""
    state.caller_speaks = False
    state.silent_since = now - event.silent_s
    state.speech_end_ms = event.audio_ms
    state.speech_is_uncovered = True


@rule_in_every_phase(events.Partial)
def take_partial(state: TurnState, event: events.Partial, _now: float) -> None:
    """The partial replaces the one before."""
    text = event.text
    state.partial_has_changed = bool(text) and text != state.partial
    state.partial = text
    state.gives_partials = True


@rule_in_every_phase(events.Final)
def drop_partial(state: TurnState, event: events.Final, now: float) -> None:
    """The final takes the place of the partials before it."""
    state.partial = ""
    state.last_final_at = now
    state.words_from, state.spoken_from = state.spoken_from, None
    if state.caller_speaks:
        is_part = event.text and state.words_from == state.speaks_since
        state.spoken_from = now if is_part else state.speaks_since


@rule_in_every_phase(events.RecogniserLost)
def forget_recogniser(state: TurnState, _event: events.RecogniserLost, _now: float) -> None:
    """The next recogniser may have other habits than the one that was lost."""
    state.partial = ""
    state.gives_partials = state.guesses_end_of_turn = False


@rule_in_every_phase(events.EagerEndOfTurn)
def learn_that_it_guesses(state: TurnState, _event: events.EagerEndOfTurn, _now: float) -> None:
    """The recogniser guesses ends of turns from the words: it knows better than a pause does."""
    state.guesses_end_of_turn = True


@rule_in_every_phase(events.FactTold)
def owe_reply_to_fact(state: TurnState, event: events.FactTold, _now: float) -> None:
    """A fact that asks for a reply is kept until there is one; it joins one that waits already."""
    if event.fact is not None:
        owed = state.owed
        if isinstance(owed, Told) and not owed.transfer:
            state.owed = Told(f"{owed.text}\n{event.fact.text}")
        elif owed is None:
            state.owed = event.fact


@rule_in_every_phase(events.SayWithdrawn)
def withdraw_saying(state: TurnState, event: events.SayWithdrawn, _now: float) -> None:
    """A text that has not begun is not said any more."""
    state.sayings = [saying for saying in state.sayings if saying.number != event.number]


@rule_in_every_phase(events.TransferAsked)
def note_whose_transfer_it_is(state: TurnState, event: events.TransferAsked, _now: float) -> None:
    """A tool tells the model itself what came of its transfer."""
    state.tools_transfer = event.target if event.by_tool else ""


@rule_in_every_phase(events.LanguageSwitched)
def switch_language(state: TurnState, event: events.LanguageSwitched, _now: float) -> None:
    """Words are compared and counted in the new language."""
    state.language = event.language


@rule_in_every_phase(events.ToolsBegan)
def count_tools(state: TurnState, _event: events.ToolsBegan, _now: float) -> None:
    """Another reply's tools run."""
    state.running_tools += 1


@rule_in_every_phase(events.ToolsEnded)
def keep_results(state: TurnState, event: events.ToolsEnded, _now: float) -> None:
    """Their results are kept for the next reply."""
    state.running_tools = max(0, state.running_tools - 1)
    state.tool_results.update(event.results)
    state.failed_tools.update(event.failed)
