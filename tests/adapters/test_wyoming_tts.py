"""The wyoming voice against a server that speaks the protocol: in memory, on the autojump clock."""

from __future__ import annotations

import pickle
from contextlib import asynccontextmanager
from itertools import groupby

import pytest
import trio
from attrs import evolve
from vendors.serving import Fault, open_memory_network
from vendors.tone import speech
from vendors.wyoming_server import WyomingServer, artifact

from voicepipe.adapters.wyoming.tts import SAMPLE, WyomingSpeechOptions, tts
from voicepipe.audio import AudioFormat
from voicepipe.components.events import SpeechAudio
from voicepipe.components.registry import Registry
from voicepipe.errors import ComponentError, Location

OPTIONS = WyomingSpeechOptions(address="mouth.test:10200")
CALL = AudioFormat(8000, "mulaw")
VOICE = AudioFormat(22050)


@pytest.fixture
async def server(monkeypatch):
    async with open_memory_network(monkeypatch) as network:
        vendor = WyomingServer()
        network.listen("mouth.test", vendor.serve, 10200)
        yield vendor


@asynccontextmanager
async def opened(resources, **options):
    async with tts.open(evolve(OPTIONS, **options), resources) as component:
        yield component


async def speak(component, *texts, language=None):
    """What is spoken, by segment."""
    spoken = []
    async with component.open_stream(component.output_for(CALL), language) as stream, trio.open_nursery() as nursery:

        async def send():
            for number, text in enumerate(texts):
                await stream.send(text, number)
            await stream.finish()

        nursery.start_soon(send)
        while (event := await stream.receive()) is not None:
            assert type(event) is SpeechAudio
            spoken.append(event)
    return {number: b"".join(one.audio for one in of) for number, of in groupby(spoken, lambda one: one.segment)}


async def failure(component):
    """What becomes of a text, and after how many s of waiting."""
    began = trio.current_time()
    async with component.open_stream(VOICE, None) as stream:
        await stream.send("What becomes of this?", 0)
        with pytest.raises(ComponentError) as caught:
            await _drain(stream)
    return caught.value, trio.current_time() - began


async def _drain(stream):
    while await stream.receive() is not None:
        pass


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("streams", [True, False])
async def test_every_segment_is_spoken(server, resources, autojump_clock, streams, inline):
    server.streams, server.inline = streams, inline
    async with opened(resources) as component:
        assert component.output_for(CALL) == component.output_for(AudioFormat(48000)) == VOICE
        spoken = await speak(component, "Good morning.", " ", "How are you? Fine!", "...")
        assert server.open <= 1
    sentences = ["How are you? ", "Fine!"] if streams else ["How are you? Fine!"]
    assert spoken == {0: speech("Good morning.", VOICE), 2: b"".join(speech(text, VOICE) for text in sentences)}


async def test_what_is_asked_of_a_server_that_takes_whole_texts(server, resources, autojump_clock):
    async with opened(resources) as component:
        await speak(component, "Good morning.")
    sample, asked = [event for event in server.asked if event.type != "describe"]
    assert (sample.type, sample.data) == ("synthesize", {"text": SAMPLE})
    assert (asked.type, asked.data) == ("synthesize", {"text": "Good morning."})


async def test_what_is_asked_of_a_server_that_takes_text_as_it_comes(server, resources, autojump_clock):
    server.streams = True
    async with opened(resources, voice="alice", speaker="low") as component:
        server.asked.clear()
        await speak(component, "Good morning.")
    voice = {"voice": {"name": "alice", "speaker": "low"}}
    assert [(event.type, event.data) for event in server.asked] == [
        ("synthesize-start", voice),
        ("synthesize-chunk", {"text": "Good morning."}),
        ("synthesize", {"text": "Good morning.", **voice}),
        ("synthesize-stop", {}),
    ]


@pytest.mark.parametrize(
    ("options", "language", "voice"),
    [
        ({}, None, None),
        ({}, "de", {"language": "de_DE"}),
        ({"language": "en-GB"}, "de", {"language": "en_US"}),
        ({"language": "fr"}, None, {"language": "fr"}),
        ({"voice": "bernd", "language": "en"}, "en", {"name": "bernd"}),
    ],
)
async def test_whose_voice_is_asked_for(server, resources, autojump_clock, options, language, voice):
    async with opened(resources, **options) as component:
        await speak(component, "Good morning.", language=language)
    assert server.asked[-1].data.get("voice") == voice


async def test_a_voice_of_a_second_program(server, resources, autojump_clock, monkeypatch):
    first, second = artifact("mouth", voices=server.voices), artifact("piper", models=[artifact("carl", languages=[])])
    monkeypatch.setattr(WyomingServer, "info", {"tts": [first, second]})
    async with opened(resources, voice="carl"):
        pass
    assert [event.data for event in server.asked if event.type == "select-program"] == [{"name": "piper"}]


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"asr": [{"name": "x"}]}, "offers no text-to-speech (it offers: asr)"),
        ({"tts": [{"name": "x", "voices": [{"name": "alice"}]}]}, "has no voice 'carl' (it has: alice)"),
    ],
)
async def test_a_server_without_what_is_needed(server, resources, autojump_clock, monkeypatch, info, said):
    monkeypatch.setattr(WyomingServer, "info", info)
    with pytest.raises(ComponentError) as caught:
        async with opened(resources, voice="carl"):
            pass
    assert str(caught.value) == said
    assert not caught.value.retryable


