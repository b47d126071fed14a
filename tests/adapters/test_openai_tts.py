"""The openai text-to-speech adapter against a server that speaks OpenAI's speech API, and what resembles it."""

from __future__ import annotations

import pickle
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from attrs import evolve
from vendors.openai_audio import KEY, SPEECH, AudioServer
from vendors.serving import BEFORE_HEAD, Fault, open_memory_network, open_vendor
from vendors.tone import speech

from voicepipe.adapters.openai.tts import MOST_CHARS, OpenAISpeechOptions, tts
from voicepipe.audio import AudioFormat
from voicepipe.components.boundary import ComponentRef
from voicepipe.components.events import SpeechAudio
from voicepipe.components.guards import GuardedTextToSpeech
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError

OPTIONS = OpenAISpeechOptions(api_key=Secret(KEY, "${OPENAI_API_KEY}"), base_url="http://openai.test:80/v1")


@pytest.fixture
async def network(monkeypatch):
    async with open_memory_network(monkeypatch) as network:
        yield network


@pytest.fixture
async def server(network):
    """A server in memory."""
    vendor = AudioServer()
    network.listen("openai.test", vendor)
    return vendor


@asynccontextmanager
async def opened(resources, **options):
    """The component as calls have it: probed, and behind its edge."""
    async with tts.open(evolve(OPTIONS, **options), resources) as component:
        await component.probe()
        edge = GuardedTextToSpeech(ComponentRef("tts", "voice"))
        edge.up(component)
        yield edge


async def drain(stream) -> list:
    events = []
    while (event := await stream.receive()) is not None:
        events.append(event)
    return events


async def speak(component, *texts) -> dict[int, bytes]:
    """The audio of each segment."""
    async with component.open_stream(component.output_for(AudioFormat(8000)), None) as stream:
        for number, text in enumerate(texts):
            await stream.send(text, number)
        await stream.finish()
        return audio_of(await drain(stream))


async def speak_with(resources, *texts, **options) -> dict[int, bytes]:
    async with opened(resources, **options) as component:
        return await speak(component, *texts)


def audio_of(events) -> dict[int, bytes]:
    spoken: dict[int, bytes] = {}
    for event in events:
        assert isinstance(event, SpeechAudio)
        assert event.audio
        assert len(event.audio) % 2 == 0
        assert event.segment >= max(spoken, default=0)
        spoken[event.segment] = spoken.get(event.segment, b"") + event.audio
    return spoken


async def test_segments_are_spoken_in_order(autojump_clock, server, resources):
    spoken = await speak_with(resources, "Good morning.", "How are you?", "Bye.")
    assert spoken == {
        0: speech("Good morning.", SPEECH),
        1: speech("How are you?", SPEECH),
        2: speech("Bye.", SPEECH),
    }
    assert server.spoken == [
        {
            "input": text,
            "model": "gpt-4o-mini-tts",
            "response_format": "pcm",
            "stream_format": "audio",
            "voice": "alloy",
        }
        for text in ("Good morning.", "How are you?", "Bye.")
    ]


async def test_the_voice_is_told_how_to_speak(autojump_clock, server, resources):
    await speak_with(resources, "Hello.", voice="coral", instructions="Speak calmly.", speed=1.2)
    [body] = server.spoken
    assert (body["voice"], body["instructions"], body["speed"]) == ("coral", "Speak calmly.", 1.2)


@pytest.mark.parametrize("chunk", [1, 3, 4800, 1 << 20])
async def test_samples_are_whole_however_the_answer_is_cut(autojump_clock, server, resources, chunk):
    server.chunk = chunk
    assert await speak_with(resources, "A.") == {0: speech("A.", SPEECH)}


async def test_blank_segments_say_nothing(autojump_clock, server, resources):
    spoken = await speak_with(resources, " ", "Hello.", "", "...", "Bye.")
    assert spoken == {1: speech("Hello.", SPEECH), 4: speech("Bye.", SPEECH)}
    assert len(server.spoken) == 2


async def test_nothing_to_say(autojump_clock, server, resources):
    assert await speak_with(resources) == {}
    assert server.spoken == []


async def test_a_text_that_is_too_long_is_spoken_in_pieces(autojump_clock, server, resources):
    text = "On and on it goes. " * 300
    spoken = await speak_with(resources, text)
    pieces = [body["input"] for body in server.spoken]
    assert "".join(pieces) == text
    assert all(len(piece) <= MOST_CHARS for piece in pieces)
    assert spoken == {0: b"".join(speech(piece, SPEECH) for piece in pieces)}


async def test_the_next_segment_is_asked_for_while_one_is_heard(autojump_clock, server, resources):
    async with opened(resources) as component, component.open_stream(SPEECH, None) as stream:
        for number, text in enumerate(["One.", "Two.", "Three.", "Four."]):
            await stream.send(text, number)
        await trio.testing.wait_all_tasks_blocked()
        assert len(server.spoken) == 2
        await stream.finish()
        assert set(audio_of(await drain(stream))) == {0, 1, 2, 3}


