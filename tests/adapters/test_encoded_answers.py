"""Services that answer with a file, or a page, where samples were asked for: the same for every voice."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
import vendors.deepgram_speak
import vendors.elevenlabs
import vendors.openai_audio
from vendors.serving import open_memory_network
from vendors.wyoming_server import WyomingServer

from voicepipe.adapters.deepgram import tts as deepgram_tts
from voicepipe.adapters.elevenlabs import tts as elevenlabs
from voicepipe.adapters.openai import tts as openai_tts
from voicepipe.adapters.wyoming import tts as wyoming_tts
from voicepipe.audio import AudioFormat
from voicepipe.components.boundary import ComponentRef
from voicepipe.components.guards import GuardedTextToSpeech
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError

DATA = Path(__file__).parents[1] / "data/encoded"
ANSWERS = {
    "MP3": (DATA / "mp3-24000-64.mp3").read_bytes(),
    "AAC": (DATA / "aac-24000.aac").read_bytes(),
    "WebM": (DATA / "webm-opus.webm").read_bytes(),
    "Ogg": (DATA / "ogg-opus.ogg").read_bytes(),
    "MP4": (DATA / "m4a.m4a").read_bytes(),
    "WAV": (DATA / "wav-pcm.wav").read_bytes(),
    "JSON": b'{"error": {"message": "this voice is not available in your plan"}} ',
    "HTML": b"<!DOCTYPE html><html><body><h1>Welcome to nginx!</h1></body></html> ",
}


@asynccontextmanager
async def open_openai(network, resources):
    network.listen("openai.test", vendors.openai_audio.AudioServer())
    key = Secret(vendors.openai_audio.KEY, "${OPENAI_API_KEY}")
    options = openai_tts.OpenAISpeechOptions(api_key=key, base_url="http://openai.test:80/v1")
    async with openai_tts.tts.open(options, resources) as component:
        yield component


@asynccontextmanager
async def open_elevenlabs(network, resources):
    network.listen("eleven.test", vendors.elevenlabs.ElevenLabs())
    key = Secret("test-key", "${ELEVENLABS_API_KEY}")
    options = elevenlabs.ElevenLabsOptions(api_key=key, base_url="http://eleven.test:80")
    async with elevenlabs.tts.open(options, resources) as component:
        yield component


@asynccontextmanager
async def open_deepgram(network, resources, transport="websocket"):
    network.listen("deepgram.test", vendors.deepgram_speak.DeepgramSpeak())
    key = Secret("test-key", "${DEEPGRAM_API_KEY}")
    options = deepgram_tts.DeepgramTtsOptions(api_key=key, base_url="http://deepgram.test:80", transport=transport)
    async with deepgram_tts.tts.open(options, resources) as component:
        yield component


def open_deepgram_rest(network, resources):
    return open_deepgram(network, resources, "rest")


@asynccontextmanager
async def open_wyoming(network, resources):
    server = WyomingServer()
    server.speak = vendors.deepgram_speak.speech
    network.listen("mouth.test", server.serve, 10200)
    options = wyoming_tts.WyomingSpeechOptions(address="mouth.test:10200")
    async with wyoming_tts.tts.open(options, resources) as component:
        yield component


CALL = AudioFormat(8000, "mulaw")
VOICES = [open_openai, open_elevenlabs, open_deepgram, open_deepgram_rest, open_wyoming]


async def listen(edge, output, heard):
    async with edge.open_stream(output, None) as stream:
        await stream.send("Good morning.", 0)
        await stream.finish()
        with trio.fail_after(30):
            while (event := await stream.receive()) is not None:
                heard.append(event.audio)


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("open_voice", VOICES, ids=lambda one: one.__name__)
async def test_it_is_refused_before_anything_is_heard(autojump_clock, monkeypatch, resources, open_voice, name):
    for vendor in (vendors.openai_audio, vendors.elevenlabs, vendors.deepgram_speak):
        monkeypatch.setattr(vendor, "speech", lambda text, audio: ANSWERS[name][:1600])
    edge = GuardedTextToSpeech(ComponentRef("tts", "voice"))
    async with open_memory_network(monkeypatch) as network, open_voice(network, resources) as component:
        edge.up(component)
        output = edge.output_for(CALL)
        heard: list[bytes] = []
        with pytest.raises(ComponentError, match=f"sent {name}.*, where {output} was asked for") as caught:
            await listen(edge, output, heard)
    assert heard == []
    assert caught.value.retryable is (name in {"JSON", "HTML"})
    assert caught.value.hint
