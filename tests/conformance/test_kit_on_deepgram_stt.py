"""The kit on Deepgram's speech-to-text, over both of its APIs, as its local server speaks them."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

import trio
from vendors.deepgram_listen import DeepgramListen, speech
from vendors.serving import BEFORE_HEAD, Fault, open_vendor, patience_s

from voicepipe.adapters.deepgram.stt import stt
from voicepipe.adapters.deepgram.stt_options import DeepgramSttOptions
from voicepipe.audio import AudioFormat
from voicepipe.components.values import Secret
from voicepipe.testing import conformance

WORDS = "four five nine two"
KEY = "test-key"


class Deaf(DeepgramListen):
    """Takes the connection, and nothing else until it is told that nobody waits any more."""

    async def converse(self, request, socket):
        await trio.sleep(0.8)  # twice the adapter's patience
        while await socket.receive() is not None:
            pass


@asynccontextmanager
async def served(model, fault=None, *, key=KEY, server_of=DeepgramListen):
    server = server_of(KEY, remembers=1)
    server.fault = fault
    async with open_vendor(server) as address:
        patience = patience_s(Fault("stall") if server_of is Deaf else fault)
        yield DeepgramSttOptions(
            Secret(key, "${DEEPGRAM_API_KEY}"),
            model,
            base_url=address.http,
            connect_timeout_s=patience,
            timeout_s=patience,
        )


def faults(model):
    misbehaving = {
        "refuse": Fault("refuse"),
        "throttled": Fault("status", status=429, headers={"retry-after": "3"}),
        "server_error": Fault("status", status=503),
        "empty": Fault("empty", after=0),
    }
    for kind in "stall", "half_close", "rubbish":
        for after in BEFORE_HEAD, 0, 1, 4:
            where = {BEFORE_HEAD: "before the head", 0: "after the head"}.get(after, f"after message {after}")
            misbehaving[f"{kind}: {where}"] = Fault(kind, after=after)
    options = {name: partial(served, model, fault) for name, fault in misbehaving.items()}
    options["unauthorised"] = partial(served, model, key="another")
    options["deaf"] = partial(served, model, server_of=Deaf)
    options["broken"] = partial(served, "no-such-model")
    if model.startswith("flux"):  # it ends utterances by itself: nothing at all is all that can be seen of an empty one
        options["stall: with nothing at all"] = options.pop("empty")
        options["empty"] = None
    return options


def kit(model, streams):
    return conformance.speech_to_text(
        stt,
        partial(served, model),
        speech=(AudioFormat(8000), speech(WORDS)),
        words=WORDS,
        faults=faults(model),
        limits=conformance.Limits(deadline_s=8, streams=streams),
    )


test_nova = kit("nova-3", 40)
test_flux = kit("flux-general-en", 25)  # over the same connections
