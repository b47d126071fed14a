"""What the program asks of a conversation, in stories of several turns."""

from program_situations import BACK, CUT_IN, LISTEN, NEWS, SAY, TRANSFERRING
from turn_situations import DIALS, ENDPOINTING, LISTENING, PATHS, PREEMPTIVE, SPEAKING, USER_SPEAKING, play, say

from voicepipe.calls.turns.actions import Adopt, Announce, BeginTransfer, CancelReply, Discard, Prepare, Reply
from voicepipe.calls.turns.events import (
    Answered,
    DrainAsked,
    EagerEndOfTurn,
    Ending,
    FactTold,
    Final,
    KeyPressed,
    LanguageSwitched,
    Partial,
    ReplyAudible,
    ReplyEnded,
    SayAsked,
    Saying,
    SayWithdrawn,
    SpeechBegan,
    SpeechEnded,
    SpeechSustained,
    ToolsEnded,
    TransferAsked,
    TransferUnanswered,
)
from voicepipe.components.requests import CallStarted, Dtmf, Told, ToolResults, Utterance

CALLED = ((0, Answered("Hi.", 4)),)


def test_a_text_waits_for_the_reply_to_what_the_caller_is_saying():
    steps = (*USER_SPEAKING, (2.5, SAY), *PATHS["thinking"][len(USER_SPEAKING) :], (4, ReplyAudible()))
    _, actions = play((*steps, (5, ReplyEnded())))
    assert actions == [LISTEN]


def test_texts_are_said_in_the_order_in_which_they_were_asked_for():
    taking, actions = play((*SPEAKING, (4.2, SAY), (4.3, SayAsked(Saying("And this.", 2))), (5, ReplyEnded())))
    assert actions == [LISTEN]
    taking.feed(ReplyAudible(), 5.1)
    assert taking.feed(ReplyEnded(), 6) == [Announce("And this.", saying=2)]


def test_a_text_that_is_withdrawn_is_not_said():
    _, actions = play((*SPEAKING, (4.2, SAY), (4.3, SayWithdrawn(1)), (5, ReplyEnded())))
    assert actions == []


def test_a_reply_that_is_interrupted_unheard_is_requested_again():
    _, actions = play((*PATHS["thinking_of_key"], (2.1, CUT_IN), (2.2, ReplyAudible()), (3, ReplyEnded())))
    assert actions == [Reply(Dtmf("1"), ())]


def test_results_that_nobody_has_heard_of_are_told_again():
    steps = (*LISTENING, (2, ToolsEnded({"1": "booked"})), (2.1, CUT_IN), (2.2, ReplyAudible()))
    _, actions = play((*steps, (3, ReplyEnded())))
    assert actions == [Reply(ToolResults({"1": "booked"}))]


def test_words_that_are_spoken_over_are_replied_to_afterwards():
    steps = (*USER_SPEAKING, (2.5, CUT_IN), (2.6, ReplyAudible()), (3, SpeechEnded(0.2, 2800)))
    taking, _ = play((*steps, (3.1, Final("hello", audio_ms=2800)), (3.4, ReplyEnded())))
    assert taking.phase == "endpointing"
    assert taking.fire_timers(4) == [Reply(Utterance("hello"))]


def test_facts_that_come_while_the_agent_speaks_get_one_reply():
    _, actions = play((*SPEAKING, (4.2, FactTold(NEWS)), (4.3, FactTold(Told("It snows."))), (5, ReplyEnded())))
    assert actions == [Reply(Told("It rains.\nIt snows."))]


def test_a_fact_that_the_model_has_read_with_the_callers_words_needs_no_reply_of_its_own():
    taking, actions = play((*PATHS["endpointing_covered"], (3.4, FactTold(NEWS)), (3.7, "tick")))
    assert [type(action) for action in actions] == [Reply]
    taking.feed(ReplyAudible(), 4)
    assert taking.feed(ReplyEnded(), 5) == []


def test_a_reply_that_was_prepared_without_a_fact_is_discarded():
    steps = (*USER_SPEAKING, (2.5, Partial("hello")), (2.8, EagerEndOfTurn()))
    taking, actions = play(steps, PREEMPTIVE)
    assert actions == [Prepare(Utterance("hello"))]
    assert taking.feed(FactTold(None), 2.9) == [Discard()]


def test_the_callers_first_words_are_answered_by_the_greeting():
    taking, _ = play((*CALLED, *say("hello?", 2)))
    assert taking.fire_timers(3) == [Announce("Hi.", answers=Utterance("hello?"))]


