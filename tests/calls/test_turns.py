"""The table of turn-taking: what each row does, one case a row, and a few stories that cross rows."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
from attrs import evolve, frozen

from voicepipe.calls.turns.actions import (
    Adopt,
    Announce,
    CancelReply,
    Discard,
    End,
    FinaliseTranscript,
    GiveUpOnFinal,
    PauseReply,
    Prepare,
    Reply,
    ResumeReply,
)
from voicepipe.calls.turns.events import (
    Answered,
    DigitsDue,
    DrainAsked,
    EagerEndOfTurn,
    Ending,
    EndOfTurn,
    EndOfTurnDue,
    Final,
    FinalOverdue,
    IdleDue,
    KeyPressed,
    LastWordsOverdue,
    MaxLengthDue,
    Partial,
    ProtectionOver,
    RecogniserFound,
    RecogniserLost,
    ReplyAudible,
    ReplyEnded,
    ResumeDue,
    RoleFailed,
    SpeechBegan,
    SpeechEnded,
    SpeechSustained,
    ToolsBegan,
    ToolsEnded,
    ToolSlow,
    TurnResumed,
    WarningDue,
)
from voicepipe.calls.turns.rules import RULES, rules_table
from voicepipe.calls.turns.rules.closing import LAST_WORDS_S
from voicepipe.calls.turns.turn_taking import TurnTaking
from voicepipe.components.requests import CallStarted, Dtmf, Silence, ToolResults, Utterance
from voicepipe.config.call_settings import (
    BargeInSettings,
    DtmfSettings,
    KeyAction,
    LimitsSettings,
    OnFailure,
    TransferTo,
    TurnsSettings,
)

DOCS = Path(__file__).parents[2] / "docs"

TURNS = TurnsSettings(end_of_turn_ms=600)
LIMITS = LimitsSettings(max_call_minutes=1, idle_prompt_s=10, idle_prompts=1, goodbye="Bye.")
ON_FAILURE = OnFailure(say="Sorry.", then="dialplan")

HELLO = Final("hello", "en", 0.9, audio_ms=3000)
"""Reaches to the end of the speech below."""


def cut_short(at):
    """A reply that is heard for half a second, and then asked for again by what the caller said over it."""
    return (
        (at, KeyPressed("1")),
        (at + 0.1, ReplyAudible()),
        (at + 0.4, SpeechBegan()),
        (at + 0.6, SpeechSustained()),
        (at + 0.7, Partial("no")),
        (at + 1.2, SpeechEnded(0.2, at * 1000)),
        (at + 1.3, Final("no", audio_ms=at * 1000)),
    )


THINKING_FIRST = ((0, Answered("Hi.")),)
SPEAKING_FIRST = (*THINKING_FIRST, (0.1, ReplyAudible()))
LISTENING = (*SPEAKING_FIRST, (1, ReplyEnded()))
USER_SPEAKING = (*LISTENING, (2, SpeechBegan()))
ENDPOINTING = (*USER_SPEAKING, (3.2, SpeechEnded(0.2, 3000)))
AWAITING_FINAL = (*ENDPOINTING, (3.6, "tick"))
THINKING = (*AWAITING_FINAL, (3.7, HELLO))
SPEAKING = (*THINKING, (4, ReplyAudible()))
INTERRUPTED = (*SPEAKING, (4.5, SpeechBegan()), (4.6, SpeechSustained()))
CLOSING = (*LISTENING, (2, DrainAsked()))
PATHS = {
    "answered": (),
    "thinking_first": THINKING_FIRST,
    "listening": LISTENING,
    "prompted": (*LISTENING, (11, "tick"), (11.5, ReplyAudible()), (12, ReplyEnded())),
    "user_speaking": USER_SPEAKING,
    "user_speaking_with_words": (*USER_SPEAKING, (2.5, evolve(HELLO, audio_ms=2500))),
    "endpointing": ENDPOINTING,
    "endpointing_covered": (*ENDPOINTING, (3.3, HELLO)),
    "awaiting_final": AWAITING_FINAL,
    "awaiting_final_with_words": (
        *USER_SPEAKING,
        (2.5, evolve(HELLO, audio_ms=2500)),
        *ENDPOINTING[-1:],
        (3.6, "tick"),
    ),
    "thinking": THINKING,
    "thinking_of_key": (*LISTENING, (2, KeyPressed("1"))),
    "speaking": SPEAKING,
    "speaking_over": (*SPEAKING, (4.5, SpeechBegan())),
    "draining": (*SPEAKING, (4.5, DrainAsked())),
    "interrupted": INTERRUPTED,
    "interrupted_and_silent": (*INTERRUPTED, (5.2, SpeechEnded(0.2, 5000))),
    "interrupted_and_asked": (*INTERRUPTED, (5.8, "tick")),
    "resumed_early": (*INTERRUPTED, (5.2, SpeechEnded(0.2, 5000)), (6.4, "tick")),
    "resumed_over_speech": (*INTERRUPTED, (4.7, Partial("")), (5.8, "tick")),
    "spoken_over": (*SPEAKING, (4.5, SpeechBegan()), (4.6, SpeechSustained())),
    "spoken_over_and_asked": (
        *SPEAKING,
        (4.5, SpeechBegan()),
        (4.6, SpeechSustained()),
        (5.2, SpeechEnded(0.2, 5000)),
    ),
    "interrupted_with_partials": (*SPEAKING, (4.2, Partial("")), (4.5, SpeechBegan()), (4.6, SpeechSustained())),
    "noise": (*LISTENING, (1.5, Partial("")), (2, SpeechBegan())),
    "noise_after_words": (*LISTENING, (1.5, Partial("")), (2, SpeechBegan()), (2.5, HELLO)),
    "noise_asked_about": (*USER_SPEAKING, (12, "tick")),
    "with_tools": (*LISTENING, (2, ToolsBegan())),
    "protected": (*SPEAKING[:-1], (4, ReplyAudible()), (4.1, SpeechBegan()), (4.3, SpeechSustained())),
    "dialling": (*LISTENING, (2, KeyPressed("4")), (2.5, KeyPressed("2"))),
    "dialling_over_speech": (*USER_SPEAKING, (2.2, KeyPressed("4"))),
    "dialling_after_speech": (*ENDPOINTING, (3.3, KeyPressed("4"))),
    "dialling_thinking": (*LISTENING, (2, KeyPressed("4")), (2.1, ToolsEnded({"1": "done"}))),
    "dialling_speaking": (*LISTENING, (2, KeyPressed("4")), (2.1, ToolsEnded({"1": "done"})), (2.2, ReplyAudible())),
    "dialling_interrupted": (
        *LISTENING,
        (2, KeyPressed("4")),
        (2.1, ToolsEnded({"1": "done"})),
        (2.2, ReplyAudible()),
        (2.9, SpeechBegan()),
        (3.0, SpeechSustained()),
    ),
    "cut_by_half_a_word": (
        *INTERRUPTED,
        (4.7, Partial("st")),
        (5.2, SpeechEnded(0.2, 5000)),
        (5.9, "tick"),
    ),
    "cut_short_three_times": (
        *(step for at in (4, 8, 12) for step in cut_short(at)),
        (15.9, KeyPressed("1")),
        (16, ReplyAudible()),
        (16.1, SpeechBegan()),
    ),
    "key_after_half_a_sentence": (*USER_SPEAKING, (2.5, Partial("I want")), (3, KeyPressed("5"))),
    "in_words": (*USER_SPEAKING, (2.5, Partial("hello"))),
    "guessed": (*USER_SPEAKING, (2.5, Partial("hello")), (2.8, EagerEndOfTurn())),
    "guessed_and_silent": (
        *USER_SPEAKING,
        (2.5, Partial("hello")),
        (2.8, EagerEndOfTurn()),
        (3.2, SpeechEnded(0.2, 3000)),
    ),
    "guess_resumed": (*USER_SPEAKING, (2.5, Partial("hello")), (2.8, EagerEndOfTurn()), (2.9, TurnResumed())),
    "guess_resumed_and_silent": (
        *USER_SPEAKING,
        (2.5, Partial("hello")),
        (2.8, EagerEndOfTurn()),
        (2.9, TurnResumed()),
        (3.2, SpeechEnded(0.2, 3000)),
    ),
    "guessed_and_final": (*USER_SPEAKING, (2.5, Partial("hello")), (2.8, EagerEndOfTurn()), (2.9, HELLO)),
    "guess_of_a_lost_recogniser": (
        *USER_SPEAKING,
        (2.5, Partial("hello")),
        (2.8, EagerEndOfTurn()),
        (2.9, RecogniserLost()),
        (3.0, Partial("hello you")),
    ),
    "closing": CLOSING,
}


def play(steps, turns=TURNS, limits=LIMITS, on_failure=ON_FAILURE):
    """A conversation after these steps, and what the last of them asked for."""
    taking = TurnTaking(turns, limits, on_failure)
    actions = []
    for now, event in steps:
        actions = taking.fire_timers(now) if event == "tick" else taking.feed(event, now)
    return taking, actions


@frozen
class Case:
    path: str
    """Into which situation the call is brought first."""
    event: object
    """What happens then, or the timer that runs out."""
    now: float
    """When."""
    actions: list
    """What is to be done about it."""
    phase: str
    """Afterwards."""
    turns: TurnsSettings = TURNS


HELLO_REPLY = Reply(Utterance("hello", "en", 0.9))
MIN_WORDS = TurnsSettings(barge_in=BargeInSettings(min_words=2))
FOR_GOOD = TurnsSettings(barge_in=BargeInSettings(resume_ms=0))
PROTECTED = TurnsSettings(barge_in=BargeInSettings(protect_ms=1000))
DIALS = TurnsSettings(dtmf=DtmfSettings(gap_ms=1500))
DIALS_SLOWLY = TurnsSettings(dtmf=DtmfSettings(gap_ms=5000))
NO_BARGE_IN = TurnsSettings(barge_in=BargeInSettings(enabled=False))
PREEMPTIVE = TurnsSettings(preemptive=True)
BEGIN, BEGIN_ANEW = Prepare(Utterance("hello")), Prepare(Utterance("hello you"))
RETRACT, CANCEL = CancelReply(retracted=True), CancelReply(retracted=False)
WANT_5 = (Utterance("I want to"), Dtmf("5"))
HELLO_AND_HASH = Reply(HELLO_REPLY.trigger, (HELLO_REPLY.trigger, Dtmf("#")))
SORRY, BYE = Announce("Sorry.", apology=True), Announce("Bye.")

CASES = [
    # Answering.
    Case("answered", Answered("Hi."), 0, [Announce("Hi.")], "thinking"),
    Case("answered", Answered(None), 0, [Reply(CallStarted())], "thinking"),
    # Listening.
    Case("listening", SpeechBegan(), 2, [], "user_speaking"),
    Case("listening", HELLO, 2, [], "endpointing"),
    Case("listening", Final(""), 2, [], "listening"),
    Case("listening", KeyPressed("5"), 2, [Reply(Dtmf("5"))], "thinking"),
    Case("listening", IdleDue(), 11, [Reply(Silence(1))], "thinking"),
    Case("prompted", IdleDue(), 22, [BYE], "closing"),
    # The caller speaks.
    Case("user_speaking", HELLO, 2.5, [], "user_speaking"),
    Case("user_speaking", SpeechEnded(0.2, 3000), 3.2, [], "endpointing"),
    Case("user_speaking", EndOfTurn(), 3, [], "user_speaking"),
    Case("user_speaking_with_words", EndOfTurn(), 3, [HELLO_REPLY], "thinking"),
    Case("user_speaking", KeyPressed("5"), 3, [Reply(Dtmf("5"))], "thinking"),
    # The recogniser guesses that the turn is over.
    Case("in_words", EagerEndOfTurn(), 2.8, [], "user_speaking"),
    Case("in_words", EagerEndOfTurn(), 2.8, [BEGIN], "user_speaking", PREEMPTIVE),
    Case("user_speaking", EagerEndOfTurn(), 2.8, [], "user_speaking", PREEMPTIVE),
    Case("guessed", EagerEndOfTurn(), 3, [], "user_speaking", PREEMPTIVE),
    Case("guessed", Partial("Hello."), 3, [], "user_speaking", PREEMPTIVE),
    Case("guessed", Partial("hello you"), 3, [Discard()], "user_speaking", PREEMPTIVE),
    Case("guessed", Final("hello you"), 3, [Discard()], "user_speaking", PREEMPTIVE),
    Case("guessed", TurnResumed(), 3, [Discard()], "user_speaking", PREEMPTIVE),
    Case("guessed", TurnResumed(), 3, [], "user_speaking"),
    Case("guessed", SpeechEnded(0.2, 3000), 3.2, [], "endpointing", PREEMPTIVE),
    Case("guessed", KeyPressed("5"), 3, [Discard(), FinaliseTranscript()], "endpointing", PREEMPTIVE),
    Case("guessed", DrainAsked(), 3, [Discard(), BYE], "closing", PREEMPTIVE),
    Case("guessed_and_final", EndOfTurn(), 3, [Adopt(Utterance("hello", "en", 0.9))], "thinking", PREEMPTIVE),
    Case("guessed_and_silent", EagerEndOfTurn(), 3.4, [], "endpointing", PREEMPTIVE),
    Case("guessed_and_silent", TurnResumed(), 3.4, [Discard()], "endpointing", PREEMPTIVE),
    Case("guessed_and_silent", Partial("hello you"), 3.4, [Discard()], "endpointing", PREEMPTIVE),
    Case("guessed_and_silent", SpeechBegan(), 3.4, [Discard()], "user_speaking", PREEMPTIVE),
    Case("guess_resumed", SpeechEnded(0.2, 3000), 3.2, [], "endpointing", PREEMPTIVE),
    Case("guess_resumed", EagerEndOfTurn(), 3, [BEGIN], "user_speaking", PREEMPTIVE),
    Case("guess_resumed_and_silent", EagerEndOfTurn(), 3.4, [BEGIN], "endpointing", PREEMPTIVE),
    Case("guess_of_a_lost_recogniser", SpeechEnded(0.2, 3000), 3.2, [BEGIN_ANEW], "endpointing", PREEMPTIVE),
    Case("in_words", SpeechEnded(0.2, 3000), 3.2, [BEGIN], "endpointing", PREEMPTIVE),
    # The caller has stopped.
    Case("endpointing", SpeechBegan(), 3.4, [], "user_speaking"),
    Case("endpointing", HELLO, 3.4, [], "endpointing"),
    Case("endpointing", EndOfTurnDue(), 3.6, [FinaliseTranscript()], "endpointing"),
    Case("endpointing_covered", EndOfTurnDue(), 3.6, [HELLO_REPLY], "thinking"),
    Case("endpointing_covered", EndOfTurn(), 3.4, [HELLO_REPLY], "thinking"),
    Case("endpointing", EndOfTurn(), 3.4, [], "endpointing"),
    Case("endpointing", KeyPressed("5"), 3.4, [Reply(Dtmf("5"))], "thinking"),
    Case("awaiting_final", HELLO, 3.7, [HELLO_REPLY], "thinking"),
    Case("awaiting_final", Final(""), 3.7, [], "listening"),
    Case("awaiting_final", FinalOverdue(), 5.1, [GiveUpOnFinal()], "endpointing"),
    Case("awaiting_final", RecogniserLost(), 4, [], "endpointing"),
    Case("awaiting_final", RecogniserFound(), 4, [], "endpointing"),
    Case("awaiting_final", SpeechBegan(), 3.7, [], "user_speaking"),
    Case("awaiting_final_with_words", FinalOverdue(), 5.1, [GiveUpOnFinal()], "endpointing"),
    # Thinking: the reply is not heard yet.
    Case("thinking_first", ReplyAudible(), 1, [], "speaking"),
    Case("thinking_first", SpeechSustained(), 1, [], "thinking"),
    Case("thinking", ReplyAudible(), 4, [], "speaking"),
    Case("thinking", SpeechSustained(), 4, [RETRACT], "user_speaking"),
    Case("thinking", Final("again"), 4, [RETRACT, Reply(Utterance("hello again"))], "thinking"),
    Case("thinking", Final(""), 4, [], "thinking"),
    Case("thinking_of_key", HELLO, 4, [], "thinking"),
    Case("thinking_of_key", SpeechSustained(), 4, [], "thinking"),
    Case("thinking", KeyPressed("5"), 4, [CANCEL, Reply(Dtmf("5"))], "thinking"),
    Case("thinking", ReplyEnded(), 4, [], "listening"),
    # Speaking.
    Case("speaking", Final("yes"), 4.5, [], "speaking"),
    Case("speaking_over", SpeechSustained(), 4.6, [PauseReply()], "interrupted"),
    Case("speaking_over", SpeechSustained(), 4.6, [CANCEL], "user_speaking", FOR_GOOD),
    Case("speaking_over", SpeechSustained(), 4.6, [], "speaking", NO_BARGE_IN),
    Case("speaking_over", SpeechSustained(), 4.6, [], "speaking", MIN_WORDS),
    Case("speaking_over", Partial("no"), 4.7, [], "speaking", MIN_WORDS),
    Case("speaking_over", Partial("no wait"), 4.7, [CANCEL], "user_speaking", MIN_WORDS),
    Case("speaking", Partial("no wait"), 4.7, [], "speaking", MIN_WORDS),
    Case("speaking_over", Partial("no wait"), 4.7, [], "speaking"),
    Case("spoken_over", SpeechEnded(0.2, 5000), 5.2, [], "speaking", NO_BARGE_IN),
    Case("spoken_over", SpeechEnded(0.2, 5000), 5.2, [FinaliseTranscript()], "speaking", MIN_WORDS),
    Case("spoken_over_and_asked", Final("no"), 5.4, [], "speaking", MIN_WORDS),
    Case("spoken_over_and_asked", Final("no wait"), 5.4, [CANCEL], "endpointing", MIN_WORDS),
    Case("spoken_over_and_asked", Final("no wait"), 5.4, [], "speaking", NO_BARGE_IN),
    Case("resumed_early", Partial("uh-huh"), 6.5, [], "speaking"),
    Case("resumed_early", Partial("no"), 6.5, [CANCEL], "endpointing"),
    Case("resumed_early", Final("no"), 6.5, [CANCEL], "endpointing"),
    Case("resumed_early", Final("uh-huh"), 6.5, [], "speaking"),
    Case("resumed_over_speech", Partial("no"), 6, [CANCEL], "user_speaking"),
    Case("speaking", KeyPressed("5"), 4.5, [CANCEL, Reply(Dtmf("5"))], "thinking"),
    Case("speaking", ReplyEnded(), 6, [], "listening"),
    Case("speaking_over", ReplyEnded(), 6, [], "user_speaking"),
    Case("speaking", ReplyEnded(Ending("agent_hung_up")), 6, [End(Ending("agent_hung_up"))], "closing"),
    Case("draining", ReplyEnded(), 6, [BYE], "closing"),
    Case("protected", ProtectionOver(), 5, [PauseReply()], "interrupted", PROTECTED),
    Case("protected", SpeechSustained(), 4.5, [], "speaking", PROTECTED),
    Case("speaking", Final("uh-huh"), 4.5, [], "speaking"),
    # Interrupted, perhaps.
    Case("interrupted", Partial("no"), 4.7, [CANCEL], "user_speaking"),
    Case("interrupted", Partial("mm-hmm"), 4.7, [], "interrupted"),
    Case("interrupted", Final("no"), 5, [CANCEL], "user_speaking"),
    Case("interrupted_and_silent", Final("no"), 5.3, [CANCEL], "endpointing"),
    Case("interrupted_and_silent", Partial("no"), 5.3, [CANCEL], "endpointing"),
    Case("interrupted_and_silent", Final(""), 5.3, [ResumeReply(wordless=True)], "speaking"),
    Case("interrupted_and_silent", Final("Uh-huh."), 5.3, [ResumeReply(wordless=False)], "speaking"),
    Case("interrupted", Final(""), 5, [], "interrupted"),
    Case("interrupted", SpeechEnded(0.2, 5000), 5.2, [FinaliseTranscript()], "interrupted"),
    Case("interrupted_with_partials", ResumeDue(), 5.8, [ResumeReply(wordless=True)], "speaking"),
    Case("interrupted", ResumeDue(), 5.8, [FinaliseTranscript()], "interrupted"),
    Case("interrupted_and_asked", Final(""), 5.9, [ResumeReply(wordless=True)], "speaking"),
    Case("interrupted_and_asked", ResumeDue(), 7.4, [ResumeReply(wordless=True)], "speaking"),
    Case("interrupted_and_silent", ResumeDue(), 6.4, [ResumeReply(wordless=True)], "speaking"),
    Case("interrupted", ReplyEnded(), 4.7, [], "user_speaking"),
    Case("interrupted", KeyPressed("5"), 4.7, [CANCEL, FinaliseTranscript()], "endpointing"),
    Case("interrupted_with_partials", KeyPressed("5"), 4.7, [CANCEL, Reply(Dtmf("5"))], "thinking"),
    Case("interrupted", DrainAsked(), 4.7, [], "interrupted"),
    # A reply that was cut off for nothing.
    Case("cut_by_half_a_word", Final(""), 6.0, [Reply(Silence(1))], "thinking"),
    Case("cut_by_half_a_word", Final("stop"), 6.0, [Reply(Utterance("stop"))], "thinking"),
    Case("cut_short_three_times", SpeechSustained(), 16.3, [], "speaking"),
    Case("cut_short_three_times", KeyPressed("5"), 16.3, [CANCEL, Reply(Dtmf("5"))], "thinking"),
    # Words and noise.
    Case("noise", Partial("he"), 3, [], "user_speaking"),
    Case("noise", IdleDue(), 12, [Reply(Silence(1))], "thinking"),
    Case("noise_after_words", IdleDue(), 12.5, [HELLO_REPLY], "thinking"),
    Case("user_speaking", IdleDue(), 12, [FinaliseTranscript()], "endpointing"),
    Case("noise_asked_about", Final(""), 12.1, [Reply(Silence(1))], "thinking"),
    Case("noise_asked_about", HELLO, 12.1, [HELLO_REPLY], "thinking"),
    Case("endpointing", Partial("hello and"), 3.3, [], "endpointing"),
    # Keys.
    Case("dialling", DigitsDue(), 4, [Reply(Dtmf("42"))], "thinking", DIALS),
    Case("dialling_over_speech", DigitsDue(), 3.7, [Reply(Dtmf("4"))], "thinking", DIALS),
    Case("dialling_after_speech", DigitsDue(), 4.8, [FinaliseTranscript(), Reply(Dtmf("4"))], "thinking", DIALS),
    Case("dialling", KeyPressed("#"), 2.6, [Reply(Dtmf("42"))], "thinking", DIALS),
    Case("listening", KeyPressed("#"), 2.6, [], "listening", DIALS),
    Case("speaking", KeyPressed("#"), 4.6, [CANCEL], "listening", DIALS),
    Case("interrupted", KeyPressed("#"), 4.7, [CANCEL], "user_speaking", DIALS),
    Case("dialling_thinking", DigitsDue(), 4, [CANCEL, Reply(Dtmf("4"))], "thinking", DIALS),
    Case("dialling_speaking", DigitsDue(), 4, [CANCEL, Reply(Dtmf("4"))], "thinking", DIALS),
    Case("dialling_interrupted", DigitsDue(), 4, [CANCEL, FinaliseTranscript()], "endpointing", DIALS),
    # Keys and the words before them.
    Case("key_after_half_a_sentence", Final("I want to"), 3.2, [Reply(Dtmf("5"), WANT_5)], "thinking"),
    Case("key_after_half_a_sentence", Final(""), 3.2, [Reply(Dtmf("5"))], "thinking"),
    Case("key_after_half_a_sentence", SpeechBegan(), 3.2, [Reply(Dtmf("5"))], "thinking"),
    Case("key_after_half_a_sentence", RecogniserLost(), 3.2, [Reply(Dtmf("5"))], "thinking"),
    Case("key_after_half_a_sentence", FinalOverdue(), 4.5, [GiveUpOnFinal(), Reply(Dtmf("5"))], "thinking"),
    Case("key_after_half_a_sentence", KeyPressed("6"), 3.2, [Reply(Dtmf("6"), (Dtmf("5"), Dtmf("6")))], "thinking"),
    Case("key_after_half_a_sentence", DrainAsked(), 3.2, [evolve(BYE, inputs=(Dtmf("5"),))], "closing"),
    Case("endpointing_covered", KeyPressed("5"), 3.4, [Reply(Dtmf("5"), (HELLO_REPLY.trigger, Dtmf("5")))], "thinking"),
    Case("endpointing_covered", KeyPressed("#"), 3.4, [HELLO_AND_HASH], "thinking", DIALS),
    # Tools.
    Case("listening", ToolsBegan(), 2, [], "listening"),
    Case("with_tools", ToolSlow("One moment."), 3, [Announce("One moment.")], "thinking"),
    Case("with_tools", ToolsEnded({"1": "done"}), 3, [Reply(ToolResults({"1": "done"}))], "thinking"),
    # The time that is left.
    *(
        Case(path, WarningDue(), 5, actions, state)
        for path, actions, state in [
            ("listening", [Announce("We have to finish in a moment.")], "thinking"),
            ("user_speaking", [], "user_speaking"),
            ("endpointing", [], "endpointing"),
            ("thinking", [], "thinking"),
            ("speaking", [], "speaking"),
            ("interrupted", [], "interrupted"),
        ]
    ),
    # Whatever is going on.
    *(
        Case(path, RoleFailed("gone", "stt"), 6, [*cancelled, SORRY], "closing")
        for path, cancelled in [
            ("listening", []),
            ("user_speaking", []),
            ("endpointing", []),
            ("thinking", [CANCEL]),
            ("speaking", [CANCEL]),
            ("interrupted", [CANCEL]),
        ]
    ),
    *(
        Case(path, MaxLengthDue(), 60, [*cancelled, BYE], "closing")
        for path, cancelled in [
            ("thinking", [CANCEL]),
            ("speaking", [CANCEL]),
        ]
    ),
    Case("listening", DrainAsked(), 2, [BYE], "closing"),
    Case("user_speaking", DrainAsked(), 3, [BYE], "closing"),
    Case("endpointing", DrainAsked(), 3.3, [BYE], "closing"),
    Case("thinking", DrainAsked(), 4, [], "thinking"),
    Case("speaking", DrainAsked(), 4.5, [], "speaking"),
    Case("thinking", RoleFailed("gone", "llm"), 4, [SORRY], "closing"),
    Case("speaking", RoleFailed("gone", "tts"), 5, [SORRY], "closing"),
    # Closing.
    Case("closing", HELLO, 3, [], "closing"),
    Case("closing", KeyPressed("1"), 3, [], "closing"),
    Case("closing", ReplyEnded(), 3, [End(Ending("drained"))], "closing"),
    Case("closing", RoleFailed("gone", "tts"), 3, [End(Ending("drained"))], "closing"),
    Case("closing", RoleFailed("gone", "stt"), 3, [], "closing"),
    Case("closing", LastWordsOverdue(), 2 + LAST_WORDS_S, [End(Ending("drained"))], "closing"),
]
TIMERS = (
    EndOfTurnDue,
    FinalOverdue,
    IdleDue,
    ResumeDue,
    ProtectionOver,
    DigitsDue,
    MaxLengthDue,
    LastWordsOverdue,
)


def max_length_while(state, now):
    """A call of two seconds at most, in a state, when they are over."""
    limits = evolve(LIMITS, max_call_minutes=now / 60)
    paths = {
        "listening": LISTENING,
        "user_speaking": USER_SPEAKING,
        "endpointing": ENDPOINTING,
        "interrupted": INTERRUPTED,
    }
    return play((*paths[state], (now, "tick")), limits=limits)


def title(case):
    return f"{case.path}-{type(case.event).__name__}"


@pytest.mark.parametrize("case", CASES, ids=title)
def test_row(case):
    event = "tick" if isinstance(case.event, TIMERS) else case.event
    path = (*PATHS[case.path], (case.now, event))
    taking, actions = play(path, case.turns)
    assert (actions, taking.phase) == (case.actions, case.phase)
    assert taking.deadline > case.now or event != "tick"


@pytest.mark.parametrize(
    ("state", "now", "cancelled"),
    [("listening", 2, []), ("user_speaking", 2.5, []), ("endpointing", 3.4, []), ("interrupted", 4.7, [CANCEL])],
)
def test_the_greatest_length_ends_a_call_that_waits(state, now, cancelled):
    taking, actions = max_length_while(state, now)
    assert (actions, taking.phase) == ([*cancelled, BYE], "closing")


def test_the_diagram_has_every_way_that_a_case_goes(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "hooks")
    diagram = importlib.import_module("diagram")
    drawn = diagram.transitions()
    ways = {(play(PATHS[case.path], case.turns)[0].phase, case.phase, type(case.event).__name__) for case in CASES}
    expected = {(before, after, event) for before, after, event in ways if before != after != "closing"}
    assert len(expected) > 30
    left_out = {way for way in expected if way[2] in diagram.EVERYWHERE}
    assert {
        (before, after, event) for (before, after), events in drawn.items() for event in events
    } >= expected - left_out


def test_words_beside_a_number_wait_for_it_and_that_is_in_the_diagram_too(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "hooks")
    drawn = importlib.import_module("diagram").transitions()
    taking, _ = play((*LISTENING, (2, KeyPressed("4")), *say("well", 3), (3.7, "tick")), DIALS_SLOWLY)
    assert taking.phase == "listening"
    assert "EndOfTurnDue" in drawn["endpointing", "listening"]


def test_a_phase_that_a_rule_does_not_name_is_no_way_in_the_diagram_but_an_error(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "hooks")
    diagram = importlib.import_module("diagram")
    monkeypatch.setattr(computed_phase, "__module__", "voicepipe.calls.turns.rules.keys")
    with pytest.raises(ValueError, match="computed_phase enters a phase that is not named there"):
        diagram.phases_entered(computed_phase)


def computed_phase(state, _event, _now):
    state.enter("listening" if state.caller_speaks else "thinking")


def test_turn_taking_loads_no_more_than_words_and_settings():
    """Neither I/O nor YAML, nor anything that makes events or does what actions ask for."""
    show = "import sys, voicepipe.calls.turns.turn_taking; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    loaded = run.stdout.split()
    assert {name.partition(".")[0] for name in loaded}.isdisjoint({"trio", "yaml", "cattrs", "numpy"})
    ours = {name for name in loaded if name.startswith("voicepipe.")}
    others = {name for name in ours if not name.startswith(("voicepipe.calls.turns", "voicepipe.text"))}
    assert others - {"voicepipe.calls", "voicepipe.components", "voicepipe.config"} == {
        "voicepipe.audio",
        "voicepipe.calls.events",
        "voicepipe.calls.usage",
        "voicepipe.components.labels",
        "voicepipe.components.requests",
        "voicepipe.config.call_settings",
        "voicepipe.errors",
        "voicepipe.roles",
    }


def test_every_row_has_a_case():
    rows = {(play(PATHS[case.path], case.turns)[0].phase, type(case.event)) for case in CASES}
    rows |= {(state, MaxLengthDue) for state in ("listening", "user_speaking", "endpointing", "interrupted")}
    assert set(RULES) - rows == set()


def test_a_timer_is_due_exactly_when_its_setting_says():
    assert play(LISTENING)[0].deadline == 11
    assert play(ENDPOINTING)[0].deadline == pytest.approx(3.6)  # 600 ms after the last of the speech
    assert play(AWAITING_FINAL)[0].deadline == pytest.approx(5.1)
    assert play(SPEAKING)[0].deadline == 60
    assert play(CLOSING)[0].deadline == 2 + LAST_WORDS_S


def test_before_its_time_a_timer_does_nothing():
    taking, actions = play((*ENDPOINTING, (3.59, "tick")))
    assert (actions, taking.phase) == ([], "endpointing")


def test_a_hang_over_longer_than_the_end_of_turn_ends_it_at_once():
    taking, _ = play((*USER_SPEAKING, (3.2, SpeechEnded(0.2, 3000))), TurnsSettings(end_of_turn_ms=100))
    assert taking.fire_timers(3.2) == [FinaliseTranscript()]


def test_what_was_said_in_parts_is_one_utterance():
    _, actions = play(
        (
            *USER_SPEAKING,
            (2.5, Final("I want", audio_ms=2500)),
            (3, Final("an appointment", "en", 0.7, audio_ms=3000)),
            (3.2, SpeechEnded(0.2, 3010)),
            (3.6, "tick"),
        )
    )
    assert actions == [Reply(Utterance("I want an appointment", "en", 0.7))]


def test_a_final_that_stops_short_of_the_speech_does_not_cover_it():
    _, actions = play((*USER_SPEAKING, (3, evolve(HELLO, audio_ms=2900)), (3.2, SpeechEnded(0.2, 3000)), (3.6, "tick")))
    assert actions == [FinaliseTranscript()]


def test_a_final_without_a_position_covers_nothing():
    _, actions = play((*ENDPOINTING, (3.3, Final("hello")), (3.6, "tick")))
    assert actions == [FinaliseTranscript()]


def test_a_retracted_utterance_comes_again_with_the_rest():
    taking, actions = play(
        (
            *THINKING,
            (3.8, SpeechBegan()),
            (3.9, SpeechSustained()),
            (4.7, SpeechEnded(0.2, 4500)),
            (5.1, "tick"),
            (5.2, Final("world", audio_ms=4500)),
        )
    )
    assert actions == [Reply(Utterance("hello world"))]
    assert taking.phase == "thinking"


def test_a_noise_that_retracted_a_reply_brings_the_same_reply_again():
    _, actions = play(
        (
            *THINKING,
            (3.8, SpeechBegan()),
            (3.9, SpeechSustained()),
            (4.7, SpeechEnded(0.2, 4500)),
            (5.1, "tick"),
            (5.2, Final("", audio_ms=4500)),
        )
    )
    assert actions == [HELLO_REPLY]


def test_a_reply_that_was_heard_is_not_retracted():
    taking, actions = play((*SPEAKING, (4.5, SpeechBegan()), (4.6, SpeechSustained()), (4.7, Final("wait"))))
    assert actions == [CANCEL]
    taking.feed(SpeechEnded(0.2, 5000), 5.2)
    assert taking.fire_timers(5.6) == [FinaliseTranscript()]
    assert taking.feed(Final("", audio_ms=5000), 5.7) == [Reply(Utterance("wait"))]


def test_speech_that_did_not_interrupt_is_answered_afterwards():
    """Too short to interrupt, or not allowed to: a "yes" into the end of the question still counts."""
    taking, actions = play(
        (*SPEAKING, (4.5, SpeechBegan()), (4.7, SpeechSustained()), (5, SpeechEnded(0.2, 4800)), (5.2, ReplyEnded())),
        NO_BARGE_IN,
    )
    assert (actions, taking.phase, taking.deadline) == ([], "endpointing", pytest.approx(5.4))
    assert taking.fire_timers(5.4) == [FinaliseTranscript()]
    assert taking.feed(Final("yes", audio_ms=4800), 5.5) == [Reply(Utterance("yes"))]


def say(text, at):
    """Speech from half a second before, and its words."""
    return (
        (at - 0.5, SpeechBegan()),
        (at - 0.3, SpeechSustained()),
        (at, SpeechEnded(0.1, at * 1000 - 100)),
        (at + 0.05, Final(text, audio_ms=at * 1000 - 100)),
    )


def dial(keys, at):
    return tuple((at + number / 10, KeyPressed(key)) for number, key in enumerate(keys))


def answered(at):
    return (at, "tick"), (at + 0.1, ReplyAudible()), (at + 0.5, ReplyEnded())


def told(*parts):
    return tuple(Dtmf(part) if part[0].isdecimal() or part == "#" else Utterance(part) for part in parts)


MENU = {"9": KeyAction(say="We are open."), "8": KeyAction(transfer="100"), "7": KeyAction(hang_up=True)}


@pytest.mark.parametrize(
    ("turns", "steps", "inputs"),
    [
        # Words before a key, and before a number.
        (TURNS, (*say("my number is", 3), *dial("5", 3.2)), [told("my number is", "5")]),
        (DIALS, (*say("my number is", 3), *dial("4711#", 3.2)), [told("my number is", "4711")]),
        (DIALS, (*say("my number is", 3), *dial("47", 3.2), (5, "tick")), [told("my number is", "47")]),
        # Words between keys stand before the number, and words after its last key behind it.
        (DIALS, (*dial("47", 2.2), *say("no wait", 3), *dial("11#", 3.2)), [told("no wait", "4711")]),
        (DIALS, (*dial("47", 2.2), *say("that is it", 3), (4, "tick")), [told("47", "that is it")]),
        (
            DIALS,
            (*say("it is", 3), *dial("4", 3.1), *say("oh", 3.9), *dial("7", 4), *say("there", 4.8), (6, "tick")),
            [told("it is", "oh", "47", "there")],
        ),
        # One number after the other, each answered.
        (DIALS, (*dial("12#", 2.1), *answered(2.4), *dial("34#", 4)), [told("12"), told("34")]),
        (TURNS, (*dial("1", 2), (2.1, ReplyAudible()), *dial("2", 2.2)), [told("1"), told("2")]),
        (TURNS, (*dial("1", 2), *dial("2", 2.1)), [told("1"), told("2")]),
        # A key that ends numbers, where there is none.
        (DIALS, (*dial("#", 2), *say("yes", 4), (5, "tick")), [told("#", "yes")]),
        (DIALS, (*say("yes", 4), *dial("#", 4.1)), [told("yes", "#")]),
        # Keys of a menu.
        (TURNS, (*say("when", 3), *dial("9", 3.1), *answered(3.2), *dial("1", 5)), [told("when", "9"), told("1")]),
        (TURNS, (*say("when", 3), *dial("8", 3.1)), [told("when", "8")]),
        (
            TURNS,
            (*say("stop", 3), *dial("7", 3.1), (3.3, Final("please")), *dial("1", 3.4)),
            [told("stop", "7"), told("please", "1")],
        ),
        # Signs of listening, over a reply.
        (
            TURNS,
            (
                *dial("1", 2),
                (2.1, ReplyAudible()),
                (2.3, Final("uh-huh")),
                (3, ReplyEnded()),
                *say("ok then", 5),
                (6, "tick"),
            ),
            [told("1"), told("uh-huh", "ok then")],
        ),
        (
            TURNS,
            (*dial("1", 2), (2.1, ReplyAudible()), (2.3, Final("uh-huh")), (3, ReplyEnded()), (20, "tick")),
            [told("1"), told("uh-huh")],
        ),
        (
            TURNS,
            (
                *dial("1", 2),
                (2.1, ReplyAudible()),
                (2.3, Final("well")),
                (2.4, Final("uh-huh")),
                (3, ReplyEnded()),
                (4, "tick"),
            ),
            [told("1"), told("well uh-huh")],
        ),
        (
            TURNS,
            (*dial("1", 2), (2.1, ReplyAudible()), (2.3, Final("uh-huh")), *dial("2", 2.5)),
            [told("1"), told("uh-huh", "2")],
        ),
        # Words that cut a reply short, and words after them.
        (
            TURNS,
            (*dial("1", 2), (2.1, ReplyAudible()), *say("no wait", 4), (5, "tick"), *say("again", 5.5), (6.5, "tick")),
            [told("1"), told("no wait"), told("no wait again")],
        ),
        # Words over the last words, and the call's end in mid-number.
        (
            DIALS,
            (*dial("12", 2), (2.5, DrainAsked()), (2.8, Final("bye")), *dial("3", 3)),
            [told("12"), told("bye", "3")],
        ),
        (DIALS, (*say("it is", 3), *dial("12", 3.2)), [told("it is", "12")]),
    ],
)
def test_everything_that_is_said_or_pressed_is_told_in_order(turns, steps, inputs):
    """The conversation gets it with a reply or an announcement; what is left at the end is for the record."""
    taking = TurnTaking(turns, LIMITS, ON_FAILURE, keys=MENU.items())
    taken = []
    for now, event in (*LISTENING, *steps):
        actions = taking.fire_timers(now) if event == "tick" else taking.feed(event, now)
        taken += [action.inputs for action in actions if isinstance(action, Reply | Announce)]
    assert [part for part in (*taken, taking.take_unanswered()) if part] == inputs


def test_speech_that_the_recogniser_has_dealt_with_is_not_waited_for():
    taking, _ = play(
        (
            *SPEAKING,
            (4.5, SpeechBegan()),
            (4.8, SpeechEnded(0.2, 4600)),
            (4.9, Final("", audio_ms=4600)),
            (6, ReplyEnded()),
        )
    )
    assert taking.phase == "listening"


def test_words_over_a_reply_are_answered_when_it_has_ended():
    taking, _ = play((*SPEAKING, (4.5, Final("yes", audio_ms=4400)), (6, ReplyEnded())))
    assert taking.phase == "endpointing"
    assert taking.fire_timers(6) == [Reply(Utterance("yes"))]


def test_prompts_are_counted_until_the_caller_says_something():
    limits = evolve(LIMITS, idle_prompts=2, max_call_minutes=10)
    path = (*LISTENING, (11, "tick"), (12, ReplyEnded()))
    taking, actions = play((*path, (22, "tick")), limits=limits)
    assert actions == [Reply(Silence(2))]
    taking, _ = play((*path, (13, KeyPressed("1")), (14, ReplyEnded())), limits=limits)
    assert taking.fire_timers(24) == [Reply(Silence(1))]


@pytest.mark.parametrize(
    ("then", "ending"),
    [
        ("dialplan", Ending("returned_to_dialplan", "gone")),
        ("hang_up", Ending("failed", "gone")),
        (TransferTo("100"), Ending("transfer_requested", "100")),
    ],
)
def test_a_failure_ends_as_configured(then, ending):
    on_failure = OnFailure(say="Sorry.", then=then)
    _, actions = play((*SPEAKING, (5, RoleFailed("gone")), (6, ReplyEnded())), on_failure=on_failure)
    assert actions == [End(ending)]


def test_the_wait_for_the_last_word_begins_anew_with_each_recogniser():
    taking, _ = play(AWAITING_FINAL)
    due = taking.deadline
    taking.feed(RecogniserLost(), 4)
    assert taking.deadline > due  # nobody is waited for
    taking.feed(RecogniserFound(), 5)
    assert taking.deadline == pytest.approx(6.5)
    assert taking.feed(HELLO, 6) == [HELLO_REPLY]


def test_a_recogniser_found_before_its_last_word_is_due_is_not_waited_for():
    taking, _ = play(ENDPOINTING)
    due = taking.deadline
    taking.feed(RecogniserLost(), 3.3)
    taking.feed(RecogniserFound(), 3.4)
    assert taking.deadline == due


@pytest.mark.parametrize("path", [LISTENING, SPEAKING])
def test_with_nothing_to_say_a_failure_ends_the_call_at_once(path):
    _, actions = play((*path, (5, RoleFailed("gone"))), on_failure=OnFailure(say=""))
    assert actions[-1] == End(Ending("returned_to_dialplan", "gone"))


def test_an_ended_call_does_nothing_any_more():
    taking, _ = play((*SPEAKING, (5, ReplyEnded(Ending("agent_hung_up")))))
    for event in (
        SpeechBegan(),
        SpeechSustained(),
        HELLO,
        KeyPressed("1"),
        ReplyEnded(),
        RoleFailed("gone"),
        DrainAsked(),
    ):
        assert taking.feed(event, 6) == []
    assert taking.fire_timers(1000) == []


def test_a_turn_that_the_recogniser_ends_has_its_silence_begin_then():
    taking, _ = play((*USER_SPEAKING, (2.5, HELLO), (2.6, EndOfTurn())))
    assert taking.spoke_at[0] == 2.6
    taking, _ = play((*ENDPOINTING, (3.3, HELLO), (3.4, EndOfTurn())))
    assert taking.spoke_at[0] == pytest.approx(3.0)


def test_the_printed_table_has_every_row_in_words():
    rows = rules_table().splitlines()[2:]
    assert len(rows) == len(RULES)
    assert all(row.count("|") == 4 and "``" not in row and not row.endswith("|  |") for row in rows)
    assert (
        "| `speaking` | `SpeechSustained`: The caller has spoken for as long as an interruption takes (VAD) |"
        in "".join(rows)
    )
