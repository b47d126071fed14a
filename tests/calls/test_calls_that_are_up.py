"""`Calls` lists the calls that are up, and nothing of a call stays when it is over."""

import gc
import weakref

import pytest
import trio

from voicepipe.calls.open_call import Calls, open_call
from voicepipe.components.requests import CallInfo
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.pipelines import open_test_pipeline
from voicepipe.testing.transport import MemoryTransport


async def test_calls_are_listed_by_their_names_while_they_are_up(autojump_clock):
    calls = Calls()
    components = ScriptedSpeechToText(), ScriptedLanguageModel(lambda _request: "I see."), ToneTextToSpeech()
    async with open_test_pipeline(*components) as pipeline:
        first, second = (MemoryTransport(info=CallInfo(transport_id="same")) for _ in range(2))
        async with open_call(pipeline, first, calls=calls) as one, open_call(pipeline, second, calls=calls) as two:
            assert list(calls) == [one, two]
            assert (len(calls), calls[one.call_id], two.call_id in calls) == (2, one, True)
            assert calls.find(one.call_id) is one
            assert calls.find("same") is two
            assert calls.find("other") is None
        assert (len(calls), list(calls)) == (0, [])
        with pytest.raises(KeyError):
            calls[one.call_id]


async def test_a_call_that_was_steered_is_freed_by_its_last_reference(autojump_clock):
    components = ScriptedSpeechToText(), ScriptedLanguageModel(lambda _request: "I see."), ToneTextToSpeech()
    transport = MemoryTransport(can=frozenset({"transfer", "completes_transfer"}))
    transport.transfer_fails = "busy"
    parts = []
    async with open_test_pipeline(*components, greeting="Hello.") as pipeline:

        async def hold():
            async with trio.open_nursery() as nursery, open_call(pipeline, transport) as call:
                parts.extend(weakref.ref(part) for part in (call, call._steering, call._driver, call._transfers))
                nursery.start_soon(transport.be_silent, 60_000)
                nursery.start_soon(steer, call)
                await call.run()
                nursery.cancel_scope.cancel()

        async def steer(call):
            await call.say("Listen.")
            call.tell("It rains.", respond=True)
            with pytest.raises(Exception, match="busy"):
                await call.transfer("100")
            call.hang_up("Bye.")

        gc.disable()
        try:
            await hold()
            await trio.testing.wait_all_tasks_blocked()
            assert [part() for part in parts] == [None] * 4
        finally:
            gc.enable()
