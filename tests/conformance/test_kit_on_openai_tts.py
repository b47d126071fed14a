"""The kit on the openai text-to-speech adapter, against a server that speaks OpenAI's speech API."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from functools import partial

from vendors.openai_audio import KEY, AudioServer
from vendors.serving import Fault, open_vendor, patience_s
from vendors.tone import MS_A_CHAR

from voicepipe.adapters.openai.tts import OpenAISpeechOptions, tts
from voicepipe.components.values import Secret
from voicepipe.testing import conformance

TONE = (MS_A_CHAR * 0.8, MS_A_CHAR * 1.25)
"""The test server's voice is a quick one."""
LIMITS = conformance.Limits(streams=40, cancels=80)

LIMITED = {"error": {"message": "Rate limit reached for tts-1.", "type": "requests", "param": None}}


@asynccontextmanager
async def served(fault=None, key=KEY, **options):
    server = AudioServer()
    server.fault = fault
    server.requests, server.spoken = deque(maxlen=1), deque(maxlen=1)  # it would fill the memory that is measured
    async with open_vendor(server) as address:
        patience = {"timeout_s": patience_s(fault), "connect_timeout_s": patience_s(fault)}
        secret = Secret(key, "${OPENAI_API_KEY}")
        yield OpenAISpeechOptions(api_key=secret, base_url=f"{address.http}/v1", **patience, **options)


FAULTS = {
    "refuse": partial(served, Fault("refuse")),
    "unauthorised": partial(served, key="sk-another"),
    "throttled": partial(served, Fault("status", status=429, headers={"retry-after": "2"}, body=LIMITED)),
    "server_error": partial(served, Fault("status", status=500)),
    "stall: before the head": partial(served, Fault("stall")),
    "stall: in the middle": partial(served, Fault("stall", after=2)),
    "half_close: before the head": partial(served, Fault("half_close")),
    "half_close: in the middle": partial(served, Fault("half_close", after=2)),
    "empty": partial(served, Fault("empty")),
    "rubbish: before the head": partial(served, Fault("rubbish")),
    "rubbish: in the middle": partial(served, Fault("rubbish", after=2)),
    "broken": partial(served, voice="nobody"),
    "deaf": None,  # texts are short
}

test_openai_tts = conformance.text_to_speech(tts, served, ms_a_char=TONE, faults=FAULTS, limits=LIMITS)