def test_or_by_the_model_where_there_is_no_greeting():
    taking, _ = play(((0, Answered(None, 4)), *say("hello?", 2)))
    assert taking.fire_timers(3) == [Reply(Utterance("hello?"))]


def test_no_reply_to_first_words_is_prepared_if_a_greeting_answers_them():
    steps = ((1, SpeechBegan()), (1.3, Partial("hello")), (1.5, SpeechEnded(0.2, 1300)))
    _, actions = play((*CALLED, *steps), PREEMPTIVE)
    assert actions == []
    taking, actions = play(((0, Answered(None, 4)), *steps), PREEMPTIVE)
    assert actions == [Prepare(Utterance("hello"))]
    taking.feed(Final("hello", audio_ms=1300), 1.6)
    assert taking.fire_timers(3) == [Adopt(Utterance("hello"))]
    assert not taking.state.greeting_is_due


def test_a_noise_in_place_of_first_words_is_followed_by_the_greeting():
    steps = ((3.5, SpeechBegan()), (3.6, Partial("")), (3.8, SpeechEnded(0.1, 3700)), (4.1, "tick"), (5, "tick"))
    taking, _ = play((*CALLED, *steps))
    assert taking.feed(Final("", audio_ms=3700), 5.1) == [Announce("Hi.")]


def test_a_menu_key_or_a_reply_takes_the_greetings_place():
    _, actions = play((*CALLED, (1, KeyPressed("5")), (1.1, ReplyAudible()), (2, ReplyEnded())))
    assert actions == []
    taking, actions = play((*CALLED, (1, FactTold(NEWS)), (1.1, ReplyAudible()), (2, ReplyEnded()), (4.5, "tick")))
    assert actions == []
    assert taking.phase == "listening"


def test_what_the_program_says_meanwhile_does_not():
    taking, actions = play((*CALLED, (1, SAY), (1.1, ReplyAudible()), (2, ReplyEnded())))
    assert (actions, taking.phase) == ([], "listening")
    assert taking.fire_timers(4) == [Announce("Hi.")]


def test_a_model_that_was_to_speak_first_speaks_after_a_text_that_interrupts():
    _, actions = play(((0, Answered(None)), (0.1, CUT_IN), (0.2, ReplyAudible()), (1, ReplyEnded())))
    assert actions == [Reply(CallStarted())]


def test_a_transfer_waits_for_the_reply_to_an_interruption():
    steps = (*SPEAKING, (4.2, TransferAsked("100")), (4.5, SpeechBegan()), (4.6, SpeechSustained()))
    steps = (*steps, (4.8, Partial("wait")), (5.2, SpeechEnded(0.2, 5000)), (5.3, Final("wait", audio_ms=5000)))
    taking, actions = play((*steps, (6, "tick")))
    assert [type(action) for action in actions] == [Reply]
    taking.feed(ReplyAudible(), 6.5)
    assert taking.feed(ReplyEnded(), 7) == [BeginTransfer("100")]


def test_what_was_dialled_before_a_transfer_is_not_lost():
    taking, actions = play((*PATHS["dialling"], (3, TransferAsked("100"))), DIALS)
    assert actions == [BeginTransfer("100")]
    assert taking.feed(TransferUnanswered(BACK), 5) == [Reply(BACK, (Dtmf("42"),))]


def test_what_was_to_be_said_during_a_transfer_is_said_after_the_reply_to_its_failure():
    taking, _ = play((*TRANSFERRING, (3, SAY), (4, TransferUnanswered(BACK)), (4.1, ReplyAudible())))
    assert taking.feed(ReplyEnded(), 5) == [LISTEN]


def test_a_reply_after_which_a_drained_call_would_end_may_transfer_first():
    steps = (*SPEAKING, (4.2, DrainAsked()), (5, ReplyEnded(Ending("transfer_requested", "100"))))
    taking, actions = play(steps)
    assert actions == [BeginTransfer("100")]
    assert taking.feed(TransferUnanswered(BACK), 8) == [Announce("Bye.")]


def test_backchannels_are_those_of_the_language_that_was_switched_to():
    taking, _ = play((*LISTENING, (2, LanguageSwitched("de"))))
    assert taking.state.language == "de"


def test_an_interrupted_reply_was_not_interrupted_by_the_caller():
    _, actions = play((*SPEAKING, (4.5, CUT_IN)))
    assert actions == [CancelReply(retracted=False, by_program=True), LISTEN]


def test_after_the_end_of_a_turn_the_words_of_it_are_not_spoken_over_by_a_text_that_waits():
    taking, actions = play((*ENDPOINTING, (3.3, SAY)))
    assert (actions, taking.phase) == ([], "endpointing")
