"""`Calls` lists the calls that are up, and nothing of a call stays when it is over."""

import gc
import wave
import weakref

import pytest
import trio

from voicepipe.audio import open_converter
from voicepipe.calls.open_call import Calls, open_call
from voicepipe.calls.replies import speaking
from voicepipe.components.requests import CallInfo
from voicepipe.errors import TransferFailed
from voicepipe.testing.buffering_transport import BufferingTransport
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


@pytest.fixture
def no_threads(monkeypatch):
    """What a thread is to do is done at once: virtual time would go on meanwhile."""

    async def run_sync(function, *args, **_options):
        await trio.lowlevel.checkpoint()
        return function(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


def recording(folder, seconds):
    """A WAV file of a tone at 24 kHz, which is converted for the line."""
    with wave.open(str(folder / "tune.wav"), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(b"\0\1" * 24_000 * seconds)
    return folder / "tune.wav"


@pytest.mark.parametrize("kind", [MemoryTransport, BufferingTransport])
@pytest.mark.parametrize("way", ["say", "say much", "play"])
async def test_what_a_line_that_takes_nothing_was_to_say_is_not_whole(autojump_clock, no_threads, tmp_path, kind, way):
    transport, outcomes = kind(), []
    components = ScriptedSpeechToText(), ScriptedLanguageModel(lambda _request: "I see."), ToneTextToSpeech()
    async with (
        open_test_pipeline(*components) as pipeline,
        trio.open_nursery() as nursery,
        open_call(pipeline, transport) as call,
    ):

        async def steer():
            await trio.sleep(1)
            transport.block()
            if way == "play":
                outcomes.append(await call.play(recording(tmp_path, 30), text="A tune."))
            else:
                outcomes.append(await call.say("A sentence. " * (1 if way == "say" else 40)))
            assert trio.current_time() == pytest.approx(6.0, abs=0.5)
            await transport.hang_up_as_caller()

        nursery.start_soon(transport.be_silent, 60_000)
        nursery.start_soon(steer)
        await call.run()
        nursery.cancel_scope.cancel()
    assert [(outcome.heard, outcome.whole) for outcome in outcomes] == [("", False)]


async def test_a_long_recording_is_converted_as_it_is_listened_to(autojump_clock, no_threads, tmp_path, monkeypatch):
    """No other call waits while all of it is converted; what is heard and what is told of it is the same."""
    transport, pieces, outcomes = BufferingTransport(), [], []

    def open_noted(*formats, live):
        converter = open_converter(*formats, live=live)
        return converter if converter is None else Noted(converter)

    monkeypatch.setattr(speaking, "open_converter", open_noted)

    class Noted:
        def __init__(self, converter):
            self.converter, self.finish = converter, converter.finish

        def convert(self, audio):
            pieces.append((trio.current_time(), len(audio)))
            return self.converter.convert(audio)

    components = ScriptedSpeechToText(), ScriptedLanguageModel(lambda _request: "I see."), ToneTextToSpeech()
    async with (
        open_test_pipeline(*components) as pipeline,
        trio.open_nursery() as nursery,
        open_call(pipeline, transport) as call,
    ):

        async def steer():
            await trio.sleep(1)
            transport.sounds.clear()
            outcomes.append(await call.play(recording(tmp_path, 20), text="A tune."))
            await transport.hang_up_as_caller()

        nursery.start_soon(transport.be_silent, 60_000)
        nursery.start_soon(steer)
        await call.run()
        nursery.cancel_scope.cancel()
    assert [size for _, size in pieces] == [48_000] * 20
    assert pieces[-1][0] - pieces[0][0] > 10
    assert len(transport.heard) == pytest.approx(20 * 16_000, abs=320)
    assert [(outcome.heard, outcome.whole) for outcome in outcomes] == [("A tune.", True)]


@pytest.mark.parametrize("kind", [MemoryTransport, BufferingTransport])
async def test_a_transfer_in_memory_ends_the_call_only_if_somebody_takes_it(autojump_clock, kind, nursery):
    transport = kind()
    nursery.start_soon(transport.run, Reasons())
    await trio.testing.wait_all_tasks_blocked()
    transport.transfer_fails, transport.rings_s = "busy", 3.0
    with pytest.raises(TransferFailed, match="busy"):
        await transport.transfer("100")
    assert (trio.current_time(), transport.ended.is_set()) == (3.0, False)
    transport.write(bytes(320))
    await trio.sleep(1)
    assert len(getattr(transport, "heard", transport.said)) == 320
    transport.transfer_fails, transport.rings_s = "", 60.0
    with trio.fail_after(3):
        async with trio.open_nursery() as both:
            both.start_soon(hang_up_after_a_second, transport)
            with pytest.raises(TransferFailed, match="hung up"):
                await transport.transfer("100")
    assert trio.current_time() == 5.0


async def hang_up_after_a_second(transport):
    await trio.sleep(1)
    await transport.hang_up_as_caller()


class Reasons:
    """The part of a call that takes its end."""

    def hung_up(self, reason):
        assert reason == "the caller hung up"
