"""When the caller and the agent were heard in each turn, with both paces of playout."""

import pytest
import trio
from turn_situations import SPEAKING, play

from voicepipe.calls.events import TurnEnded
from voicepipe.calls.record import CallRecorder
from voicepipe.calls.turns.events import EndOfTurn, Final, ReplyEnded, SpeechBegan, SpeechEnded
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import ToolCall, ToolResults
from voicepipe.config.call_settings import BargeInSettings, LimitsSettings, TurnsSettings
from voicepipe.errors import ComponentError
from voicepipe.testing.buffering_transport import BufferingTransport
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.transport import MemoryTransport
from voicepipe.tools.functions import FunctionTool

GREETING = "Hello, this is the box office."  # 30 characters, 1.2 s
LONG = "This reply goes on and on and nobody knows where it may end one day, so cut it short."  # 85: 3.4 s
MS_A_CHAR = 40


@pytest.fixture(params=["ours", "theirs"])
def transport(request):
    return MemoryTransport() if request.param == "ours" else BufferingTransport()


def rehearsed(transport, *words, reply="I see.", greeting=GREETING, barge_in=None, turns=None, **settings):
    return RehearsedCall(
        transport=transport,
        stt=ScriptedSpeechToText(words),
        llm=ScriptedLanguageModel(reply if callable(reply) else lambda _request: reply),
        tts=ToneTextToSpeech(ms_a_char=MS_A_CHAR),
        settings={
            "greeting": greeting,
            "turns": TurnsSettings(
                barge_in=BargeInSettings(**barge_in or {}), echo_guard=False, end_of_turn_ms=600, **turns or {}
            ),
            "limits": LimitsSettings(idle_prompt_s=100),
            **settings,
        },
    )


async def held(call, *steps):
    """Holds the call with a caller who does each step, given as ms of silence, ("say", ms) or a key."""

    async def caller():
        for step in steps:
            match step:
                case ("say", ms):
                    await call.transport.say(ms)
                case str():
                    await call.transport.press(step)
                case _:
                    await call.transport.be_silent(step)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    for turn in call.turns:
        times = [turn.heard_from_s, turn.heard_until_s], [turn.said_from_s, turn.said_until_s]
        for begins, ends in times:
            assert (begins is None) == (ends is None)
            assert begins is None or 0 <= begins <= ends <= turn.at_s
        if turn.response_ms is not None:
            assert turn.said_from_s - turn.heard_until_s == pytest.approx(turn.response_ms / 1000)
        if turn.said:
            assert turn.said_from_s is not None
    return [near(turn) for turn in call.turns]


def near(turn):
    return turn.trigger, *(at and pytest.approx(at, abs=0.07) for at in times_of(turn))


def times_of(turn):
    return turn.heard_from_s, turn.heard_until_s, turn.said_from_s, turn.said_until_s


async def test_a_greeting_and_a_reply(autojump_clock, transport):
    call = rehearsed(transport, "two tickets")
    turns = await held(call, 2000, ("say", 1000), 4000)
    assert turns == [
        ("announcement", None, None, 0.0, 1.2),
        ("utterance", 2.0, 3.0, 3.6, 3.84),
    ]


async def test_an_interruption_ends_what_was_heard_where_the_reply_was_paused(autojump_clock, transport):
    call = rehearsed(transport, "no stop", "all right", greeting=LONG)
    turns = await held(call, 1000, ("say", 1500), 3000)
    assert turns == [
        ("announcement", None, None, 0.0, 1.2),  # 160 ms of speech pause it
        ("utterance", 1.0, 2.5, 3.1, 3.34),
    ]
    assert call.turns[0].interrupted


async def test_a_reply_that_is_resumed_is_heard_to_its_end(autojump_clock, transport):
    call = rehearsed(transport, greeting=LONG)
    turns = await held(call, 1000, ("say", 500), 6000)  # a noise: no words
    ((_, *heard, begins, ends),) = turns
    assert (heard, begins) == ([None, None], 0.0)
    paused_s = 0.34 + 0.2  # from the detection to the end of the noise
    assert ends.expected == pytest.approx(3.4 + paused_s, abs=0.08)
    assert not call.turns[0].interrupted


NOISE = ((4.5, SpeechBegan(0.06)), (4.8, SpeechEnded(0.2, 4600)))
SPEECH = ((9, SpeechBegan(0.06)), (10.2, SpeechEnded(0.2, 10_000)))
MORE = Final("more", audio_ms=10_000)
BEFORE = {
    "nothing": ((6, ReplyEnded()),),
    "a noise": (*NOISE, (6, ReplyEnded()), (6.1, "tick"), (6.3, Final("", audio_ms=6000))),
    "a noise, of which a final says so at once": (*NOISE, (5, Final("", audio_ms=4600)), (6, ReplyEnded())),
    "a sign of listening": (*NOISE, (5, Final("mhm", audio_ms=4600)), (6, ReplyEnded())),
}


