"""The wyoming recogniser against a server that speaks the protocol: in memory, on the autojump clock."""

from __future__ import annotations

import pickle
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve
from vendors.serving import BEFORE_HEAD, Fault, open_memory_network
from vendors.tone import speech
from vendors.wyoming_server import WyomingServer, artifact

from voicepipe.adapters.wyoming.client import WyomingConnection
from voicepipe.adapters.wyoming.stt import WyomingTranscriptionOptions, stt
from voicepipe.adapters.wyoming.wire_format import WyomingEvent
from voicepipe.audio import AudioFormat
from voicepipe.components.events import Transcript
from voicepipe.components.registry import Registry
from voicepipe.components.requests import Listen, StreamInput
from voicepipe.errors import ComponentError, Location

OPTIONS = WyomingTranscriptionOptions(address="ears.test:10300")
AUDIO = AudioFormat(16000)
SAID = speech("twenty-four letters long", AUDIO) + bytes(AUDIO.bytes_in(20))  # 500 ms; speech has dips, noise has none
STEADY = speech("a" * 400, AUDIO)  # 8 s
SILENCE = bytes(AUDIO.bytes_in(1000))


@pytest.fixture
async def server(monkeypatch):
    async with open_memory_network(monkeypatch) as network:
        vendor = WyomingServer()
        network.listen("ears.test", vendor.serve, 10300)
        yield vendor


@asynccontextmanager
async def opened(resources, **options):
    async with stt.open(evolve(OPTIONS, **options), resources) as component:
        yield component


@asynccontextmanager
async def streaming(resources, listen=None, **options):
    async with (
        opened(resources, **options) as component,
        component.open_stream(component.input_for(AudioFormat(8000)), listen or Listen()) as stream,
    ):
        yield stream


async def feed(stream, audio, ms=100):
    size = AUDIO.bytes_in(ms)
    for at in range(0, len(audio), size):
        await stream.send(audio[at : at + size])


async def drain(stream):
    events = []
    while (event := await stream.receive()) is not None:
        events.append(event)
    return events


async def _use(stream):
    await feed(stream, SAID)
    await stream.end_utterance()
    await drain(stream)


async def failure(resources, **options):
    """What becomes of an utterance, and after how many s of waiting."""
    async with streaming(resources, **options) as stream:
        began = trio.current_time()
        with pytest.raises(ComponentError) as caught:
            await _use(stream)
        with pytest.raises(ComponentError) as again:
            await stream.receive()
        assert str(again.value) == str(caught.value)
        with pytest.raises(ComponentError):
            await stream.send(SAID)
    return caught.value, trio.current_time() - began


async def test_an_utterance_is_heard(server, resources, autojump_clock):
    async with streaming(resources) as stream:
        await feed(stream, SAID)
        assert server.connections == 2  # the description's, and this one, before the utterance has ended
        await stream.end_utterance()
        assert await stream.receive() == Transcript("500 ms", final=True, audio_end_ms=500)
        await stream.finish()
        assert await drain(stream) == []
    assert server.heard.pop() == (AUDIO, SAID)
    describe, transcribe, start = server.asked
    assert describe.type == "describe"
    assert (transcribe.type, transcribe.data) == ("transcribe", {})
    assert (start.type, start.data) == ("audio-start", {"rate": 16000, "width": 2, "channels": 1})
    assert server.open == 0


async def test_silence_is_not_sent(server, resources, autojump_clock):
    async with streaming(resources) as stream:
        await feed(stream, SILENCE * 60)
        await stream.end_utterance()
        assert await stream.receive() == Transcript("", final=True, audio_end_ms=60_000)
        await feed(stream, SAID + SILENCE * 30 + SAID + SILENCE)
        await stream.end_utterance()
        assert await stream.receive() == Transcript("2560 ms", final=True, audio_end_ms=92_000)
        await stream.finish()
        assert await drain(stream) == []
    assert len(server.heard) == 1
    margin = bytes(AUDIO.bytes_in(400))  # what was said ends with 20 ms of it
    assert server.heard.pop()[1] == margin + SAID + margin[640:] + margin + SAID + bytes(AUDIO.bytes_in(380))


async def test_partial_texts_come_before_the_end(server, resources, autojump_clock):
    server.streams = True
    async with streaming(resources) as stream:
        await feed(stream, SAID)
        so_far = await stream.receive()
        assert (so_far.text, so_far.final) == ("so far", False)
        assert 100 <= so_far.audio_end_ms <= 500
        await stream.end_utterance()
        assert await stream.receive() == Transcript("500 ms", final=True, language="en", audio_end_ms=500)


