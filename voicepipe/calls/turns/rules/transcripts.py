"""Steps about transcripts that rules of several topics take.

They keep its words for the reply, tell whether those reach the end of the speech, and tell words that interrupt from
signs of listening.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.unanswered import utterance_of
from voicepipe.text.backchannels import is_backchannel

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState

COVERED_MS = 20
"""The distance from the end of speech at which a final still covers it, in ms: one frame."""


def keep_words(state: TurnState, final: events.Final) -> bool:
    """Keeps the words of a final for the next reply; returns whether it has any."""
    if final.audio_ms is None or reaches_end_of_speech(state, final.audio_ms):
        state.speech_is_uncovered = False
    if final.text:
        state.interrupted_by_partial = False
        state.unanswered.keep(final, state.words_from)
    return bool(final.text)


def keep_backchannel(state: TurnState, final: events.Final) -> None:
    """Keeps words that only show that the caller listens: the next reply's model reads them, but they ask for none.

    Behind words that wait for a reply they are part of those.
    """
    if final.text and state.unanswered.finals:
        keep_words(state, final)
    elif final.text:
        state.unanswered.note(utterance_of([final]), state.words_from)


def finals_cover_speech(state: TurnState) -> bool:
    """Returns True if the finals that wait for a reply hold everything that the caller has said."""
    finals = state.unanswered.finals
    if state.partial or not finals or finals[-1].audio_ms is None:
        return False
    return reaches_end_of_speech(state, finals[-1].audio_ms)


def reaches_end_of_speech(state: TurnState, audio_ms: float) -> bool:
    """Returns True if a position in the call's audio, in ms, is at the end of the last speech, or later."""
    return audio_ms + COVERED_MS >= state.speech_end_ms


def is_interruption(state: TurnState, text: str, *, so_far: bool = False) -> bool:
    """Returns True if a text has words, and is no backchannel.

    Args:
        state: the call's.
        text: what the recogniser made of the caller's words.
        so_far: whether more words may follow; then the beginning of a backchannel is no interruption either.

    """
    backchannels = state.turns.barge_in.backchannels
    return bool(text) and not is_backchannel(text, backchannels, state.language, so_far=so_far)


def ask_for_final(state: TurnState, now: float) -> None:
    """Requests a final transcript of the audio so far, and waits for it for `final_s`."""
    state.awaits_final = True
    state.actions.append(actions.FinaliseTranscript())
    state.timers[events.FinalOverdue] = now + state.final_s
