"""The kit on the wyoming adapters, over TCP."""

from __future__ import annotations

import wave
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from vendors.serving import Fault
from vendors.tone import MS_A_CHAR
from vendors.wyoming_server import WyomingServer, open_wyoming

from voicepipe.adapters.wyoming.stt import WyomingTranscriptionOptions, stt
from voicepipe.adapters.wyoming.tts import WyomingSpeechOptions, tts
from voicepipe.audio import AudioFormat
from voicepipe.testing import conformance

TONE = (MS_A_CHAR * 0.8, MS_A_CHAR * 1.25)
"""The test server's voice is a quick one."""

SPEECH = Path(__file__).parents[1] / "data/speech"
NOBODY = "127.0.0.1:1"
FAULTS = {
    "stall: before the answer": Fault("stall"),
    "stall: in the answer": Fault("stall", 1),
    "half_close: before the answer": Fault("half_close"),
    "half_close: in the answer": Fault("half_close", 1),
    "half_close: with a reset": Fault("reset", 1),
    "rubbish": Fault("rubbish", 1),
}


def recording(name):
    with wave.open(str(SPEECH / name)) as file:
        return AudioFormat(file.getframerate()), file.readframes(file.getnframes())


@asynccontextmanager
async def served(options, fault=None, describe_fault=None, error=None, empty=False, timeout_s=30.0, **how):
    """Options for a server of its own, with something wrong with it."""
    server = WyomingServer(streams=True)
    server.hear = lambda audio, samples: "four five nine two" if samples else ""
    server.fault, server.describe_fault, server.error = fault, describe_fault, error
    if empty:
        server.hear = lambda audio, samples: ""
        server.speak = lambda text, audio: b""
    async with open_wyoming(server) as address:
        yield options(address=address, timeout_s=timeout_s, **how)


def faults(options):
    wrong = partial(served, options, timeout_s=1.0)
    found = {name: partial(wrong, fault) for name, fault in FAULTS.items()}
    return found | {
        "refuse": options(NOBODY, timeout_s=1.0),
        "refuse: after it was taken": partial(wrong, describe_fault=Fault("refuse")),
        "stall: while it describes itself": partial(wrong, describe_fault=Fault("stall", 0)),
        "rubbish: instead of its description": partial(wrong, describe_fault=Fault("rubbish")),
        "server_error": partial(wrong, error=("out of memory", "RuntimeError")),
        "empty": partial(wrong, empty=True),
    }


test_wyoming_stt = conformance.speech_to_text(
    stt,
    partial(served, WyomingTranscriptionOptions),
    speech=recording("digits-8k.wav"),
    words="four five nine two",
    faults=faults(WyomingTranscriptionOptions)
    | {"broken": partial(served, WyomingTranscriptionOptions, model="no-such-model")},
    limits=conformance.Limits(deadline_s=30, streams=50),
)
test_wyoming_tts = conformance.text_to_speech(
    tts,
    partial(served, WyomingSpeechOptions),
    faults=faults(WyomingSpeechOptions) | {"broken": partial(served, WyomingSpeechOptions, voice="no-such-voice")},
    ms_a_char=TONE,
    limits=conformance.Limits(deadline_s=30, streams=50),
)
