"""The kit on PocketSphinx, with the real library."""

from __future__ import annotations

import wave
from pathlib import Path

import pytest

from voicepipe.adapters.pocketsphinx.stt import PocketsphinxOptions, stt
from voicepipe.audio import AudioFormat
from voicepipe.components.values import File
from voicepipe.testing import conformance

pytest.importorskip("pocketsphinx", reason="the extra `pocketsphinx` is not installed")

SPEECH = Path(__file__).parents[2] / "tests/data/speech"


def recording(name):
    with wave.open(str(SPEECH / name)) as file:
        return AudioFormat(file.getframerate()), file.readframes(file.getnframes())


test_pocketsphinx = conformance.speech_to_text(
    stt,
    # Whether a phrase is clear enough is measured elsewhere: here each has to be heard, with no silence around it.
    PocketsphinxOptions(phrases=("yes", "no"), words=True, workers=2, strictness=0),
    speech=recording("yes-8k.wav"),
    words="yes",
    faults=dict.fromkeys(("refuse", "unauthorised", "throttled", "server_error", "rubbish", "deaf"))
    | {
        "broken": PocketsphinxOptions(
            grammar=File(Path("menu.jsgf"), b"#JSGF V1.0; grammar menu; public <menu> = (yes;")
        )
    },
)
