"""Replies: requests, retractions and ends of replies, and the right to speak between them.

Every reply takes up everything that the caller has said and pressed since the last. Until a reply is audible it can be
retracted, as if it had never been requested; from then on its inputs are answered.
"""

from __future__ import annotations

from functools import lru_cache
from math import inf
from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.endpointing import silence_ms
from voicepipe.calls.turns.rules.closing import begin_transfer, close, end
from voicepipe.calls.turns.rules.preemptive import discard
from voicepipe.calls.turns.rules.transcripts import keep_words
from voicepipe.calls.turns.table import rule
from voicepipe.calls.turns.unanswered import utterance_of
from voicepipe.components.requests import CallStarted, Silence, ToolResults
from voicepipe.text.words import phrase_of

if TYPE_CHECKING:
    from voicepipe.calls.turns.state import TurnState
    from voicepipe.components.requests import Trigger

STILL_SPEAKING_MS = 500
"""The time for which a reply that begins over speech is protected, in ms: a caller takes that long to hear it and stop,
which is no interruption."""

HASTY_TIMES = 3
"""The number of hasty interruptions in a row that are a loop, in which the agent interrupts itself: the next reply is
protected to its end."""


@rule(events.ReplyAudible, "thinking")
def begin_speaking(state: TurnState, _event: events.ReplyAudible, now: float) -> None:
    """The reply is heard: it can't be retracted any more."""
    state.unanswered.commit()
    state.resumed_before_final = False
    state.speech_sustained &= state.caller_speaks
    state.enter("speaking")
    state.audible_since = now
    protect_ms = max(state.turns.barge_in.protect_ms, STILL_SPEAKING_MS if state.caller_speaks else 0)
    if state.hasty_interruptions >= HASTY_TIMES:
        state.timers[events.ProtectionOver] = inf
    elif protect_ms:
        state.timers[events.ProtectionOver] = now + protect_ms / 1000


@rule(events.SpeechSustained, "thinking")
def retract_for_speech(state: TurnState, _event: events.SpeechSustained, now: float) -> None:
    """The caller had not finished: the reply is retracted, and both parts of the turn get one reply."""
    if state.unanswered.is_retractable:
        retract(state)
        let_caller_speak(state, now)


@rule(events.Final, "thinking")
def retract_for_words(state: TurnState, event: events.Final, now: float) -> None:
    """Words that come after the turn was thought to be over belong to it: one reply is requested to all of it."""
    was_retractable = state.unanswered.is_retractable
    if keep_words(state, event) and was_retractable:
        retract(state)
        reply_to_caller(state, now)


@rule(events.ReplyEnded, "thinking", "speaking", "interrupted")
def end_reply(state: TurnState, event: events.ReplyEnded, now: float) -> None:
    """The caller may speak; or the call ends or is transferred, if the model, the program or a drain asked for it."""
    state.unanswered.commit()
    state.hasty_interruptions = 0
    if state.transfer_to:
        begin_transfer(state, state.transfer_to)
    elif event.ending is not None:
        state.ending = event.ending
        end(state)
    elif state.draining:
        state.enter("listening")
        close(state, state.limits.goodbye, events.Ending("drained"), now)
    else:
        go_on(state, now)


def go_on(state: TurnState, now: float) -> None:
    """The agent has spoken: the caller's turn goes on, if they speak or have words that wait; else nobody speaks."""
    if state.caller_speaks:
        let_caller_speak(state, now)
    elif state.unanswered.finals or state.speech_is_uncovered:
        state.enter("endpointing")
        await_end_of_turn(state, now)
    else:
        listen(state, now)


def listen(state: TurnState, now: float) -> None:
    """Nobody speaks: says what was kept for such a moment, or waits for the caller."""
    waits_for_first_words = events.FirstWordsDue in state.timers
    if state.transfer_to:
        begin_transfer(state, state.transfer_to)
    elif state.tool_results:
        reply(state, ToolResults(dict(state.tool_results), frozenset(state.failed_tools)))
    elif state.greeting_is_due and not waits_for_first_words:
        say_greeting(state)
    elif state.sayings:
        saying = state.sayings.pop(0)
        announce(state, saying.text, saying=saying.number)
    elif state.owed is not None:
        reply(state, state.owed)
    else:
        state.enter("listening")
        if not state.running_tools and not waits_for_first_words:
            start_idle_timer(state, now)


def say_greeting(state: TurnState) -> None:
    """Says the greeting, or has the model speak first."""
    if state.greeting is None:
        reply(state, CallStarted())
    else:
        skip_greeting(state)
        announce(state, state.greeting)


def skip_greeting(state: TurnState) -> None:
    """The agent need not greet any more: it speaks."""
    state.greeting_is_due = False
    state.timers.pop(events.FirstWordsDue, None)


