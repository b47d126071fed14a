"""Replies that are begun before the words are final: used or thrown away, and never heard too early."""

import pytest

from voicepipe.calls.events import ReplyPrepared, ReplyStarted, ToolStarted
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import Message, ToolCall, ToolResults, Utterance
from voicepipe.config.call_settings import TurnsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText
from voicepipe.tools.functions import FunctionTool

THINKS_S = 0.3
"""Less than what is left of the silence when the caller is found to have stopped."""


def rehearsed(*texts, preemptive=True, thinks_s=THINKS_S, calls=(), **settings):
    """A call of which the recogniser's first guess is the first word: right, if there is no other."""

    async def look_up(_arguments, _context):
        return "done"

    def answer(request):
        if isinstance(request.trigger, ToolResults):
            return "It is done."
        said = request.messages[-1].text
        return [thinks_s, TextDelta(f"You said {said}."), *calls, ReplyDone(state=said)]

    tool = FunctionTool("look_up", "Looks it up.", {"type": "object", "properties": {}}, look_up)
    return RehearsedCall(
        stt=ScriptedSpeechToText(texts),
        llm=ScriptedLanguageModel(answer),
        settings={
            "greeting": "Hi.",
            "turns": TurnsSettings(preemptive=preemptive),
            "tools": ("look_up",),
            "functions": (tool,),
            **settings,
        },
    )


def caller(call, *, pauses_ms=(), then_ms=4000):
    async def behave():
        await call.transport.be_silent(1000)
        await call.transport.say(500)
        for pause_ms in pauses_ms:
            await call.transport.be_silent(pause_ms)
            await call.transport.say(500)
        await call.transport.be_silent(then_ms)
        await call.transport.hang_up_as_caller()

    return behave


def prepared(call):
    return [(event.used, event.heard) for event in call.told(ReplyPrepared)]


def written_between(call, earlier_s, later_s):
    return [when for when, _ in call.transport.written if earlier_s < when < later_s]


async def test_a_right_guess_saves_the_time_that_the_model_takes(autojump_clock):
    slow = rehearsed("yes", preemptive=False)
    await slow.hold(caller(slow))
    quick = rehearsed("yes")
    await quick.hold(caller(quick))
    assert slow.conversation == quick.conversation == [("", "Hi."), ("yes", "You said yes.")]
    assert (prepared(slow), prepared(quick)) == ([], [(True, "yes")])
    saved_ms = slow.turns[1].response_ms - quick.turns[1].response_ms
    assert saved_ms == pytest.approx(1000 * THINKS_S, abs=25)
    assert len(quick.llm.requests) == 1
    timings = quick.turns[1].timings
    assert timings.asked_ms < timings.first_token_ms < timings.final_ms <= timings.heard_ms
    assert quick.turns[1].trigger == "utterance"


async def test_a_prepared_reply_is_not_heard_before_it_is_wanted(autojump_clock):
    call = rehearsed("yes", thinks_s=0.0)
    await call.hold(caller(call))
    (used,) = call.told(ReplyPrepared)
    assert written_between(call, 1.0, used.at_s - 1e-6) == []
    assert call.told(ReplyStarted)[1].at_s == pytest.approx(used.at_s)
    assert call.told(ReplyStarted)[1].at_s == pytest.approx(1.5 + 0.6, abs=0.03)


async def test_a_wrong_guess_is_thrown_away_and_nothing_of_it_stays(autojump_clock):
    call = rehearsed("two tickets")
    await call.hold(caller(call))
    assert prepared(call) == [(False, "two")]
    assert call.conversation == [("", "Hi."), ("two tickets", "You said two tickets.")]
    assert [request.trigger for request in call.llm.requests] == [Utterance("two"), Utterance("two tickets")]
    assert call.llm.requests[1].messages == (Message("agent", "Hi."), Message("caller", "two tickets"))
    assert call.llm.open_streams == call.tts.open_streams == 0
    assert [turn.turn for turn in call.turns] == [1, 2]


async def test_who_goes_on_speaking_makes_a_guess_wrong(autojump_clock):
    call = rehearsed("yes", thinks_s=0.0)
    await call.hold(caller(call, pauses_ms=[400]))
    first, second = prepared(call)
    assert (first, second) == ((False, "yes"), (True, "yes"))
    assert call.conversation == [("", "Hi."), ("yes", "You said yes.")]
    assert written_between(call, 1.0, call.told(ReplyPrepared)[1].at_s - 1e-6) == []


async def test_tools_of_a_prepared_reply_run_only_if_it_is_used(autojump_clock):
    call = rehearsed("two tickets", thinks_s=0.0, calls=[ToolCall("1", "look_up")])
    await call.hold(caller(call))
    assert prepared(call) == [(False, "two")]
    (started,) = call.told(ToolStarted)
    assert started.at_s >= call.told(ReplyPrepared)[0].at_s
    assert [turn.said for turn in call.turns] == ["Hi.", "You said two tickets.", "It is done."]
    used = rehearsed("yes", thinks_s=0.0, calls=[ToolCall("1", "look_up")])
    await used.hold(caller(used))
    (started,) = used.told(ToolStarted)
    assert started.at_s >= used.told(ReplyPrepared)[0].at_s
    assert [turn.said for turn in used.turns] == ["Hi.", "You said yes.", "It is done."]


async def test_a_caller_who_is_gone_leaves_a_prepared_reply_unused(autojump_clock):
    call = rehearsed("yes", thinks_s=0.0)
    await call.hold(caller(call, then_ms=400))
    assert prepared(call) == [(False, "yes")]
    assert call.conversation == [("", "Hi.")]
    assert call.llm.open_streams == call.tts.open_streams == 0


async def test_a_key_makes_a_guess_wrong(autojump_clock):
    call = rehearsed("yes", thinks_s=0.0)

    async def behave():
        await call.transport.be_silent(1000)
        await call.transport.say(500)
        await call.transport.be_silent(400)
        await call.transport.press("5")
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    await call.hold(behave)
    assert prepared(call) == [(False, "yes")]
    # The key waits for the words before it, which were not final when it was pressed: both get one reply.
    assert [(turn.trigger, turn.heard) for turn in call.turns] == [("announcement", ""), ("dtmf", "yes 5")]


async def test_a_prepared_reply_is_interrupted_like_any(autojump_clock):
    call = rehearsed("yes", "wait")

    async def behave():
        await call.transport.be_silent(1000)
        await call.transport.say(500)
        await call.transport.be_silent(800)
        await call.transport.say(500)
        await call.transport.be_silent(4000)
        await call.transport.hang_up_as_caller()

    await call.hold(behave)
    assert prepared(call) == [(True, "yes"), (True, "wait")]
    assert call.turns[1].interrupted
    assert call.conversation[2] == ("wait", "You said wait.")


@pytest.mark.parametrize("text", ["yes", "two tickets"])
async def test_a_model_that_fails_meanwhile_is_noticed_when_it_is_wanted(autojump_clock, text):
    call = rehearsed(text)
    call.llm = ScriptedLanguageModel(lambda _: [ReplyDone()])  # it "succeeds" with nothing
    ended = await call.hold(caller(call, then_ms=10_000))
    assert ended.outcome == "returned_to_dialplan"
    assert call.turns[-1].said == "I'm sorry, something went wrong."
