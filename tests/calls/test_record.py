"""A call's record: everything about it, in one value."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from voicepipe.calls.record import CallRecorder
from voicepipe.errors import ComponentError
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText


class Broken(ScriptedLanguageModel):
    def respond(self, request):
        raise ComponentError("has left", retryable=False)


async def recorded(call):
    recorder = CallRecorder()
    call.events = type(
        "Both", (list,), {"append": lambda self, event: (recorder.observe(event), list.append(self, event))}
    )()

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(1000)
        await call.transport.be_silent(4000)
        await call.transport.hang_up_as_caller()

    assert recorder.record is None
    await call.hold(caller)
    return recorder.record


async def test_it_says_what_was_said_and_how_long_it_took(autojump_clock):
    record = await recorded(RehearsedCall(stt=ScriptedSpeechToText(["two tickets"]), settings={"greeting": "Hello."}))
    assert [(turn.trigger, turn.heard, turn.said) for turn in record.turns] == [
        ("announcement", "", "Hello."),
        ("utterance", "two tickets", "I see."),
    ]
    greeting, reply = (turn.timings for turn in record.turns)
    assert (greeting.final_ms, greeting.first_token_ms) == (None, None)
    assert greeting.heard_ms == pytest.approx(0, abs=1)
    steps = [reply.final_ms, reply.asked_ms, reply.first_token_ms, reply.first_audio_ms, reply.heard_ms]
    assert steps == sorted(steps)
    assert reply.final_ms == pytest.approx(600, abs=25)
    assert reply.heard_ms == pytest.approx(600, abs=45)
    assert (record.outcome, record.duration_s) == ("caller_hung_up", pytest.approx(6, abs=0.05))


async def test_it_says_what_failed_and_what_was_done(autojump_clock):
    models = [Broken(lambda _: ""), ScriptedLanguageModel(lambda _: "Here I am.")]
    record = await recorded(
        RehearsedCall(stt=ScriptedSpeechToText(["two tickets"]), llm=models, settings={"greeting": ""})
    )
    assert [(failure.role, failure.what, failure.component) for failure in record.failures] == [
        ("llm", "failed", "test_llm"),
        ("llm", "alternate", "test_llm_2"),
    ]
    assert record.failures[0].message == "has left"
    assert record.turns[-1].said == "Here I am."


async def test_it_is_json(autojump_clock):
    record = await recorded(RehearsedCall(stt=ScriptedSpeechToText(["two tickets"]), settings={"greeting": "Hello."}))
    data = json.loads(json.dumps(record.as_data()))
    assert datetime.fromisoformat(data["began"]).tzinfo is not None
    assert data["components"]["stt"] == {"name": "test_stt", "adapter": "scripted", "model": None}
    assert data["turns"][1]["timings"]["heard_ms"] == pytest.approx(600, abs=45)
    assert data["info"]["caller"] == ""