async def test_every_utterance_has_its_final(server, resources, autojump_clock):
    for closes in (True, False):
        server.closes = closes
        async with streaming(resources) as stream:
            for number in range(1, 4):
                await feed(stream, SAID * number + SILENCE)
                await stream.end_utterance()
            await feed(stream, SAID)
            await stream.finish()
            heard = await drain(stream)
        assert [one.text for one in heard] == ["880 ms", "1780 ms", "2280 ms", "900 ms"]
        assert [one.audio_end_ms for one in heard] == [1500, 3500, 6000, 6500]


async def test_audio_waits_while_the_server_is_busy_and_then_its_sender_does(server, resources, autojump_clock):
    answer = trio.Event()

    async def hear(_audio, samples):
        await answer.wait()
        return f"{len(samples) // 32} ms"

    server.hear = hear
    async with streaming(resources, timeout_s=60) as stream, trio.open_nursery() as nursery:
        await feed(stream, SAID)
        await stream.end_utterance()
        sent = []

        async def go_on():
            for number in range(20):
                await feed(stream, SAID * 2)
                sent.append(number)
            await stream.finish()

        nursery.start_soon(go_on)
        await trio.sleep(1)
        assert 5 < len(sent) < 15
        answer.set()
        heard = await drain(stream)
    assert [one.text for one in heard] == ["500 ms", "20000 ms"]


async def test_speech_without_an_end_is_transcribed_in_parts(server, resources, autojump_clock):
    async with streaming(resources, max_utterance_s=10) as stream:
        await feed(stream, SAID * 9 + STEADY + SILENCE)
        await stream.end_utterance()
        heard = [await stream.receive(), await stream.receive()]
        await feed(stream, SILENCE + SAID * 24)
        await stream.finish()
        heard += await drain(stream)
    assert [one.text for one in heard] == ["10000 ms", "2900 ms", "5400 ms", "5000 ms", "2000 ms"]
    assert heard[1].audio_end_ms == 13_500
    assert heard[-1].audio_end_ms == 26_500


async def test_a_server_may_find_the_end_by_itself(server, resources, autojump_clock):
    server.early_ms = 300
    async with streaming(resources) as stream:
        for at in range(0, len(SAID) * 2, AUDIO.bytes_in(100)):
            await stream.send((SAID * 2)[at : at + AUDIO.bytes_in(100)])
            await trio.sleep(0.1)
        await stream.end_utterance()
        heard = [await stream.receive() for _ in range(4)]
        await stream.finish()
        assert await drain(stream) == []
    assert heard == [
        Transcript("300 ms", final=True, audio_end_ms=300),
        Transcript("300 ms", final=True, audio_end_ms=600),
        Transcript("300 ms", final=True, audio_end_ms=900),
        Transcript("100 ms", final=True, audio_end_ms=1000),
    ]


async def test_what_such_a_server_takes_no_more_is_for_the_next_utterance(server, resources, autojump_clock):
    server.early_ms = 300
    async with streaming(resources) as stream:
        await feed(stream, STEADY)
        await stream.finish()
        heard = await drain(stream)
    assert heard[-1].audio_end_ms == 8000
    assert sum(int(one.text.split()[0]) for one in heard) > 600  # what was under way at an end is lost, not the rest


async def test_a_server_that_answers_unasked_is_an_error(server, resources, autojump_clock, monkeypatch):
    async def take_nothing(*_arguments):
        await trio.sleep_forever()

    async def answer(_connection):
        await trio.lowlevel.checkpoint()
        return WyomingEvent("transcript", {"text": "Thank you."})

    async with streaming(resources) as stream:
        monkeypatch.setattr(WyomingConnection, "send", take_nothing)
        monkeypatch.setattr(WyomingConnection, "receive", answer)
        await stream.send(SAID)
        with pytest.raises(ComponentError, match="before it had received any audio"):
            await stream.receive()


async def test_what_is_asked_for(server, resources, autojump_clock):
    server.models = [artifact("base", languages=["en", "de"]), artifact("big", languages=["pt_BR", "zh-Hans"])]
    async with streaming(resources, model="base", language="de-AT") as stream:
        for listen in (Listen(), Listen(phrases=("yes", "no"), language="en-US"), Listen(language="fr")):
            await stream.listen_for(listen)
            await stream.send(SAID)
            await stream.end_utterance()
            await stream.receive()
    asked = [event.data for event in server.asked if event.type == "transcribe"]
    assert asked == [
        {"name": "base", "language": "de"},
        {"name": "base", "language": "en", "transcript_terms": ["yes", "no"]},
        {"name": "base", "language": "fr"},
    ]


