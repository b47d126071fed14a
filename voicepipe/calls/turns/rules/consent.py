"""Consent to the recording: the caller is told of it, or asked, before the greeting and before anything is recorded.

The announcement and the question are heard whole: speech does not stop them. A question may be answered before its end
by a key, or by a no. A yes counts once the question has been heard, because a word on picking up ("yes?") is no
consent. It has to be a clear one (`text/yes_or_no.py`). What is unclear is asked about once more, and is a no then;
silence is a no at once. A caller who is to speak first is asked after their first words.

The agent's words and the caller's answer are in the conversation like any others. Other words of the caller get their
answer afterwards: they are answered by the greeting, or replied to.

What the program asks for waits until the question is settled, but for the end of the call. A call that ends before has
no consent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.calls.turns import actions, events
from voicepipe.calls.turns.rules.closing import begin_transfer, close
from voicepipe.calls.turns.rules.replying import await_end_of_turn, go_on
from voicepipe.calls.turns.rules.transcripts import ask_for_final, finals_cover_speech, keep_words
from voicepipe.calls.turns.table import rule
from voicepipe.calls.turns.unanswered import utterance_of
from voicepipe.components.requests import Dtmf
from voicepipe.text.yes_or_no import answer_of

if TYPE_CHECKING:
    from voicepipe.calls.events import Consent
    from voicepipe.calls.turns.state import TurnState

MOST_TIMES = 2
"""How often the question is asked at most."""

ANSWERS: dict[str, Consent] = {"1": "given", "2": "refused"}
"""The keys that answer the question."""


@rule(events.ReplyAudible, "asking_consent")
def begin_asking(state: TurnState, _event: events.ReplyAudible, now: float) -> None:
    """The caller hears the announcement or the question."""
    state.unanswered.commit()
    state.audible_since, state.consent_was_heard = now, True


@rule(events.ReplyEnded, "asking_consent")
def await_answer(state: TurnState, _event: events.ReplyEnded, now: float) -> None:
    """The recording begins after an announcement; a question is waited for to be answered."""
    request = state.consent
    if request is None or not request.asks:
        settle(state, "announced", now)
        return
    state.enter("awaiting_consent")
    state.answer_until = state.timers[events.AnswerDue] = now + request.answer_s
    if state.caller_speaks:
        state.timers[events.AnswerDue] += state.limits.idle_prompt_s
    elif state.partial or state.speech_is_uncovered:
        await_end_of_turn(state, now)


@rule(events.SpeechEnded, "asking_consent")
def ask_for_words_over_question(state: TurnState, _event: events.SpeechEnded, _now: float) -> None:
    """The recogniser is asked for the words: a no counts at once."""
    state.actions.append(actions.FinaliseTranscript())


@rule(events.Final, "asking_consent")
def hear_words_over_question(state: TurnState, event: events.Final, now: float) -> None:
    """A no ends the question, and nothing is recorded; other words do not answer it, and are kept for the model."""
    if not keep_words(state, event) or state.consent is None or not state.consent.asks:
        return
    state.unanswered.set_aside()
    if answer_of(event.text) is False:
        state.actions.append(actions.CancelReply(retracted=False))
        settle(state, "refused", now)
    else:
        state.spoke_over_question = True


@rule(events.KeyPressed, "asking_consent")
def take_key_over_question(state: TurnState, event: events.KeyPressed, now: float) -> None:
    """1 and 2 answer the question; other keys do not, and are kept for the model."""
    note_key(state, event)
    if state.consent is not None and state.consent.asks and event.digit in ANSWERS:
        state.actions.append(actions.CancelReply(retracted=False))
        settle(state, ANSWERS[event.digit], now)
    else:
        state.spoke_over_question = True


@rule(events.SpeechBegan, "awaiting_consent")
def hear_answer(state: TurnState, _event: events.SpeechBegan, now: float) -> None:
    """The caller answers, and has `limits.idle_prompt_s` more for it."""
    if state.awaits_final and now >= state.answer_until:
        return  # no more than what was said so far counts
    state.awaits_final = False
    for timer in (events.EndOfTurnDue, events.FinalOverdue):
        state.timers.pop(timer, None)
    state.timers[events.AnswerDue] = max(now, state.answer_until + state.limits.idle_prompt_s)


@rule(events.SpeechEnded, "awaiting_consent")
def await_end_of_answer(state: TurnState, _event: events.SpeechEnded, now: float) -> None:
    """The answer is complete if the silence lasts as long as the words ask for."""
    if not state.awaits_final:
        await_end_of_turn(state, now)


@rule(events.Partial, "awaiting_consent")
def adjust_silence_of_answer(state: TurnState, _event: events.Partial, now: float) -> None:
    """The new words say how much silence completes the answer."""
    if events.EndOfTurnDue in state.timers:
        await_end_of_turn(state, now)


@rule(events.EndOfTurnDue, "awaiting_consent")
def end_answer_by_silence(state: TurnState, _event: events.EndOfTurnDue, now: float) -> None:
    """The answer is complete, after the final of the last words if that is still out."""
    if finals_cover_speech(state):
        judge(state, now)
    else:
        ask_for_final(state, now)


@rule(events.Final, "awaiting_consent")
def hear_words_of_answer(state: TurnState, event: events.Final, now: float) -> None:
    """The answer is complete if this final was waited for; without words the caller goes on having time to answer."""
    keep_words(state, event)
    if not state.awaits_final:
        if state.unanswered.finals and not state.caller_speaks:
            if events.EndOfTurnDue not in state.timers:  # voice activity detection has missed them
                state.silent_since = now
            await_end_of_turn(state, now)
    elif state.unanswered.finals or now >= state.answer_until:
        judge(state, now)
    else:
        state.awaits_final = state.speech_is_uncovered = False
        state.timers.pop(events.FinalOverdue, None)
        state.timers[events.AnswerDue] = state.answer_until


@rule(events.EndOfTurn, "awaiting_consent")
def end_answer_by_recogniser(state: TurnState, _event: events.EndOfTurn, now: float) -> None:
    """The answer is complete; without words, nothing happens."""
    if state.unanswered.finals:
        judge(state, now)


@rule(events.AnswerDue, "awaiting_consent")
def end_wait_for_answer(state: TurnState, _event: events.AnswerDue, now: float) -> None:
    """Silence is a no; the recogniser is asked for words of which there may be some."""
    if state.awaits_final:
        return
    if state.caller_speaks or state.speech_is_uncovered or state.partial:
        state.timers.pop(events.EndOfTurnDue, None)
        ask_for_final(state, now)
    else:
        judge(state, now)


@rule(events.KeyPressed, "awaiting_consent")
def take_key_as_answer(state: TurnState, event: events.KeyPressed, now: float) -> None:
    """1 is a yes and 2 is a no; another key is unclear, as are first words that are a key."""
    note_key(state, event)
    if state.times_asked and event.digit in ANSWERS:
        settle(state, ANSWERS[event.digit], now)
    else:
        ask_once_more(state, now)


@rule(events.SayAsked, "asking_consent", "awaiting_consent")
def say_after_consent(state: TurnState, event: events.SayAsked, _now: float) -> None:
    """The text is said after the greeting: nothing comes before the question."""
    state.sayings.insert(0 if event.interrupt else len(state.sayings), event.saying)


@rule(events.TransferAsked, "asking_consent", "awaiting_consent")
def transfer_after_consent(state: TurnState, event: events.TransferAsked, _now: float) -> None:
    """The caller is transferred as soon as the question is settled."""
    state.transfer_to = event.target


@rule(events.DrainAsked, "asking_consent", "awaiting_consent")
def drain_before_consent(state: TurnState, _event: events.DrainAsked, now: float) -> None:
    """`limits.goodbye` is said, then the call ends."""
    close(state, state.limits.goodbye, events.Ending("drained"), now)


def await_first_words(state: TurnState, within_s: float, now: float) -> None:
    """Waits for the first words of a caller who is to speak first, before they are told or asked."""
    state.enter("awaiting_consent")
    state.answer_until = state.timers[events.AnswerDue] = now + within_s


def ask(state: TurnState, request: events.ConsentRequest) -> None:
    """Has the announcement or the question said; it answers the words that wait for an answer."""
    state.times_asked += 1
    state.spoke_over_question = False
    finals = state.unanswered.finals
    answers = utterance_of(finals) if finals else None
    state.replying_to = None
    state.enter("asking_consent")
    state.actions.append(actions.Announce(request.text, answers=answers, inputs=state.unanswered.take()))


def judge(state: TurnState, now: float) -> None:
    """The caller has answered, or has said nothing."""
    state.speech_is_uncovered = False
    finals = state.unanswered.finals
    answer = answer_of(" ".join(final.text for final in finals)) if finals and state.times_asked else None
    if answer is not None:
        state.unanswered.set_aside()
        settle(state, "given" if answer else "refused", now)
    elif finals or state.spoke_over_question or not state.times_asked:
        ask_once_more(state, now)
    else:
        settle(state, "refused", now)


def ask_once_more(state: TurnState, now: float) -> None:
    """Asks, or asks again; an answer that is unclear for the second time is a no."""
    if state.consent is not None and state.times_asked < MOST_TIMES:
        ask(state, state.consent)
    else:
        settle(state, "refused", now)


def settle(state: TurnState, consent: Consent, now: float) -> None:
    """Begins the recording, or does not, and goes on with the conversation, which has not begun yet."""
    state.consent = None
    state.actions.append(actions.SettleConsent(consent))
    state.enter("listening")
    if state.transfer_to:
        begin_transfer(state, state.transfer_to)
    else:
        go_on(state, now)


def note_key(state: TurnState, event: events.KeyPressed) -> None:
    """Keeps a key for the model, behind the words before it."""
    state.unanswered.set_aside()
    state.unanswered.note(Dtmf(event.digit))
