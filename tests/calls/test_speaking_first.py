"""Who speaks first, in whole calls: as the pipeline says, or as the call itself does."""

import pytest

from voicepipe.components.requests import CallInfo, CallStarted, Utterance
from voicepipe.config.call_settings import LimitsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedSpeechToText
from voicepipe.testing.transport import MemoryTransport


def called(stt=("miller",), info=None, **settings):
    limits = LimitsSettings(first_words_s=3, idle_prompt_s=600)
    return RehearsedCall(
        stt=ScriptedSpeechToText(list(stt)),
        transport=MemoryTransport(info=info),
        settings={"greeting": "This is Acme.", "speaks_first": "caller", "limits": limits, **settings},
    )


async def picks_up(call, *, says=True):
    await call.transport.be_silent(800)
    if says:
        await call.transport.say(500)
    await call.transport.be_silent(8000)
    await call.transport.hang_up_as_caller()


async def test_the_greeting_answers_whoever_picks_up(autojump_clock):
    call = called()
    await call.hold(lambda: picks_up(call))
    assert call.conversation == [("miller", "This is Acme.")]
    assert call.llm.requests == []
    assert call.turns[0].trigger == "utterance"


async def test_nobody_says_anything_and_the_greeting_comes_anyway(autojump_clock):
    call = called()
    await call.hold(lambda: picks_up(call, says=False))
    assert call.conversation == [("", "This is Acme.")]
    assert call.turns[0].timings.asked_ms == 0
    assert call.transport.written[0][0] == pytest.approx(3, abs=0.1)


async def test_without_a_greeting_the_model_answers(autojump_clock):
    call = called(greeting=None)
    await call.hold(lambda: picks_up(call))
    assert [request.trigger for request in call.llm.requests] == [Utterance("miller")]


async def test_without_a_greeting_the_model_speaks_into_the_silence(autojump_clock):
    call = called(greeting=None)
    await call.hold(lambda: picks_up(call, says=False))
    assert [type(request.trigger) for request in call.llm.requests] == [CallStarted]


@pytest.mark.parametrize(("pipeline", "call_says", "waits"), [("agent", "caller", True), ("caller", "agent", False)])
async def test_a_call_may_say_otherwise_than_its_pipeline(autojump_clock, pipeline, call_says, waits):
    call = called(info=CallInfo(transport_id="7", speaks_first=call_says), speaks_first=pipeline)
    await call.hold(lambda: picks_up(call, says=False))
    assert (call.transport.written[0][0] > 2) is waits