def let_caller_speak(state: TurnState, now: float) -> None:
    """The caller speaks, undisturbed as long as there are new words."""
    state.enter("user_speaking")
    start_idle_timer(state, now)


def start_idle_timer(state: TurnState, now: float) -> None:
    """Starts the wait for the caller's next words anew."""
    state.timers[events.IdleDue] = now + state.limits.idle_prompt_s


def await_end_of_turn(state: TurnState, now: float) -> None:
    """Starts the timer of the turn's end: it is due after as much silence as the words so far ask for."""
    texts = [final.text for final in state.unanswered.finals]
    if state.partial:
        texts.append(state.partial)
    due = state.silent_since + silence_ms(" ".join(texts), state.turns, state.language) / 1000
    state.timers[events.EndOfTurnDue] = max(now, due)


def reply(state: TurnState, trigger: Trigger, inputs: tuple[events.CallerInput, ...] | None = None) -> None:
    """Requests a reply from the language model.

    Args:
        state: the call's.
        trigger: the event that is replied to.
        inputs: the words and keys that were taken; None: those that ask for no reply are taken along.

    """
    state.interrupted_by_partial = False
    discard(state)
    state.tool_results.clear()  # every request to a model has them, whatever it replies to
    state.failed_tools.clear()
    state.owed, state.replying_to = None, trigger
    skip_greeting(state)
    state.enter("thinking")
    state.actions.append(actions.Reply(trigger, state.unanswered.take_before_words() if inputs is None else inputs))


def announce(state: TurnState, text: str, answers: Trigger | None = None, saying: int = 0) -> None:
    """Requests a text to be said as it is, without the model.

    Args:
        state: the call's.
        text: the words to say.
        answers: the caller's input that it answers; None: none, and words that wait for a reply go on waiting.
        saying: the number of the program's text that it is; 0: it is none.

    """
    state.enter("thinking")
    state.replying_to = None
    if answers is None:
        inputs = state.unanswered.take_before_words()
    else:
        skip_greeting(state)
        inputs = state.unanswered.take()
    state.actions.append(actions.Announce(text, answers=answers, inputs=inputs, saying=saying))


def prompt_caller(state: TurnState, now: float) -> None:
    """Asks the model to break the silence; after `limits.idle_prompts` of these in a row, the call ends.

    A caller who was to speak first, and has only made a noise, is greeted.
    """
    if state.greeting_is_due:
        say_greeting(state)
        return
    state.idle_prompts += 1
    if state.idle_prompts > state.limits.idle_prompts:
        close(state, state.limits.goodbye, events.Ending("idle"), now)
    else:
        reply(state, Silence(state.idle_prompts))


def retract(state: TurnState) -> None:
    """Cancels a reply that nobody has heard; the inputs that it took up wait for a reply again."""
    state.actions.append(actions.CancelReply(retracted=True))
    state.unanswered.retract()
    state.enter("endpointing")


def reply_to_caller(state: TurnState, now: float) -> None:
    """The caller has finished: requests a reply to everything that was said and pressed, or adopts the prepared one.

    Words beside a number that is being dialled wait for the number, and one of `turns.hang_up_phrases` ends the call.
    The first words of a caller who was to speak first are answered by the greeting.
    """
    state.idle_prompts = 0
    unanswered = state.unanswered
    if state.digits_awaiting_final is not None:
        reply_to_waiting_digits(state)
    elif unanswered.digits:
        discard(state)
        if state.caller_speaks:
            state.enter("user_speaking")
        else:
            state.enter("listening")
    else:
        utterance = utterance_of(unanswered.finals)
        phrase = phrase_of(utterance.text, state.language)
        if phrase in _phrases_of(state.turns.hang_up_phrases, state.language):
            discard(state)
            ending = events.Ending("said_goodbye", utterance.text)
            close(state, state.limits.goodbye, ending, now, answers=utterance)
        elif state.greeting_is_due and state.greeting is not None:
            announce(state, state.greeting, answers=utterance)
        elif state.prepared_phrase == phrase:
            state.prepared_phrase = None
            state.replying_to = utterance
            skip_greeting(state)
            state.enter("thinking")
            state.actions.append(actions.Adopt(utterance, unanswered.take_words()))
        else:
            reply(state, utterance, unanswered.take_words())


def reply_to_waiting_digits(state: TurnState) -> None:
    """Requests a reply to keys that wait for a final, and to the words before them; no-op if no keys wait."""
    if state.digits_awaiting_final is not None:
        digits, state.digits_awaiting_final = state.digits_awaiting_final, None
        state.idle_prompts = 0
        reply(state, digits, state.unanswered.take())


@lru_cache
def _phrases_of(texts: tuple[str, ...], language: str | None) -> frozenset[str]:
    """A setting's phrases in the form in which words are compared; calls with equal settings share the result."""
    return frozenset(phrase_of(text, language) for text in texts)
