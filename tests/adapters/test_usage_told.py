"""Usage as vendors tell it, from the wire to the record of a call."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
from vendors.deepgram_speak import DeepgramSpeak
from vendors.elevenlabs import ElevenLabs
from vendors.openai_audio import KEY, AudioServer
from vendors.openai_requests import KEY as LLM_KEY
from vendors.openai_server import OpenAIServer, Says
from vendors.serving import open_memory_network

from voicepipe.adapters.deepgram.tts import DeepgramTtsOptions
from voicepipe.adapters.deepgram.tts import tts as deepgram
from voicepipe.adapters.elevenlabs.tts import ElevenLabsOptions
from voicepipe.adapters.elevenlabs.tts import tts as elevenlabs
from voicepipe.adapters.openai.llm import llm
from voicepipe.adapters.openai.llm_options import OpenAIOptions
from voicepipe.adapters.openai.stt import OpenAITranscriptionOptions, stt
from voicepipe.adapters.openai.transcript import read_transcription
from voicepipe.calls.record import CallRecorder
from voicepipe.components.events import Usage
from voicepipe.components.values import Secret
from voicepipe.testing.calls import RehearsedCall


@pytest.mark.parametrize("voice", ["elevenlabs", "deepgram"])
async def test_the_record_of_a_call_has_what_each_vendor_told(autojump_clock, monkeypatch, resources, voice):
    model = OpenAIServer()
    model.answers.append(Says("Good morning."))
    async with AsyncExitStack() as stack:
        network = await stack.enter_async_context(open_memory_network(monkeypatch))
        network.listen("llm.test", model)
        network.listen("stt.test", AudioServer())
        network.listen("tts.test", ElevenLabs() if voice == "elevenlabs" else DeepgramSpeak())
        ears = OpenAITranscriptionOptions(api_key=Secret(KEY, "K"), base_url="http://stt.test:80/v1", model="whisper-1")
        mind = OpenAIOptions(api_key=Secret(LLM_KEY, "K"), base_url="http://llm.test:80/v1", model="gpt-4.1-mini")
        key, url = Secret("test-key", "K"), "http://tts.test:80"
        if voice == "elevenlabs":
            speech = elevenlabs.open(ElevenLabsOptions(api_key=key, base_url=url), resources)
        else:
            speech = deepgram.open(DeepgramTtsOptions(api_key=key, base_url=url, transport="rest"), resources)
        parts = [
            await stack.enter_async_context(part)
            for part in (stt.open(ears, resources), llm.open(mind, resources), speech)
        ]
        recorder = CallRecorder()
        call = RehearsedCall(*parts, settings={"greeting": ""})
        call.events = type("Events", (list,), {"append": lambda _, event: recorder.observe(event)})()

        async def caller():
            await call.transport.be_silent(1000)
            await call.transport.say(1000)
            await call.transport.be_silent(5000)
            await call.transport.hang_up_as_caller()

        await call.hold(caller)
    ears, mind, voice = recorder.record.usage
    assert recorder.record.turns[-1].said == "Good morning."
    assert (ears.role, ears.reported, ears.input_tokens) == ("stt", 1, None)
    assert 1 <= ears.charged_audio_s <= 3 < ears.audio_s  # of an utterance, in whole seconds
    assert (mind.role, mind.requests, mind.reported) == ("llm", 1, 1)
    assert (mind.input_tokens, mind.output_tokens) == (2, 2)  # words, by the count of the test's server
    assert (mind.characters, mind.audio_s) == (None, None)
    assert (voice.role, voice.reported) == ("tts", 1)
    assert voice.characters == voice.charged_characters == len("Good morning.")


@pytest.mark.parametrize(
    ("told", "usage"),
    [
        ({"type": "duration", "seconds": 3}, Usage(audio_s=3.0)),
        ({"type": "tokens", "input_tokens": 14, "output_tokens": 45, "total_tokens": 59}, Usage(14, 45)),
        ({"type": "tokens", "input_tokens": 14}, Usage(14)),
        ({"type": "duration", "seconds": -1}, None),
        ({"type": "duration", "seconds": "3"}, None),
        ({}, None),
        (None, None),
        ("3 s", None),
    ],
)
def test_what_a_transcription_says_of_its_usage(told, usage):
    assert read_transcription({"text": "hello", "usage": told}, 0.6).usage == usage
