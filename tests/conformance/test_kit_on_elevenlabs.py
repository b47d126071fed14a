"""The kit on the ElevenLabs adapter, against a server that speaks their API."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from functools import partial

from vendors.elevenlabs import ElevenLabs
from vendors.serving import Fault, open_vendor, patience_s
from vendors.tone import MS_A_CHAR

from voicepipe.adapters.elevenlabs.tts import ElevenLabsOptions, tts
from voicepipe.components.values import Secret
from voicepipe.testing import conformance

TONE = (MS_A_CHAR * 0.8, MS_A_CHAR * 1.25)
"""The test server's voice is a quick one."""
LIMITS = conformance.Limits(streams=40, cancels=80)

BUSY = {"detail": {"status": "too_many_concurrent_requests", "message": "Too many concurrent requests."}}


@asynccontextmanager
async def served(fault=None, key="test-key", **options):
    server = ElevenLabs(concurrent=1000)
    server.fault = fault
    server.requests = deque(maxlen=1)  # it would fill the memory that is measured
    async with open_vendor(server) as address:
        patience = {"timeout_s": patience_s(fault), "connect_timeout_s": patience_s(fault)}
        secret = Secret(key, "${ELEVENLABS_API_KEY}")
        yield ElevenLabsOptions(api_key=secret, base_url=address.http, **patience, **options)


FAULTS = {
    "refuse": partial(served, Fault("refuse")),
    "unauthorised": partial(served, key="another"),
    "throttled": partial(served, Fault("status", status=429, headers={"retry-after": "2"}, body=BUSY)),
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

test_elevenlabs = conformance.text_to_speech(tts, served, ms_a_char=TONE, faults=FAULTS, limits=LIMITS)
test_elevenlabs_with_timestamps = conformance.text_to_speech(
    tts,
    partial(served, timestamps=True),
    faults={name: of and partial(of, timestamps=True) for name, of in FAULTS.items()},
    ms_a_char=TONE,
    limits=LIMITS,
)
