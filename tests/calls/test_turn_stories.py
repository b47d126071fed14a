"""Stories of turn-taking that cross rows of its table: retracted replies, words beside keys, failures, prompts."""

from __future__ import annotations

import pytest
from attrs import evolve
from turn_situations import (
    AWAITING_FINAL,
    CANCEL,
    CLOSING,
    DIALS,
    ENDPOINTING,
    HELLO,
    HELLO_REPLY,
    LIMITS,
    LISTENING,
    NO_BARGE_IN,
    ON_FAILURE,
    SPEAKING,
    THINKING,
    TURNS,
    USER_SPEAKING,
    answered,
    dial,
    play,
    say,
    told,
)

from voicepipe.calls.turns.actions import (
    Announce,
    BeginTransfer,
    CancelReply,
    End,
    FinaliseTranscript,
    Reply,
)
from voicepipe.calls.turns.events import (
    DrainAsked,
    Ending,
    EndOfTurn,
    Final,
    KeyPressed,
    RecogniserFound,
    RecogniserLost,
    ReplyAudible,
    ReplyEnded,
    RoleFailed,
    SpeechBegan,
    SpeechEnded,
    SpeechSustained,
    TransferUnanswered,
)
from voicepipe.calls.turns.rules.closing import LAST_WORDS_S
from voicepipe.calls.turns.turn_taking import TurnTaking
from voicepipe.components.requests import Silence, Told, Utterance
from voicepipe.config.call_settings import (
    KeyAction,
    OnFailure,
    TransferTo,
    TurnsSettings,
)


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
    ],
)
def test_a_failure_ends_as_configured(then, ending):
    on_failure = OnFailure(say="Sorry.", then=then)
    _, actions = play((*SPEAKING, (5, RoleFailed("gone")), (6, ReplyEnded())), on_failure=on_failure)
    assert actions == [End(ending)]


def test_after_a_failure_a_transfer_is_the_end_whoever_takes_it():
    on_failure = OnFailure(say="Sorry.", then=TransferTo("100"))
    taking, actions = play((*SPEAKING, (5, RoleFailed("gone")), (6, ReplyEnded())), on_failure=on_failure)
    assert actions == [BeginTransfer("100")]
    assert taking.feed(TransferUnanswered(Told("busy", "100")), 8) == [End(Ending("failed", "gone"))]


def test_an_apology_that_hangs_keeps_nobody_from_being_transferred():
    on_failure = OnFailure(say="Sorry.", then=TransferTo("100"))
    _, actions = play((*SPEAKING, (5, RoleFailed("gone")), (35, "tick")), on_failure=on_failure)
    assert actions == [CancelReply(retracted=False, by_program=True), BeginTransfer("100")]


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
    assert taking.spoke_at.ended == 2.6
    taking, _ = play((*ENDPOINTING, (3.3, HELLO), (3.4, EndOfTurn())))
    assert taking.spoke_at.ended == pytest.approx(3.0)