async def test_one_connection_is_kept(autojump_clock, server, resources):
    async with opened(resources) as component:
        for _ in range(3):
            await speak(component, "Hello.")
        assert server.connections == 1
    await trio.testing.wait_all_tasks_blocked()
    assert server.open == 0


async def test_who_does_not_receive_makes_them_wait(autojump_clock, server, resources):
    text = "On and on it goes. " * 100  # 2 MB
    server.chunk = 4000
    async with opened(resources) as component, component.open_stream(SPEECH, None) as stream:
        await stream.send(text, 0)
        await trio.sleep(100)  # longer than any deadline: they are not late, we are
        await stream.finish()
        assert audio_of(await drain(stream)) == {0: speech(text, SPEECH)}


# --- Servers of others ---------------------------------------------------------------------------------------------


class Compatible(AudioServer):
    """A server of somebody else's, which answers what it is given."""

    def __init__(self, kind, *pieces):
        super().__init__()
        self.kind, self.pieces = kind, pieces

    async def _speech(self, request, response):
        await response.start(200, {"content-type": self.kind} if self.kind else {})
        for piece in self.pieces:
            await response.send(piece)


@pytest.mark.parametrize(
    "kind", ["audio/pcm;rate=16000;channels=1", "audio/L16; rate=16000", "audio/pcm", "application/octet-stream", ""]
)
async def test_the_rate_is_the_servers(autojump_clock, network, resources, kind):
    audio = AudioFormat(16000)
    network.listen("openai.test", Compatible(kind, speech("Hello.", audio)))
    async with opened(resources, sample_rate=16000) as component:
        assert component.output_for(AudioFormat(8000, "mulaw")) == audio
        assert await speak(component, "Hello.") == {0: speech("Hello.", audio)}


@pytest.mark.parametrize(
    ("kind", "pieces", "retryable", "said"),
    [
        ("application/json; charset=utf-8", ['{"error": "out of memory"}'], True, "out of memory"),
        ("text/html", ["<h1>Welcome</h1>"], True, "Welcome"),
        ("audio/pcm; rate=22050", [b"\0\0" * 100], False, "sample_rate: 22050"),
        ("audio/wav", [b"RIFF\0\0\0\0WAVE", bytes(100)], False, "WAV.*pcm"),
        ("audio/pcm", [b"I", b"D", b"3", b"\4", bytes(100)], False, "MP3"),
        ("audio/pcm", [], True, "without any audio"),
        ("audio/pcm", [b"\1"], True, "without any audio"),
    ],
)
async def test_what_is_no_linear_audio_is_told(autojump_clock, network, resources, kind, pieces, retryable, said):
    network.listen("openai.test", Compatible(kind, *pieces))
    with pytest.raises(ComponentError, match=said) as raised:
        await speak_with(resources, "Hello.")
    assert raised.value.retryable is retryable


async def test_two_bytes_of_audio_are_audio(autojump_clock, network, resources):
    network.listen("openai.test", Compatible("audio/pcm", b"\1", b"\2"))
    assert await speak_with(resources, "Hello.") == {0: b"\1\2"}


# --- What goes wrong -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "retryable", "said"),
    [
        (Fault("status", status=401, body={"error": {"message": "Incorrect API key provided"}}), False, "OPENAI_API_"),
        (Fault("status", status=429, headers={"retry-after": "7"}), True, "429"),
        (Fault("status", status=500, body="oops"), True, "oops"),
        (Fault("stall"), True, "nothing came for 10 s"),
        (Fault("stall", after=0), True, "nothing came for 10 s"),
        (Fault("stall", after=1), True, "nothing came for 10 s"),
        (Fault("close"), True, "broke"),
        (Fault("close", after=1), True, "broke"),
        (Fault("half_close", after=2), True, "broke"),
        (Fault("reset", after=1), True, "broke"),
        (Fault("rubbish"), True, "broke"),
        (Fault("rubbish", after=1), True, "broke"),
        (Fault("empty"), True, "without any audio"),
    ],
    ids=str,
)
async def test_what_goes_wrong_is_told_in_time(autojump_clock, server, resources, fault, retryable, said):
    async with opened(resources) as component, component.open_stream(SPEECH, None) as stream:
        server.fault = fault
        began = trio.current_time()
        await stream.send("Good morning.", 0)
        await stream.finish()
        with pytest.raises(ComponentError, match=said) as raised:
            await drain(stream)
        assert trio.current_time() - began <= OPTIONS.timeout_s + 0.1
        assert raised.value.retryable is retryable
        assert raised.value.retry_after_s == (7 if fault.status == 429 else None)
        assert KEY not in str(raised.value)
        with pytest.raises(ComponentError):
            await stream.receive()