async def test_a_second_program_is_selected(server, resources, autojump_clock, monkeypatch):
    first = artifact("ears", models=server.models)
    second = artifact("more ears", models=[artifact("other", languages=["en"])])
    monkeypatch.setattr(WyomingServer, "info", {"asr": [first, second]})
    async with streaming(resources, model="other") as stream:
        await stream.send(SAID)
        await stream.end_utterance()
        await stream.receive()
    assert [event.data for event in server.asked if event.type == "select-program"] == [{"name": "more ears"}]


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"tts": [{"name": "x"}], "asr": []}, "offers no speech-to-text (it offers: tts)"),
        ({}, "offers no speech-to-text (it offers: nothing)"),
        ({"asr": [{"name": "x", "installed": False, "models": []}]}, "offers no speech-to-text (it offers: asr)"),
        (
            {"asr": [{"name": "x", "models": [{"name": f"m{number}"} for number in range(12)]}]},
            f"has no model 'base' (it has: {', '.join(f'm{number}' for number in range(10))} and 2 more)",
        ),
    ],
)
async def test_a_server_without_what_is_needed(server, resources, autojump_clock, monkeypatch, info, said):
    monkeypatch.setattr(WyomingServer, "info", info)
    with pytest.raises(ComponentError) as caught:
        async with opened(resources, model="base"):
            pass
    assert str(caught.value) == said
    assert not caught.value.retryable


async def test_odd_descriptions_are_put_up_with(server, resources, autojump_clock, monkeypatch):
    odd = {"asr": ["x", {"models": [None, {"languages": [3, "en"]}]}], "news": {"a": 1}, "satellite": None}
    monkeypatch.setattr(WyomingServer, "info", odd)
    async with opened(resources, language="en-GB") as component:
        await component.probe()


@pytest.mark.parametrize("inline", [True, False])
async def test_faults(server, resources, autojump_clock, inline):
    server.inline = inline
    for fault, said, waited in [
        (Fault("stall"), "nothing came for 3 s", 3),
        (Fault("stall", 0), "nothing came for 3 s", 3),
        (Fault("half_close", 0), "ended the connection before it had answered", 0),
        (Fault("close", 0), "ended the connection before it had answered", 0),
        (Fault("close"), "ended the connection before it had answered", 0),
        (Fault("reset", 0), "the connection broke", 0),
        (Fault("reset"), "the connection broke", 0),
        (Fault("rubbish", 0), "sent what is not JSON", 0),
    ]:
        server.faults.append(fault)
        error, seconds = await failure(resources, timeout_s=3)
        assert said in error.message, fault
        assert error.retryable
        assert seconds == pytest.approx(waited, abs=0.6), fault
        assert server.open == 0


@pytest.mark.parametrize("after", [1, 2])
async def test_a_stream_that_stops_in_the_middle(server, resources, autojump_clock, after):
    server.streams, server.fault = True, Fault("half_close", after)
    error, _ = await failure(resources)
    assert "ended the connection" in error.message


async def test_a_connection_that_ends_within_an_event(server, resources, autojump_clock):
    async def cut_short(connection, start):
        await connection.stream.send_all(b'{"type": "transcript", "data_length": 20}\n{"te')
        return False

    server._transcribe = cut_short
    error, _ = await failure(resources)
    assert error.message == "ended the connection in the middle of an event"


async def test_an_error_is_told_in_the_servers_words(server, resources, autojump_clock):
    server.error = "No model\nfor 'xx'", "ValueError"
    error, _ = await failure(resources)
    assert (error.message, error.answered) == ("reported an error", "ValueError: No model\nfor 'xx'")
    server.error = "x" * 5000, None
    error, _ = await failure(resources)
    assert error.answered == "x" * 5000


async def test_a_transcript_without_text(server, resources, autojump_clock):
    async def textless(connection, start):
        await connection.send("transcript", {"text": None})
        return False

    server._transcribe = textless
    error, _ = await failure(resources)
    assert error.message == "sent a transcript without text"


