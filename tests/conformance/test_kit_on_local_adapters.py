"""The kit on the adapters that need nobody else: each rule a test."""

from __future__ import annotations

import wave
from pathlib import Path

from voicepipe.adapters.espeak import tts as espeak
from voicepipe.adapters.scripted import llm as scripted
from voicepipe.adapters.vosk import stt as vosk
from voicepipe.audio import AudioFormat
from voicepipe.components.values import Directory, File
from voicepipe.testing import conformance

ROOT = Path(__file__).parents[2]
SPEECH = ROOT / "tests/data/speech"


ELSEWHERE = dict.fromkeys(("refuse", "unauthorised", "throttled", "server_error", "rubbish", "deaf"))
"""What can't go wrong with an engine on this machine."""


def recording(name):
    with wave.open(str(SPEECH / name)) as file:
        return AudioFormat(file.getframerate()), file.readframes(file.getnframes())


def script(name):
    path = ROOT / "config/scripts" / name
    return scripted.ScriptedOptions(File(path, path.read_bytes()))


def model(path):
    return vosk.VoskOptions(Directory(path, ""))


test_scripted = conformance.language_model(
    scripted.llm, script("reception.yaml"), faults=dict.fromkeys(conformance.FAULTS)
)

test_espeak = conformance.text_to_speech(
    espeak.tts,
    espeak.EspeakOptions(),
    faults={"broken": espeak.EspeakOptions(voice="no-such-voice"), **ELSEWHERE},
)
test_vosk = conformance.speech_to_text(
    vosk.stt,
    model(ROOT / "config/models/tiny-en"),
    speech=recording("digits-8k.wav"),
    words="four five nine two",
    faults={"broken": model(ROOT / "tests"), **ELSEWHERE},
    limits=conformance.Limits(streams=50),
)
