"""Barge-in: the caller speaks over a reply, which is paused, and then ends or goes on.

Speech alone only pauses a reply (`interrupted`), for a cough is speech to a detector. Words decide: if they come, the
reply is over; if none come within `barge_in.resume_ms`, or nothing but a backchannel ("uh-huh"), it is resumed where it
was paused. `barge_in.min_words`, `resume_ms: 0`, `protect_ms` and `enabled` change that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.rules.replying import await_end_of_turn, let_caller_speak
from voicepipe.calls.turns.rules.transcripts import is_interruption, keep_backchannel, keep_words
from voicepipe.calls.turns.table import rule
from voicepipe.text.words import count_words

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState

HASTY_S = 1.5
"""The time within which an interruption is hasty, in s: after several, it may be the agent's own echo."""


@rule(events.SpeechSustained, "speaking")
def pause_reply(state: TurnState, _event: events.SpeechSustained, now: float) -> None:
    """The reply is paused until words say whether it is over, unless it is protected or waits for `min_words`."""
    barge_in = state.turns.barge_in
    if not barge_in.enabled or barge_in.min_words or events.ProtectionOver in state.timers:
        return
    if not barge_in.resume_ms or is_interruption(state, state.partial, so_far=True):
        interrupt(state, now)
        return
    state.actions.append(actions.PauseReply())
    state.enter("interrupted")
    state.timers[events.ResumeDue] = now + barge_in.resume_ms / 1000


@rule(events.ProtectionOver, "speaking")
def end_protection(state: TurnState, _event: events.ProtectionOver, now: float) -> None:
    """A caller who still speaks interrupts now."""
    if state.caller_speaks and state.speech_sustained:
        pause_reply(state, events.SpeechSustained(), now)


@rule(events.Partial, "speaking")
def interrupt_by_partial(state: TurnState, event: events.Partial, now: float) -> None:
    """The words end the reply if there are `min_words` of them, or if it was resumed before they came."""
    if (state.caller_speaks or state.resumed_before_final) and _are_enough(state, event.text, so_far=True):
        interrupt(state, now)


@rule(events.SpeechEnded, "speaking")
def ask_for_min_words(state: TurnState, _event: events.SpeechEnded, _now: float) -> None:
    """A recogniser without partials is asked for the words that `min_words` waits for."""
    barge_in = state.turns.barge_in
    if barge_in.enabled and barge_in.min_words and state.speech_sustained and not state.gives_partials:
        state.actions.append(actions.FinaliseTranscript())


@rule(events.Final, "speaking")
def interrupt_by_final(state: TurnState, event: events.Final, now: float) -> None:
    """Enough words end the reply; fewer are replied to after it, and backchannels are only told to the model."""
    interrupts = (state.resumed_before_final or state.speech_sustained) and _are_enough(state, event.text)
    state.resumed_before_final = False
    if not event.text or is_interruption(state, event.text):
        keep_words(state, event)
    else:
        state.speech_is_uncovered = False
        keep_backchannel(state, event)
    if interrupts:
        interrupt(state, now)


@rule(events.Partial, "interrupted")
def end_paused_reply(state: TurnState, event: events.Partial, now: float) -> None:
    """Words that are no backchannel end the reply."""
    if is_interruption(state, event.text, so_far=True):
        interrupt(state, now)


@rule(events.Final, "interrupted")
def end_or_resume_reply(state: TurnState, event: events.Final, now: float) -> None:
    """Words end the reply and are replied to; if there are none, or only a backchannel, it is resumed."""
    if is_interruption(state, event.text):
        keep_words(state, event)
        interrupt(state, now)
        return
    keep_backchannel(state, event)
    if state.awaits_final or not state.caller_speaks:
        state.speech_is_uncovered = False
        resume(state, wordless=not event.text)


@rule(events.SpeechEnded, "interrupted")
def ask_whether_words_were_said(state: TurnState, _event: events.SpeechEnded, now: float) -> None:
    """The recogniser is asked whether there were words."""
    state.actions.append(actions.FinaliseTranscript())
    state.timers[events.ResumeDue] = now + state.turns.barge_in.resume_ms / 1000


@rule(events.ResumeDue, "interrupted")
def resume_reply(state: TurnState, _event: events.ResumeDue, now: float) -> None:
    """The reply is resumed where it was paused; a recogniser without partials is first asked for words."""
    if state.caller_speaks and not state.gives_partials and not state.awaits_final:
        state.awaits_final = True
        state.actions.append(actions.FinaliseTranscript())
        state.timers[events.ResumeDue] = now + state.final_s
    else:
        state.resumed_before_final = True
        resume(state, wordless=True)


def interrupt(state: TurnState, now: float) -> None:
    """Cancels the reply for good: the caller speaks, or has said something."""
    state.hasty_interruptions = state.hasty_interruptions + 1 if now - state.audible_since < HASTY_S else 0
    state.interrupted_by_partial = not state.unanswered.finals
    state.actions.append(actions.CancelReply(retracted=False))
    if state.caller_speaks:
        let_caller_speak(state, now)
    else:
        state.enter("endpointing")
        await_end_of_turn(state, now)


def resume(state: TurnState, *, wordless: bool) -> None:
    """Goes on with the paused reply; `wordless`: whether no words were recognised in the sound that paused it."""
    state.enter("speaking")
    state.actions.append(actions.ResumeReply(wordless))


def _are_enough(state: TurnState, text: str, *, so_far: bool = False) -> bool:
    """Returns True if words over a reply end it although it was not paused for them."""
    barge_in = state.turns.barge_in
    needed = max(barge_in.min_words, state.resumed_before_final)
    if not needed or not barge_in.enabled or events.ProtectionOver in state.timers:
        return False
    return needed <= count_words(text) and is_interruption(state, text, so_far=so_far)
