"""The wyoming adapters on real sockets: a server made with the `wyoming` package, and real recognition and speech."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import asynccontextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import trio
from patience import LONG_S
from vendors.wyoming_server import WyomingServer, open_wyoming

from voicepipe.adapters.espeak import tts as espeak
from voicepipe.adapters.wyoming import stt as wyoming_stt
from voicepipe.adapters.wyoming import tts as wyoming_tts
from voicepipe.audio import AudioFormat, open_converter
from voicepipe.components.events import SpeechAudio, Transcript
from voicepipe.components.requests import Listen
from voicepipe.errors import ComponentError

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "tests/vendors/wyoming_package_server.py"
CALL = AudioFormat(8000)
LOUD = b"\0\x10\0\xf0" * 800  # 100 ms at 16 kHz

hears = partial(wyoming_stt.WyomingTranscriptionOptions, timeout_s=LONG_S, connect_timeout_s=LONG_S)
speaks = partial(wyoming_tts.WyomingSpeechOptions, timeout_s=LONG_S, connect_timeout_s=LONG_S)


@asynccontextmanager
async def package_server(uri, *arguments):
    """The package's server in a process; gives its address, and the process."""
    if find_spec("wyoming") is None:
        pytest.skip("the package `wyoming` is not installed")
    command = [sys.executable, str(PROGRAM), uri, *arguments]
    process = await trio.lowlevel.open_process(command, stdout=subprocess.PIPE)
    try:
        with trio.fail_after(LONG_S):
            line = b""
            while not line.endswith(b"\n"):
                received = await process.stdout.receive_some()
                assert received, "the server ended"
                line += received
        yield line.decode().strip(), process
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            await process.stdout.aclose()


@pytest.fixture(params=["tcp", "unix"])
async def package_address(request, tmp_path):
    uri = "tcp://127.0.0.1:0" if request.param == "tcp" else f"unix://{tmp_path / 'wyoming.sock'}"
    async with package_server(uri) as (address, _process):
        assert address.startswith(request.param)
        yield address


async def drain(stream):
    events = []
    while (event := await stream.receive()) is not None:
        events.append(event)
    return events


async def spoken(component, *texts, language=None):
    async with component.open_stream(component.output_for(CALL), language) as stream, trio.open_nursery() as nursery:

        async def send():
            for number, text in enumerate(texts):
                await stream.send(text, number)
            await stream.finish()

        nursery.start_soon(send)
        events = await drain(stream)
    audio = [event for event in events if type(event) is SpeechAudio]
    return [b"".join(one.audio for one in audio if one.segment == number) for number in range(len(texts))]


async def heard(component, audio, listen=None):
    async with component.open_stream(component.input_for(CALL), listen or Listen()) as stream:
        for at in range(0, len(audio), 3200):
            await stream.send(audio[at : at + 3200])
        await stream.end_utterance()
        await stream.finish()
        return await drain(stream)


async def test_the_package_hears(package_address, resources):
    async with wyoming_stt.stt.open(hears(package_address, model="base", language="en-US"), resources) as component:
        await component.probe()
        for _ in range(2):
            *partials, final = await heard(component, LOUD * 5, Listen(phrases=("yes", "no")))
            assert final == Transcript("500 ms by base of ['yes', 'no']", final=True, language="en", audio_end_ms=500)
            assert {one.text for one in partials} <= {"so far"}


async def test_the_package_speaks(package_address, resources):
    async with wyoming_tts.tts.open(speaks(package_address, voice="alice"), resources) as component:
        await component.probe()
        assert component.output_for(CALL) == AudioFormat(22050)
        first, second = await spoken(component, "Good morning.", "Yes.")
        assert (len(first), len(second)) == (2 * 22050 * 260 // 1000, 2 * 22050 * 80 // 1000)
    async with wyoming_tts.tts.open(speaks(package_address), resources) as component:
        (another,) = await spoken(component, "Good morning.", language="de")
        assert len(another) == len(first)
        assert another != first


async def test_the_package_speaks_whole_texts_too(resources):
    async with (
        package_server("tcp://127.0.0.1:0", "--no-streaming") as (address, _process),
        wyoming_tts.tts.open(speaks(address.removeprefix("tcp://"), voice="alice"), resources) as component,
    ):
        (audio,) = await spoken(component, "Yes.")
        assert len(audio) == 2 * 22050 * 80 // 1000


async def test_a_server_that_is_killed(resources):
    async with (
        package_server("tcp://127.0.0.1:0") as (address, process),
        wyoming_stt.stt.open(hears(address), resources) as component,
    ):
        async with component.open_stream(component.input_for(CALL), Listen()) as stream:
            await stream.send(LOUD)
            assert (await stream.receive()).text == "so far"
            process.kill()
            await process.wait()
            with pytest.raises(ComponentError, match=r"ended the connection|the connection broke"):
                await stream.receive()
        with pytest.raises(ComponentError, match="can't be reached"):
            await component.probe()


async def test_a_socket_that_is_not_there(resources, tmp_path):
    with pytest.raises(ComponentError, match=r"no-such\.sock can't be reached") as caught:
        async with wyoming_stt.stt.open(hears(f"unix:{tmp_path}/no-such.sock"), resources):
            pass
    assert "No such file" in caught.value.answered


def test_the_package_reads_what_we_write_and_we_what_it_writes():
    """Its functions for plain files, in a process of its own: it brings a loop that is not ours."""
    from voicepipe.adapters.wyoming.wire_format import WyomingDecoder, WyomingEvent, encode  # noqa: PLC0415

    events = [
        WyomingEvent("audio-chunk", {"rate": 1, "text": "größer\n你好"}, b"{}\n\0" * 99),
        WyomingEvent("describe"),
    ]
    echo = "from wyoming.event import *\nwhile (event := read_event()) is not None: write_event(event)"
    written = b"".join(map(encode, events))
    echoed = subprocess.run([sys.executable, "-c", echo], input=written, capture_output=True, check=True).stdout
    assert list(WyomingDecoder().feed(echoed)) == events


@pytest.fixture
async def vosk_server():
    """The server of the tests with the tiny model behind it."""
    vosk = pytest.importorskip("vosk", reason="the extra `vosk` is not installed")
    vosk.SetLogLevel(-1)
    model = vosk.Model(str(ROOT / "config/models/tiny-en"))

    def recognise(rate, samples):
        recogniser = vosk.KaldiRecognizer(model, rate)
        recogniser.AcceptWaveform(samples)
        return json.loads(recogniser.FinalResult())["text"]

    server = WyomingServer()
    server.hear = lambda audio, samples: trio.to_thread.run_sync(recognise, audio.rate, samples)
    async with open_wyoming(server) as address:
        yield address


async def test_words_that_are_spoken_are_heard(vosk_server, resources):
    if find_spec("espeakng_loader") is None:
        pytest.skip("the extra `espeak` is not installed")
    async with (
        espeak.tts.open(espeak.EspeakOptions(), resources) as voice,
        wyoming_stt.stt.open(hears(vosk_server), resources) as ears,
    ):
        spoken_in, heard_in = voice.output_for(CALL), ears.input_for(CALL).format
        converter = open_converter(spoken_in, heard_in, live=False)
        texts = ("four five nine two", "yes")
        for text, audio in zip(texts, await spoken(voice, *texts), strict=True):
            line = bytes(heard_in.bytes_in(2000)) + converter.convert(audio) + bytes(heard_in.bytes_in(2000))
            *_, final = await heard(ears, line)
            assert final.text == text
