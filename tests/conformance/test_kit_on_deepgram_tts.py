"""The kit on Deepgram's text-to-speech, over WebSocket and REST, against a server that speaks their API."""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from functools import partial

from vendors.deepgram_speak import DeepgramSpeak
from vendors.serving import Fault, open_vendor, patience_s
from vendors.tone import MS_A_CHAR

from voicepipe.adapters.deepgram.tts import DeepgramTtsOptions, tts
from voicepipe.components.values import Secret
from voicepipe.testing import conformance

TONE = (MS_A_CHAR * 0.8, MS_A_CHAR * 1.25)
"""The test server's voice is a quick one."""
LIMITS = conformance.Limits(streams=40, cancels=80)

BUSY = {"err_code": "TOO_MANY_REQUESTS", "err_msg": "Too many requests. Please try again later"}


@asynccontextmanager
async def served(fault=None, *, key="test-key", mute=False, **options):
    server = DeepgramSpeak()
    server.fault, server.mute = fault, mute
    server.requests, server.heard = deque(maxlen=1), deque(maxlen=1)  # it would fill the memory that is measured
    async with open_vendor(server) as address:
        secret = Secret(key, "${DEEPGRAM_API_KEY}")
        patience = {"timeout_s": patience_s(fault), "connect_timeout_s": patience_s(fault)}
        yield DeepgramTtsOptions(api_key=secret, base_url=address.http, **patience, **options)


FAULTS = {
    "refuse": partial(served, Fault("refuse")),
    "unauthorised": partial(served, key="another"),
    "throttled": partial(served, Fault("status", status=429, headers={"retry-after": "2"}, body=BUSY)),
    "server_error": partial(served, Fault("status", status=503)),
    "stall: before the head": partial(served, Fault("stall")),
    "stall: before anything": partial(served, Fault("stall", after=0)),
    "stall: in the middle": partial(served, Fault("stall", after=3)),
    "half_close: before the head": partial(served, Fault("half_close")),
    "half_close: in the middle": partial(served, Fault("half_close", after=3)),
    "empty: audio": partial(served, mute=True),
    "rubbish: before the head": partial(served, Fault("rubbish")),
    "rubbish: in the middle": partial(served, Fault("rubbish", after=3)),
    "broken": partial(served, model="aura-2-nobody-en"),
    "deaf": None,  # texts are short
}

test_deepgram_tts = conformance.text_to_speech(tts, served, ms_a_char=TONE, faults=FAULTS, limits=LIMITS)
test_deepgram_tts_by_rest = conformance.text_to_speech(
    tts,
    partial(served, transport="rest"),
    faults={name: of and partial(of, transport="rest") for name, of in FAULTS.items()},
    ms_a_char=TONE,
    limits=LIMITS,
)
