"""What a whole call tells its model: everything that the caller said and pressed, in order, and in the record too."""

from __future__ import annotations

import trio

from voicepipe import ComponentError, Dtmf, Utterance, tool
from voicepipe.calls.record import CallRecorder
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import ToolCall
from voicepipe.config.call_settings import DtmfSettings, KeyAction, TurnsSettings
from voicepipe.config.history_settings import HistorySettings
from voicepipe.testing import RehearsedCall, ScriptedLanguageModel, ScriptedSpeechToText

DIALS = TurnsSettings(dtmf=DtmfSettings(gap_ms=2000))


def a_call(*texts, reply=lambda _request: "I see.", turns=DIALS, llm=None, stt=None, **settings):
    return RehearsedCall(
        stt=stt or ScriptedSpeechToText(list(texts)),
        llm=llm or ScriptedLanguageModel(reply),
        settings={"greeting": "Hello.", "turns": turns, **settings},
    )


async def hold(call, *steps):
    """A caller who says something for so many ms, presses keys, or is silent for so many s."""

    async def caller():
        await call.transport.be_silent(1500)
        for step in steps:
            if isinstance(step, float):
                await call.transport.be_silent(int(step * 1000))
            elif isinstance(step, int):
                await call.transport.say(step)
            else:
                for key in step:
                    await call.transport.press(key)
                    await call.transport.be_silent(100)
        await call.transport.hang_up_as_caller()

    return await call.hold(caller)


def told(model):
    """What the model's last request says of the caller."""
    return [message.text for message in model.requests[-1].messages if message.role == "caller"]


def record_of(call):
    recorder = CallRecorder()
    for event in call.events:
        recorder.observe(event)
    return recorder.record


async def test_keys_are_told_for_good_and_are_no_words(autojump_clock):
    call = a_call("which number did I type", "and now")
    await hold(call, "4711#", 3.0, 900, 4.0, 900, 4.0)
    assert told(call.llm) == ["4711", "which number did I type", "and now"]
    assert [message.pressed for message in call.llm.requests[-1].messages if message.role == "caller"] == [
        True,
        False,
        False,
    ]
    assert [turn.heard for turn in record_of(call).turns] == ["", "4711", "which number did I type", "and now"]


async def test_words_before_a_key_are_told_with_it(autojump_clock):
    """The recogniser has not said the last word when the key comes."""
    call = a_call("my contract was cancelled")
    await hold(call, 900, 0.1, "5#", 5.0)
    (request,) = call.llm.requests
    assert (request.trigger, told(call.llm)) == (Dtmf("5"), ["my contract was cancelled", "5"])
    turn = record_of(call).turns[-1]
    assert (turn.trigger, turn.heard, turn.pressed) == ("dtmf", "my contract was cancelled 5", ((26, 27),))


async def test_words_between_keys_do_not_cut_the_number(autojump_clock):
    call = a_call("wait a moment")
    await hold(call, "47", 500, 0.8, "11", 6.0)
    (request,) = call.llm.requests
    assert (request.trigger, told(call.llm)) == (Dtmf("4711"), ["wait a moment", "4711"])


async def test_keys_over_a_reply_and_a_menu_key(autojump_clock):
    call = a_call(
        "good",
        reply=lambda _: "We have three kinds of tickets, and they are all cheap.",
        keys={"9": KeyAction(say="Nine.")},
    )
    await hold(call, "1", 2.5, "2", 2.5, "9", 3.0, 900, 6.0)
    assert told(call.llm) == ["1", "2", "9", "good"]
    assert [(turn.heard, bool(turn.said)) for turn in record_of(call).turns] == [
        ("", True),
        ("1", True),
        ("2", True),
        ("9", True),
        ("good", True),
    ]


async def test_a_sign_of_listening_is_told_and_asks_for_nothing(autojump_clock):
    call = a_call(
        "tell me", "uh-huh", "and then", reply=lambda _: "It is a long story, which takes its time to be told."
    )
    await hold(call, 600, 2.0, 400, 6.0, 600, 6.0)
    assert [request.trigger for request in call.llm.requests] == [Utterance("tell me"), Utterance("and then")]
    assert told(call.llm) == ["tell me", "uh-huh", "and then"]
    assert not any(turn.interrupted for turn in call.turns)


async def test_what_interrupts_a_reply_stands_behind_it(autojump_clock):
    call = a_call("tell me", "stop that", reply=lambda _: "It is a long story, which takes its time to be told.")
    await hold(call, 600, 2.0, 600, 6.0)
    said = [(message.role, message.interrupted) for message in call.llm.requests[-1].messages]
    assert said == [("agent", False), ("caller", False), ("agent", True), ("caller", False)]


@tool
async def look() -> str:
    """Looks something up."""
    await trio.sleep(4)
    return "nine"


async def test_keys_while_a_tool_runs(autojump_clock):
    answers = iter([[TextDelta("Wait. "), ToolCall("a", "look"), ReplyDone()], "Three.", "Nine.", "Yes."])
    call = a_call("when", "sure", reply=lambda _: next(answers), tools=("look",), functions=(look,))
    await hold(call, 600, 2.0, "3#", 6.0, 600, 5.0)
    assert told(call.llm) == ["when", "3", "sure"]


async def test_whoever_answers_after_a_failure_knows_it_all(autojump_clock):
    def fails(_request):
        raise ComponentError("is away")

    second = ScriptedLanguageModel(lambda _: "I see.")
    call = a_call("hello there", llm=[ScriptedLanguageModel(fails), second])
    await hold(call, "12#", 2.0, 600, 0.1, "3#", 5.0)
    assert told(second) == ["12", "hello there", "3"]


async def test_a_turn_that_failed_is_in_the_record(autojump_clock):
    def fails(_request):
        raise ComponentError("is away")

    call = a_call("hello there", reply=fails)
    await hold(call, 600, 0.1, "3#", 5.0)
    assert [turn.heard for turn in record_of(call).turns][:2] == ["", "hello there 3"]


async def test_what_got_no_reply_is_the_records_last_turn(autojump_clock):
    call = a_call()
    ended = await hold(call, "12#", 2.0, "45")
    turns = record_of(call).turns
    assert [(turn.turn, turn.trigger, turn.heard, turn.said) for turn in turns][1:] == [
        (2, "dtmf", "12", "I see."),
        (3, "dtmf", "45", ""),
    ]
    assert ended.turns == 3


async def test_history_leaves_out_whole_turns_keys_and_words_together(autojump_clock):
    call = a_call("my number is", "and now", history=HistorySettings(max_turns=2))
    await hold(call, "1#", 2.0, 600, 0.1, "47#", 4.0, 600, 5.0)
    assert told(call.llm) == ["my number is", "47", "and now"]


async def test_a_guess_that_was_right_is_told_as_it_was_written_in_the_end(autojump_clock):
    turns = TurnsSettings(preemptive=True)
    call = a_call("two tickets please", "thanks", turns=turns)
    await hold(call, 900, 4.0, 600, 5.0)
    assert told(call.llm)[-2:] == ["two tickets please", "thanks"]
    assert [turn.heard for turn in call.turns] == ["", "two tickets please", "thanks"]
