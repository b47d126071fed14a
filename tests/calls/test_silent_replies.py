"""A model that succeeds with nothing, whichever adapter it has: asked again, failed over, or believed."""

from __future__ import annotations

import pytest
from flaky import FlakyLlm

from voicepipe import ComponentFailed, FailedOver, tool
from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.requests import CallStarted, Dtmf, Silence, ToolCall, ToolResults, Utterance
from voicepipe.config.call_settings import OnFailure
from voicepipe.testing import RehearsedCall, ScriptedSpeechToText, ToneTextToSpeech

ANSWER = "we open at nine."
EMPTY = {
    "empty": [ReplyDone("empty")],
    "complete": [ReplyDone("complete")],
    "blanks": [TextDelta(" "), TextDelta("\n"), ReplyDone()],
    "no text": [TextDelta(""), Usage(3, 0), ReplyDone("truncated")],
}
LOOK = [ToolCall("t1", "look", {}), ReplyDone()]


@tool
async def look() -> str:
    """Looks."""
    return "nine"


def call_with(*models, **settings):
    settings = {"greeting": "hello.", "tools": ("look",), "functions": (look,)} | settings
    return RehearsedCall(
        stt=ScriptedSpeechToText(["when"]), llm=list(models), tts=ToneTextToSpeech(), settings=settings
    )


async def hold(call, trigger, quiet_ms=5000):
    async def caller():
        await call.transport.be_silent(1500)
        if trigger == "key":
            await call.transport.press("1")
        elif trigger in {"words", "tool"}:
            await call.transport.say(600)
        await call.transport.be_silent(quiet_ms)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    return [said for _, said in call.conversation if said]


def asked(model, kind):
    return [request for request in model.requests if isinstance(request.trigger, kind)]


TRIGGERS = {"words": Utterance, "key": Dtmf, "tool": ToolResults, "start": CallStarted}


@pytest.mark.parametrize("nothing", EMPTY.values(), ids=EMPTY)
@pytest.mark.parametrize("trigger", TRIGGERS)
@pytest.mark.parametrize("ends", ["asked again", "failed over", "in vain"])
async def test_it_is_a_failure_where_the_caller_waits_for_words(autojump_clock, nothing, trigger, ends):
    before = [LOOK] if trigger == "tool" else []
    model = FlakyLlm([*before, nothing, ANSWER] if ends == "asked again" else [*before, nothing])
    models = [model, FlakyLlm([ANSWER])] if ends == "failed over" else [model]
    greeting = None if trigger == "start" else "hello."
    call = call_with(*models, greeting=greeting, on_failure=OnFailure(say="sorry."))
    said = await hold(call, trigger)
    assert said[-1] == ("sorry." if ends == "in vain" else ANSWER)
    assert len(asked(model, TRIGGERS[trigger])) == 2
    rungs = {"asked again": ["retry"], "failed over": ["retry", "alternate"], "in vain": ["retry", "apology"]}
    assert [event.rung for event in call.told(FailedOver)] == rungs[ends]
    assert {event.error.message for event in call.told(ComponentFailed)} == {"succeeded, but said nothing"}


@pytest.mark.parametrize("second", [ANSWER, [ReplyDone("empty")]], ids=["words", "nothing"])
async def test_silence_after_a_tool_that_was_announced_is_believed_when_it_is_repeated(autojump_clock, second):
    model = FlakyLlm([[TextDelta("One moment."), *LOOK], [ReplyDone("empty")], second, ANSWER])
    call = call_with(model)
    said = await hold(call, "tool")
    assert said == ["hello.", "One moment.", *([ANSWER] if second == ANSWER else [])]
    assert len(asked(model, ToolResults)) == 2
    assert call.told(ComponentFailed) == []


@pytest.mark.parametrize("text", ["\U0001f642", "```\nprint(1)\n```", "---\n", "<br/>"])
@pytest.mark.parametrize("second", [ANSWER, None], ids=["words", "the same"])
async def test_what_is_not_spoken_is_asked_for_once_more(autojump_clock, text, second):
    """A model that answers a caller with an emoji has not failed, but nobody hears it."""
    model = FlakyLlm([[TextDelta(text), ReplyDone()], second or [TextDelta(text), ReplyDone()]])
    call = call_with(model)
    assert await hold(call, "words") == ["hello.", *([ANSWER] if second else [])]
    assert len(asked(model, Utterance)) == 2
    assert call.told(ComponentFailed) == []


async def test_a_model_may_have_nothing_to_say_to_a_silent_caller(autojump_clock):
    model = FlakyLlm([[ReplyDone("empty")]])
    call = call_with(model)
    assert await hold(call, "nothing", 12_000) == ["hello."]
    assert len(asked(model, Silence)) == 2
    assert call.told(ComponentFailed) == []


async def test_a_tool_call_is_something(autojump_clock):
    model = FlakyLlm([LOOK, ANSWER])
    call = call_with(model)
    assert (await hold(call, "key"))[-1] == ANSWER
    assert call.told(ComponentFailed) == []
