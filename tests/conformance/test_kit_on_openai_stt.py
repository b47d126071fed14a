"""The kit on the openai speech-to-text adapter, against a server that speaks OpenAI's transcription API."""

from __future__ import annotations

import wave
from collections import deque
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from vendors.openai_audio import KEY, AudioServer
from vendors.serving import Address, Fault, open_vendor, patience_s

from voicepipe.adapters.openai.stt import OpenAITranscriptionOptions, stt
from voicepipe.audio import AudioFormat
from voicepipe.components.values import Secret
from voicepipe.testing import conformance

DIGITS = Path(__file__).parents[1] / "data/speech/digits-8k.wav"
LIMITED = {"error": {"message": "Rate limit reached for gpt-transcribe.", "type": "requests", "param": None}}


@asynccontextmanager
async def served(fault=None, key=KEY, **options):
    server = AudioServer()
    server.text = "Four, five, nine, two."
    server.fault = fault
    server.requests, server.uploads = deque(maxlen=1), deque(maxlen=1)  # it would fill the memory that is measured
    async with open_vendor(server) as address:
        yield options_for(address, key, patience_s(fault), **options)


@asynccontextmanager
async def deaf():
    """A server that takes connections, and nothing else."""
    listener, *_ = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        yield options_for(Address("127.0.0.1", listener.socket.getsockname()[1]), KEY, patience_s(Fault("stall")))


def options_for(address, key, timeout_s, **options):
    secret = Secret(key, "${OPENAI_API_KEY}")
    options |= {"timeout_s": timeout_s, "connect_timeout_s": timeout_s}
    return OpenAITranscriptionOptions(api_key=secret, base_url=f"{address.http}/v1", **options)


def speech():
    with wave.open(str(DIGITS)) as file:
        return AudioFormat(file.getframerate()), file.readframes(file.getnframes())


FAULTS = {
    "refuse": partial(served, Fault("refuse")),
    "unauthorised": partial(served, key="sk-another"),
    "throttled": partial(served, Fault("status", status=429, headers={"retry-after": "2"}, body=LIMITED)),
    "server_error": partial(served, Fault("status", status=503, body="overloaded")),
    "stall: before the head": partial(served, Fault("stall")),
    "stall: after the head": partial(served, Fault("stall", after=0)),
    "stall: in the middle": partial(served, Fault("stall", after=2)),
    "half_close: before the head": partial(served, Fault("half_close")),
    "half_close: in the middle": partial(served, Fault("half_close", after=2)),
    "empty": partial(served, Fault("empty")),
    "empty: in the middle": partial(served, Fault("empty", after=2)),
    "rubbish: before the head": partial(served, Fault("rubbish")),
    "rubbish: in the middle": partial(served, Fault("rubbish", after=2)),
    "broken": partial(served, model="gpt-nobody"),
    "deaf": deaf,
}
WHISPER = {
    name: partial(found, model="whisper-1")
    for name, found in FAULTS.items()
    if "middle" not in name and name not in {"broken", "deaf"}
}
check = partial(conformance.speech_to_text, stt, speech=speech(), words="four five nine two")

test_openai_stt = check(served, faults=FAULTS, limits=conformance.Limits(streams=40))
test_openai_stt_with_whisper = check(
    partial(served, model="whisper-1"), faults=WHISPER, limits=conformance.Limits(streams=40)
)
