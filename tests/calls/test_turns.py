"""The table of turn-taking: the effect of each row, one case a row; and what the documentation makes of the table."""

import importlib
import subprocess
import sys
from pathlib import Path

import consent_situations
import program_situations
import pytest
from attrs import evolve, frozen
from turn_situations import (
    BEGIN,
    BEGIN_ANEW,
    BY_PROGRAM,
    BYE,
    CANCEL,
    DIALS,
    DIALS_SLOWLY,
    ENDPOINTING,
    FOR_GOOD,
    HELLO,
    HELLO_AND_HASH,
    HELLO_REPLY,
    INTERRUPTED,
    LIMITS,
    LISTENING,
    MIN_WORDS,
    NO_BARGE_IN,
    PATHS,
    PREEMPTIVE,
    PROTECTED,
    RETRACT,
    SORRY,
    TURNS,
    USER_SPEAKING,
    WANT_5,
    play,
    say,
)

from voicepipe.calls.turns.actions import (
    Adopt,
    Announce,
    Discard,
    End,
    FinaliseTranscript,
    GiveUpOnFinal,
    PauseReply,
    Reply,
    ResumeReply,
)
from voicepipe.calls.turns.events import (
    AnswerDue,
    Answered,
    DigitsDue,
    DrainAsked,
    EagerEndOfTurn,
    Ending,
    EndOfTurn,
    EndOfTurnDue,
    Final,
    FinalOverdue,
    FirstWordsDue,
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
from voicepipe.components.requests import CallStarted, Dtmf, Silence, ToolResults, Utterance
from voicepipe.config.call_settings import (
    TurnsSettings,
)

DOCS = Path(__file__).parents[2] / "docs"


@frozen
class Case:
    path: str
    """The situation, by its name in `PATHS`."""
    event: object
    """The event that happens then, or the timer that fires."""
    now: float
    """The time of the event, in s."""
    actions: list
    """The actions that it causes."""
    phase: str
    """The phase afterwards."""
    turns: TurnsSettings = TURNS


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
            ("thinking", [BY_PROGRAM]),
            ("speaking", [BY_PROGRAM]),
            ("interrupted", [BY_PROGRAM]),
        ]
    ),
    *(
        Case(path, MaxLengthDue(), 60, [*cancelled, BYE], "closing")
        for path, cancelled in [
            ("thinking", [BY_PROGRAM]),
            ("speaking", [BY_PROGRAM]),
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
    *(Case(*case) for case in program_situations.CASES),
    *(Case(*case) for case in consent_situations.CASES),
]
TIMERS = (
    AnswerDue,
    EndOfTurnDue,
    FinalOverdue,
    IdleDue,
    ResumeDue,
    ProtectionOver,
    DigitsDue,
    MaxLengthDue,
    LastWordsOverdue,
    FirstWordsDue,
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
    [("listening", 2, []), ("user_speaking", 2.5, []), ("endpointing", 3.4, []), ("interrupted", 4.7, [BY_PROGRAM])],
)
def test_the_greatest_length_ends_a_call_that_waits(state, now, cancelled):
    taking, actions = max_length_while(state, now)
    assert (actions, taking.phase) == ([*cancelled, BYE], "closing")


def test_the_diagram_has_every_way_that_a_case_goes(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "hooks")
    diagram = importlib.import_module("diagram")
    drawn = diagram.transitions()
    ways = {(play(PATHS[case.path], case.turns)[0].phase, case.phase, type(case.event).__name__) for case in CASES}
    expected = {(before, after, event) for before, after, event in ways if before != after not in diagram.THE_END}
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
        "voicepipe.components.bounded_texts",
        "voicepipe.components.labels",
        "voicepipe.components.requests",
        "voicepipe.components.trace_context",
        "voicepipe.config.call_settings",
        "voicepipe.errors",
        "voicepipe.roles",
    }


def test_every_row_has_a_case():
    rows = {(play(PATHS[case.path], case.turns)[0].phase, type(case.event)) for case in CASES}
    rows |= {(state, MaxLengthDue) for state in ("listening", "user_speaking", "endpointing", "interrupted")}
    assert set(RULES) - rows == set()


def test_the_printed_table_has_every_row_in_words():
    rows = rules_table().splitlines()[2:]
    assert len(rows) == len(RULES)
    assert all(row.count("|") == 4 and "``" not in row and not row.endswith("|  |") for row in rows)
    assert (
        "| `speaking` | `SpeechSustained`: The caller has spoken for as long as an interruption takes (VAD) |"
        in "".join(rows)
    )