@pytest.mark.parametrize("streams", [True, False])
async def test_faults(server, resources, autojump_clock, streams):
    server.streams = streams
    async with opened(resources, timeout_s=3) as component:
        for fault, said, waited in [
            (Fault("stall"), "nothing came for 3 s", 3),
            (Fault("stall", 0), "nothing came for 3 s", 3),
            (Fault("stall", 3), "nothing came for 3 s", 3),
            (Fault("half_close"), "ended the connection before it had answered", 0),
            (Fault("half_close", 3), "ended the connection before it had answered", 0),
            (Fault("close", 1), "ended the connection before it had answered", 0),
            (Fault("reset", 3), "the connection broke", 0),
            (Fault("rubbish", 3), "sent what is not JSON", 0),
        ]:
            server.faults.append(fault)
            error, seconds = await failure(component)
            assert said in error.message, fault
            assert error.retryable
            assert seconds == pytest.approx(waited, abs=0.1), fault
        server.fault = Fault("drip")
        assert await speak(component, "Yes.") == {0: speech("Yes.", VOICE)}
        server.fault, server.error = None, ("no such speaker", "ValueError")
        error, _ = await failure(component)
        assert str(error) == "reported an error; answered: ValueError: no such speaker"
        server.error = None
        assert await speak(component, "Yes.") == {0: speech("Yes.", VOICE)}


@pytest.mark.parametrize("streams", [True, False])
async def test_an_empty_answer(server, resources, autojump_clock, streams):
    server.streams = streams
    async with opened(resources) as component:
        server.speak = lambda text, audio: b""
        error, _ = await failure(component)
    assert error.message == "answered a text without any audio"
    with pytest.raises(ComponentError, match=r"answered 'Hello.' without any audio"):
        async with opened(resources):
            pass


async def test_a_stall_while_it_opens(server, resources, autojump_clock):
    server.fault = Fault("stall", 2)
    began = trio.current_time()
    with pytest.raises(ComponentError, match="nothing came for 3 s"):
        async with opened(resources, timeout_s=3):
            pass
    assert trio.current_time() - began == pytest.approx(3, abs=0.1)


async def test_another_rate_than_was_promised(server, resources, autojump_clock):
    async with opened(resources) as component:
        server.rate = 16000
        error, _ = await failure(component)
    assert error.message == "speaks pcm16 at 16000 Hz now, it spoke pcm16 at 22050 Hz when it was opened"
    assert not error.retryable
    assert error.hint


@pytest.mark.parametrize(
    "shape",
    [
        {"rate": 22050, "width": 4, "channels": 1},
        {"rate": 22050, "width": 2, "channels": 2},
        {"rate": 100, "width": 2, "channels": 1},
        {"rate": "22050", "width": 2, "channels": 1},
        {},
    ],
)
async def test_audio_that_can_not_be_used(server, resources, autojump_clock, shape):
    async def odd(connection, text):
        await connection.send("audio-start", shape)

    server._speak = odd
    with pytest.raises(ComponentError, match="bytes a sample") as caught:
        async with opened(resources):
            pass
    assert not caught.value.retryable


async def test_audio_without_a_start_will_do(server, resources, autojump_clock):
    async def odd(connection, text):
        for piece in (b"\1", b"\2\3", b"", b"\4"):
            await connection.send("audio-chunk", {"rate": 22050, "width": 2, "channels": 1}, piece)
        await connection.send("audio-stop")

    server._speak = odd
    async with opened(resources) as component:
        assert await speak(component, "Yes.") == {0: b"\1\2\3\4"}


async def test_probing_speaks_nothing(server, resources, autojump_clock):
    async with opened(resources, voice="alice") as component:
        server.asked.clear()
        await component.probe()
        assert [event.type for event in server.asked] == ["describe"]
        server.describe_fault = Fault("close")
        with pytest.raises(ComponentError):
            await component.probe()
        server.describe_fault, server.voices = None, server.voices[1:]
        with pytest.raises(ComponentError, match="has no voice 'alice'"):
            await component.probe()


async def test_leaving_in_the_middle_closes_the_connection(server, resources, autojump_clock):
    server.speak = lambda text, audio: bytes(20_000_000) if text != SAMPLE else bytes(2000)
    async with opened(resources) as component:
        async with component.open_stream(VOICE, None) as stream:
            await stream.send("A very long story.", 0)
            assert type(await stream.receive()) is SpeechAudio
            assert server.open == 1
        await trio.sleep(1)
        assert server.open == 0


def test_options():
    assert list(tts.check(OPTIONS)) == []
    (problem,) = tts.check(evolve(OPTIONS, address="nowhere"))
    assert (problem.where, problem.path) == (Location(""), "address")
    (problem,) = tts.check(evolve(OPTIONS, speaker="low"))
    assert (problem.where, problem.path) == (Location(""), "speaker")
    with pytest.raises(ValueError, match="voice"):
        evolve(OPTIONS, voice="")


def test_it_says_what_it_is():
    assert Registry([tts]).get("tts", "wyoming") is tts
    options = evolve(OPTIONS, voice="alice")
    assert tts.label(options) == "alice"
    assert tts.label(OPTIONS) is None
    assert pickle.loads(pickle.dumps(options)) == options