@pytest.mark.parametrize("before", BEFORE.values(), ids=BEFORE)
@pytest.mark.parametrize(
    ("said", "began"),
    [
        ((*SPEECH, (10.3, MORE)), 8.94),
        (
            ((8.2, SpeechBegan(0.06)), (8.7, SpeechEnded(0.2, 8500)), *SPEECH, (10.3, Final("more", audio_ms=10_000))),
            8.14,
        ),
        ((SPEECH[0], (9.5, Final("more", audio_ms=9500)), SPEECH[1], (10.3, Final("words", audio_ms=10_000))), 8.94),
        (((9.5, Final("that no speech was detected for")),), None),
    ],
    ids=["in one piece", "with a pause", "with two finals", "unnoticed"],
)
def test_noises_and_signs_of_listening_before_the_words_are_no_beginning_of_them(before, said, began):
    taking, _ = play((*SPEAKING, *before, *said, (10.4, EndOfTurn())))
    assert taking.phase == "thinking"
    assert taking.spoke_at.began == (None if began is None else pytest.approx(began))


async def test_words_over_a_protected_reply_began_when_they_did(autojump_clock, transport):
    call = rehearsed(transport, "two tickets", greeting=LONG, barge_in={"enabled": False})
    turns = await held(call, 1000, ("say", 1000), 6000)
    assert turns[0] == ("announcement", None, None, 0.0, 3.4)
    assert turns[1][:3] == ("utterance", 1.0, 2.0)


async def test_a_turn_with_a_pause_in_it_is_one(autojump_clock, transport):
    call = rehearsed(transport, "two", "tickets please")
    turns = await held(call, 2000, ("say", 500), 500, ("say", 500), 4000)
    assert turns[1][:3] == ("utterance", 2.0, 3.5)


async def test_a_reply_that_nobody_heard_gives_back_where_the_words_began(autojump_clock, transport):
    call = rehearsed(transport, "two", "tickets please", reply=lambda _request: [1.0, TextDelta("I see."), ReplyDone()])
    turns = await held(call, 2000, ("say", 500), 1000, ("say", 500), 5000)
    assert turns[1][:3] == ("utterance", 2.0, 4.0)
    assert call.turns[1].heard == "two tickets please"


async def test_a_key_alone_was_pressed_and_not_said(autojump_clock, transport):
    turns = await held(rehearsed(transport), 2000, "4", 3000)
    assert turns[1] == ("dtmf", None, None, 2.0, 2.24)


async def test_words_before_a_key_were_said(autojump_clock, transport):
    call = rehearsed(transport, "number")
    turns = await held(call, 2000, ("say", 800), 300, "4", 4000)
    assert turns[1][:3] == ("dtmf", 2.0, 2.8)
    assert call.turns[1].heard == "number 4"


async def test_a_prepared_reply_has_the_times_of_the_words_that_it_was_used_for(autojump_clock, transport):
    call = rehearsed(transport, "two tickets", turns={"preemptive": True})
    turns = await held(call, 2000, ("say", 1000), 4000)
    assert turns[1] == ("utterance", 2.0, 3.0, 3.6, 3.84)


async def test_results_of_tools_were_not_said_by_the_caller(autojump_clock, transport):
    async def look(_arguments, _context):
        await trio.sleep(1.5)
        return "found"

    tool = FunctionTool("look", "Looks something up.", {"type": "object", "properties": {}}, look, timeout_s=20)

    def reply(request):
        if isinstance(request.trigger, ToolResults):
            return "Here it is."
        return [TextDelta("One moment."), ToolCall("1", "look", {}), ReplyDone()]

    call = rehearsed(transport, "two tickets", reply=reply, tools=("look",), functions=(tool,))
    turns = await held(call, 2000, ("say", 1000), 6000)
    assert turns[1] == ("utterance", 2.0, 3.0, 3.6, 4.04)
    assert turns[2] == ("tool_results", None, None, 5.1, 5.54)


async def test_words_that_no_reply_has_taken_up_are_a_turn_with_times(autojump_clock, transport):
    call = rehearsed(transport, "two tickets")
    turns = await held(call, 2000, ("say", 1000), 300)
    assert turns[1:] in ([], [("utterance", 2.0, 3.0, None, None)])


async def test_a_reply_that_failed_was_not_heard(autojump_clock, transport):
    def reply(_request):
        raise ComponentError("is away", retryable=False)

    call = rehearsed(transport, "two tickets", reply=reply)
    turns = await held(call, 2000, ("say", 1000), 4000)
    assert turns[1][:3] == ("utterance", 2.0, 3.0)
    assert turns[1][3:] == (None, None)


async def test_silence_within_a_call_and_what_a_program_says(autojump_clock, transport):
    call = rehearsed(transport, limits=LimitsSettings(idle_prompt_s=3, idle_prompts=1), reply="Still there?")
    turns = await held(call, 6000)
    assert turns[1] == ("silence", None, None, 4.2, 4.68)


async def test_the_last_words_of_a_caller_who_hangs_up_in_a_reply(autojump_clock, transport):
    turns = await held(rehearsed(transport, greeting=LONG), 1000)
    assert turns == [("announcement", None, None, 0.0, 1.0)]


async def test_a_record_has_them(autojump_clock, transport):
    call = rehearsed(transport, "two tickets")
    await held(call, 2000, ("say", 1000), 4000)
    recorder = CallRecorder()
    for event in call.events:
        recorder.observe(event)
    assert [times_of(turn) for turn in recorder.record.turns] == [times_of(turn) for turn in call.told(TurnEnded)]
    (greeting, reply) = recorder.record.as_data()["turns"]
    assert (greeting["heard_from_s"], greeting["said_from_s"]) == (None, 0.0)
    assert reply["heard_from_s"] == pytest.approx(2.0, abs=0.07)
    assert reply["heard_from_s"] == round(reply["heard_from_s"], 3)