async def test_a_server_that_reads_nothing(server, resources, autojump_clock):
    async def deaf(connection, start):
        await trio.sleep_forever()

    server._transcribe = deaf
    async with streaming(resources, timeout_s=3) as stream:
        began = trio.current_time()
        with pytest.raises(ComponentError, match="took nothing for 3 s"):
            await feed(stream, SAID * 100)
        assert trio.current_time() - began == pytest.approx(3.5, abs=0.1)


async def test_a_drip_is_put_together(server, resources, autojump_clock):
    server.fault = Fault("drip", pause_s=0.01)
    async with streaming(resources) as stream:
        await feed(stream, SAID)
        await stream.end_utterance()
        assert (await stream.receive()).text == "500 ms"


async def test_the_next_stream_works_after_a_failure(server, resources, autojump_clock):
    server.faults.append(Fault("reset"))
    async with opened(resources) as component:
        async with component.open_stream(StreamInput(AUDIO), Listen()) as stream:
            await stream.send(SAID)
            with pytest.raises(ComponentError):
                await stream.receive()
        async with component.open_stream(StreamInput(AUDIO), Listen()) as stream:
            await stream.send(SAID)
            await stream.end_utterance()
            assert (await stream.receive()).text == "500 ms"


async def test_a_cancelled_receive_loses_nothing(server, resources, autojump_clock):
    server.streams = True
    async with streaming(resources) as stream:
        await feed(stream, SAID)
        for _ in range(3):
            with trio.move_on_after(0):
                await stream.receive()
        await trio.sleep(1)
        assert (await stream.receive()).text == "so far"
        await stream.end_utterance()
        with trio.move_on_after(0):
            await stream.receive()
        assert (await stream.receive()).text == "500 ms"


@pytest.mark.parametrize("kind", ["stall", "close", "reset", "half_close", "rubbish"])
@pytest.mark.parametrize("after", [BEFORE_HEAD, 0])
async def test_a_server_that_does_not_describe_itself(server, resources, autojump_clock, kind, after):
    server.describe_fault = Fault(kind, after)
    with trio.fail_after(4), pytest.raises(ComponentError):
        async with opened(resources, timeout_s=3):
            pass
    server.describe_fault = None
    async with opened(resources, timeout_s=3) as component:
        await component.probe()
        server.describe_fault = Fault(kind, after)
        with trio.fail_after(4), pytest.raises(ComponentError):
            await component.probe()


async def test_a_server_that_is_not_there(server, resources, autojump_clock):
    with pytest.raises(ComponentError) as caught:
        async with opened(resources, address="nobody.test:1"):
            pass
    assert caught.value.message == "nobody.test:1 can't be reached"
    assert "refused" in caught.value.answered
    assert caught.value.retryable
    assert caught.value.hint


async def test_a_connection_that_is_not_taken(resources, monkeypatch, autojump_clock):
    async with open_memory_network(monkeypatch) as network:
        network.latency_s = 60
        began = trio.current_time()
        with pytest.raises(ComponentError, match=r"ears.test:10300 did not take the connection within 5 s"):
            async with opened(resources):
                pass
        assert trio.current_time() - began == pytest.approx(5)


@pytest.mark.parametrize(
    "address",
    ["localhost:10300", "tcp://10.0.0.7:10300", "[::1]:10300", "tcp://[::1]:1", "unix:/run/x.sock", "unix:///run/x"],
)
def test_addresses(address):
    assert list(stt.check(WyomingTranscriptionOptions(address))) == []


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("", "it needs a host and a port"),
        ("localhost", "it needs a host and a port"),
        (":10300", "it needs a host and a port"),
        ("localhost:0", "it needs a host and a port"),
        ("localhost:99999", "Port out of range"),
        ("localhost:port", "Port could not be cast"),
        ("http://localhost:1", "more to it than host and port"),
        ("tcp://localhost:1/path", "more to it than host and port"),
        ("unix:run/x", "must begin with /"),
        ("unix://run/x", "must begin with /"),
        ("[::1", "Invalid IPv6"),
    ],
)
def test_no_addresses(address, said):
    (problem,) = stt.check(WyomingTranscriptionOptions(address))
    assert (problem.where, problem.path) == (Location(""), "address")
    assert said in problem.message
    assert "host:port" in problem.hint


def test_it_says_what_it_is():
    registry = Registry([stt])
    assert registry.get("stt", "wyoming") is stt
    options = WyomingTranscriptionOptions("localhost:10300", model="base")
    assert stt.label(options) == "base"
    assert pickle.loads(pickle.dumps(options)) == options
