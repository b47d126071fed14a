"""Conversations of the SDK with callers who come by ARI."""

from __future__ import annotations

import pytest
import trio
from ari_engine import CALLER, MEDIA, open_engine, until
from vendors.asterisk_ari import open_asterisk

from voicepipe import open_call
from voicepipe.calls.events import CallBegan, CallEnded, DtmfReceived
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.pipelines import open_test_pipeline


def open_agent(replies=lambda _request: "Hello."):
    return open_test_pipeline(ScriptedSpeechToText([]), ScriptedLanguageModel(replies), ToneTextToSpeech())


class Conversations:
    """A handler that holds a conversation with each caller, and notes its events."""

    def __init__(self, pipeline):
        self.pipeline = pipeline
        self.events, self.calls = [], []
        self.ended = trio.Event()

    async def __call__(self, transport):
        async with open_call(self.pipeline, transport, observer=self.events.append) as call:
            self.calls.append(call)
            await call.run()
        self.ended.set()

    def of(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.mark.parametrize("media", MEDIA)
async def test_a_caller_hears_the_greeting_and_hangs_up(media):
    async with (
        open_test_pipeline(
            ScriptedSpeechToText([]), ScriptedLanguageModel(lambda _request: "Hello."), ToneTextToSpeech()
        ) as pipeline,
        open_asterisk() as asterisk,
        open_engine(asterisk, **MEDIA[media]) as engine,
    ):
        engine.handle_call = handler = Conversations(pipeline)
        with trio.fail_after(30):
            await asterisk.caller_comes(number="15551230001", exten="15559870001", args=["tenant=acme"])
            await until(lambda: any(other.media and other.media.heard for other in asterisk.channels.values()))
            await asterisk.press(CALLER, "4")
            await until(lambda: handler.of(DtmfReceived))
            await asterisk.hang_up(CALLER)
            await handler.ended.wait()
            await until(lambda: not asterisk.channels and not asterisk.bridges)
        (began,), (ended,), (key,) = handler.of(CallBegan), handler.of(CallEnded), handler.of(DtmfReceived)
        assert (began.info.caller, began.info.called, began.info.transport_id) == ("15551230001", "15559870001", CALLER)
        assert began.info.variables == {"tenant": "acme"}
        assert key.digit == "4"
        assert (ended.outcome, ended.detail) == ("caller_hung_up", "the caller hung up (cause 16)")
        assert engine.crashed == engine.refused == []


@pytest.mark.parametrize("media", MEDIA)
async def test_the_agent_hangs_up_and_the_caller_is_let_go(media):
    async with (
        open_test_pipeline(
            ScriptedSpeechToText([]), ScriptedLanguageModel(lambda _request: "Hello."), ToneTextToSpeech()
        ) as pipeline,
        open_asterisk() as asterisk,
        open_engine(asterisk, **MEDIA[media]) as engine,
    ):
        engine.handle_call = handler = Conversations(pipeline)
        with trio.fail_after(30):
            await asterisk.caller_comes()
            caller = asterisk.channels[CALLER]
            await until(lambda: any(other.media and other.media.heard for other in asterisk.channels.values()))
            handler.calls[0].hang_up()
            await caller.ended.wait()
            await until(lambda: not asterisk.channels and not asterisk.bridges)
        assert handler.of(CallEnded)[0].outcome == "agent_hung_up"
        assert engine.crashed == engine.refused == []


async def test_the_agent_tells_the_other_side_who_is_calling_and_connects_the_two():
    """A warm transfer, as a program makes it."""
    async with (
        open_test_pipeline(
            ScriptedSpeechToText([]), ScriptedLanguageModel(lambda _request: "Hello."), ToneTextToSpeech()
        ) as pipeline,
        open_asterisk() as asterisk,
        open_engine(asterisk) as engine,
    ):
        asterisk.telephones["Local/200@transfers/n"] = "answer"
        events, told = [], []

        async def warm(transport):
            async with open_call(pipeline, transport, observer=events.append) as call, trio.open_nursery() as nursery:

                @nursery.start_soon
                async def transfer():
                    await until(lambda: call.conversation)
                    await transport.consult("200")
                    told.append(await call.say("Anna is on the line."))
                    assert asterisk.channels[CALLER].sounds == {"moh"}
                    await call.transfer("200")

                await call.run()

        engine.handle_call = warm
        with trio.fail_after(30):
            await asterisk.caller_comes()
            await until(lambda: any(isinstance(event, CallEnded) for event in events))
            (ended,) = [event for event in events if isinstance(event, CallEnded)]
            target = asterisk.called("Local/200@transfers/n")
            await until(lambda: asterisk.talkers(CALLER) == {target.id})
        assert (ended.outcome, ended.detail) == ("transferred", "200")
        assert [outcome.whole for outcome in told] == [True]
        assert asterisk.channels[CALLER].sounds == set()
        assert engine.crashed == []


def fails(_request):
    raise ZeroDivisionError


async def test_a_caller_whose_agent_fails_goes_on_in_the_dialplan():
    async with (
        open_agent(fails) as pipeline,
        open_asterisk() as asterisk,
        open_engine(asterisk) as engine,
    ):
        engine.handle_call = handler = Conversations(pipeline)
        with trio.fail_after(30):
            await asterisk.caller_comes()
            caller = asterisk.channels[CALLER]
            await caller.ended.wait()
            await until(lambda: not asterisk.channels and not asterisk.bridges)
        assert handler.of(CallEnded)[0].outcome == "returned_to_dialplan"
        assert caller.continued
        assert caller.variables["VOICEPIPE_STATUS"] == "FAILED"
        assert caller.variables["VOICEPIPE_OUTCOME"] == "returned_to_dialplan"