async def test_what_was_spoken_before_a_fault_is_heard(autojump_clock, server, resources):
    async with opened(resources) as component, component.open_stream(SPEECH, None) as stream:
        server.faults.extend([None, Fault("close", after=1)])
        heard = bytearray()

        async def hear_on() -> None:
            while True:
                heard.extend((await stream.receive()).audio)

        for number, text in enumerate(["One.", "Two, and so on.", "Three."]):
            await stream.send(text, number)
        with pytest.raises(ComponentError, match="broke"):
            await hear_on()
        assert heard.startswith(speech("One.", SPEECH))
        assert len(heard) == len(speech("One.", SPEECH)) + 4800
        with pytest.raises(ComponentError):
            await stream.send("Four.", 3)


async def test_an_answer_that_comes_byte_by_byte(autojump_clock, server, resources):
    async with opened(resources) as component:
        server.fault = Fault("drip")
        assert await speak(component, "A") == {0: speech("A", SPEECH)}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": "tts-9"}, "tts-9.*does not exist"),
        ({"voice": "robot"}, "Input should be 'nova'"),
        ({"api_key": Secret("sk-wrong", "${OPENAI_API_KEY}")}, "is \\${OPENAI_API_KEY} set"),
    ],
)
async def test_what_the_server_refuses_is_told(autojump_clock, server, resources, options, said):
    with pytest.raises(ComponentError, match=said) as raised:
        await speak_with(resources, "Hello.", **options)
    assert not raised.value.retryable
    assert raised.value.hint


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ({"model": "tts-1-hd", "instructions": "Be kind."}, "instructions"),
        ({"base_url": "localhost:8880"}, "base_url"),
        ({"base_url": None, "api_key": None}, "api_key"),
    ],
)
def test_options_that_do_not_go_together(options, path):
    [problem] = tts.check(evolve(OPTIONS, **options))
    assert problem.path == path
    assert problem.hint


@pytest.mark.parametrize("options", [{}, {"model": "kokoro", "voice": "af_heart", "api_key": None}, {"base_url": None}])
def test_options_that_do(options):
    assert [*tts.check(evolve(OPTIONS, **options))] == []
    assert pickle.loads(pickle.dumps(evolve(OPTIONS, **options))) == evolve(OPTIONS, **options)


@pytest.mark.parametrize("options", [{"voice": ""}, {"speed": 5}, {"sample_rate": 4000}, {"timeout_s": 0}])
def test_values_that_do_not_fit(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        evolve(OPTIONS, **options)


def test_logs_show_the_model_and_no_secret():
    assert tts.label(OPTIONS) == "gpt-4o-mini-tts"
    assert tts.label(evolve(OPTIONS, model=Secret("mine", "${MODEL}"))) == "${MODEL}"


# --- Streams -------------------------------------------------------------------------------------------------------


async def test_a_timeout_around_receive_loses_nothing(autojump_clock, server, resources):
    async with opened(resources) as component, component.open_stream(SPEECH, None) as stream:
        server.pause_s, server.chunk = 0.1, 1001
        await stream.send("Hello.", 0)
        await stream.finish()
        events, timeouts = [], 0
        while True:
            with trio.move_on_after(0.03) as scope:
                event = await stream.receive()
                if event is None:
                    break
                events.append(event)
            timeouts += scope.cancelled_caught
    assert timeouts > 10
    assert audio_of(events) == {0: speech("Hello.", SPEECH)}


async def test_a_stream_can_be_cancelled_anywhere(autojump_clock, server, resources):
    async with opened(resources) as component:
        server.pause_s, server.chunk = 0.1, 333
        for hundredths in range(0, 150, 2):
            with trio.move_on_after(hundredths / 100) as scope:
                assert set(await speak(component, "A", "B", "C")) == {0, 1, 2}
        assert not scope.cancelled_caught
        await trio.sleep(1)
        assert server.open <= 2
    await trio.testing.wait_all_tasks_blocked()
    assert server.open == 0


@pytest.mark.parametrize("after", [BEFORE_HEAD, 0, 1])
async def test_leaving_in_the_midst_drops_the_connections(autojump_clock, server, resources, after):
    async with opened(resources) as component:
        server.fault = Fault("stall", after=after)
        async with component.open_stream(SPEECH, None) as stream:
            await stream.send("One, and so on.", 0)
            await stream.send("Two, and so on.", 1)
            await trio.testing.wait_all_tasks_blocked()
            assert server.open >= 1
        await trio.testing.wait_all_tasks_blocked()
        assert server.open == 0


async def test_over_tcp(resources, open_files):
    vendor = AudioServer()
    async with open_vendor(vendor) as address:
        files = open_files()
        spoken = await speak_with(resources, "Hello.", "Bye.", base_url=f"{address.http}/v1")
        assert spoken == {0: speech("Hello.", SPEECH), 1: speech("Bye.", SPEECH)}
        vendor.fault = Fault("refuse")
        with pytest.raises(ComponentError) as raised:
            await speak_with(resources, "Hello.", base_url=f"{address.http}/v1")
        assert raised.value.retryable
    assert open_files() <= files
