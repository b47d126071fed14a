"""The server that plays OpenAI's audio API is what OpenAI's own client takes it for, and refuses what they refuse."""

from __future__ import annotations

import io
import wave
from contextlib import asynccontextmanager

import httpx2
import openai
import pytest
from openai.types import audio
from vendors.openai_audio import KEY, SPEECH, AudioServer
from vendors.serving import open_vendor
from vendors.tone import speech


def recording(seconds: float = 0.5) -> tuple[str, bytes, str]:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setparams((1, 2, 8000, 0, "NONE", ""))
        writer.writeframes(bytes(int(16000 * seconds)))
    return "call.wav", file.getvalue(), "audio/wav"


@asynccontextmanager
async def client(key=KEY):
    async with (
        open_vendor(AudioServer()) as address,
        httpx2.AsyncClient(trust_env=False) as http,
        openai.AsyncOpenAI(api_key=key, base_url=f"{address.http}/v1", max_retries=0, http_client=http) as sdk,
    ):
        yield sdk


async def transcribe(sdk, **fields):
    return await sdk.audio.transcriptions.create(**{"file": recording(), "model": "gpt-transcribe", **fields})


async def test_transcriptions_are_objects_of_the_sdk():
    async with client() as sdk:
        plain = await transcribe(sdk, keywords=["Jones"], languages=["en", "de"])
        assert isinstance(plain, audio.Transcription)
        assert (plain.text, plain.usage.type, plain.languages[0].code) == ("hello world", "tokens", "en")
        sure = await transcribe(sdk, model="gpt-4o-transcribe", include=["logprobs"])
        assert [logprob.token for logprob in sure.logprobs] == ["hello", " world"]
        verbose = await transcribe(sdk, model="whisper-1", response_format="verbose_json", language="en")
        assert isinstance(verbose, audio.TranscriptionVerbose)
        assert (verbose.text, verbose.language, verbose.duration) == ("hello world", "english", 0.5)
        assert verbose.segments[0].text == " hello world"
        assert await transcribe(sdk, model="whisper-1", response_format="text") == "hello world\n"


async def test_streamed_transcriptions_are_events_of_the_sdk():
    async with client() as sdk, await transcribe(sdk, stream=True) as stream:
        *deltas, done = [event async for event in stream]
    assert all(isinstance(delta, audio.TranscriptionTextDeltaEvent) for delta in deltas)
    assert [delta.delta for delta in deltas] == ["hello", " world"]
    assert isinstance(done, audio.TranscriptionTextDoneEvent)
    assert (done.text, done.usage.output_tokens) == ("hello world", 2)


async def test_speech_is_what_the_sdk_reads():
    async with client() as sdk:
        spoken = await sdk.audio.speech.create(
            model="tts-1", voice="alloy", input="Hello.", response_format="pcm", stream_format="audio"
        )
        assert spoken.content == speech("Hello.", SPEECH)
        assert "tts-1" in {model.id async for model in sdk.models.list()}
        assert (await sdk.models.retrieve("whisper-1")).id == "whisper-1"


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"model": "whisper-9"}, 404, "`whisper-9` does not exist"),
        ({"file": ("call.txt", b"hello")}, 400, "Invalid file format. Supported formats: .*'wav'"),
        ({"file": recording(0.05)}, 400, "Audio file is too short"),
        ({"extra_body": {"volume": "11"}}, 400, "Unknown parameter: 'volume'"),
        ({"language": "en"}, 400, "'language' is not supported"),
        ({"temperature": 0}, 400, "'temperature' is not supported"),
        ({"keywords": ["<b>"]}, 400, "Invalid keyword"),
        ({"response_format": "verbose_json"}, 400, "'verbose_json' is not compatible"),
        ({"model": "whisper-1", "language": "en-US"}, 400, "ISO-639-1"),
        ({"model": "whisper-1", "temperature": 2}, 400, "between 0 and 1"),
        ({"model": "whisper-1", "keywords": ["Jones"]}, 400, "not supported with this model"),
    ],
)
async def test_transcriptions_are_refused(fields, status, said):
    async with client() as sdk:
        with pytest.raises(openai.APIStatusError, match=said) as raised:
            await transcribe(sdk, **fields)
    assert raised.value.status_code == status
    assert raised.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("fields", "status", "said"),
    [
        ({"model": "tts-9"}, 404, "`tts-9` does not exist"),
        ({"voice": "robot"}, 400, "Input should be 'nova', 'shimmer'"),
        ({"input": ""}, 400, "at least 1 character"),
        ({"input": "a" * 4097}, 400, "at most 4096 characters"),
        ({"speed": 9}, 400, "between 0.25 and 4"),
        ({"extra_body": {"emotion": "joy"}}, 400, "Unknown parameter: 'emotion'"),
    ],
)
async def test_speech_is_refused(fields, status, said):
    async with client() as sdk:
        with pytest.raises(openai.APIStatusError, match=said) as raised:
            await sdk.audio.speech.create(
                **{"model": "tts-1", "voice": "alloy", "input": "Hello.", "response_format": "pcm", **fields}
            )
    assert raised.value.status_code == status


async def test_a_wrong_key_is_refused():
    async with client(key="sk-wrong") as sdk:
        with pytest.raises(openai.AuthenticationError, match="Incorrect API key provided") as raised:
            await transcribe(sdk)
    assert raised.value.code == "invalid_api_key"
