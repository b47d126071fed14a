"""Situations of turn-taking, as the steps that lead to them, for tests: `play` brings a conversation there."""

from __future__ import annotations

from attrs import evolve

from voicepipe.calls.turns.actions import (
    Announce,
    CancelReply,
    Prepare,
    Reply,
)
from voicepipe.calls.turns.events import (
    Answered,
    DrainAsked,
    EagerEndOfTurn,
    Final,
    KeyPressed,
    Partial,
    RecogniserLost,
    ReplyAudible,
    ReplyEnded,
    SpeechBegan,
    SpeechEnded,
    SpeechSustained,
    ToolsBegan,
    ToolsEnded,
    TurnResumed,
)
from voicepipe.calls.turns.turn_taking import TurnTaking
from voicepipe.components.requests import Dtmf, Utterance
from voicepipe.config.call_settings import (
    BargeInSettings,
    DtmfSettings,
    LimitsSettings,
    OnFailure,
    TurnsSettings,
)

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
BY_PROGRAM = CancelReply(retracted=False, by_program=True)
WANT_5 = (Utterance("I want to"), Dtmf("5"))
HELLO_AND_HASH = Reply(HELLO_REPLY.trigger, (HELLO_REPLY.trigger, Dtmf("#")))
SORRY, BYE = Announce("Sorry.", apology=True), Announce("Bye.")


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
