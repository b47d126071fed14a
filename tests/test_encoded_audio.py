"""What is no audio is known by its first bytes, and audio is never taken for anything else."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from voicepipe.audio import from_pcm16
from voicepipe.components.encoded_audio import MOST_BYTES, encoding_of

DATA = Path(__file__).parent / "data"
FILES = {path.name: path.read_bytes() for path in sorted((DATA / "encoded").iterdir()) if path.suffix != ".md"}
NAMES = {
    ".mp3": "MP3",
    ".mp2": "MP2",
    ".aac": "AAC",
    ".latm": "AAC",
    ".ts": "MPEG transport stream",
    ".m4a": "MP4",
    ".mp4": "MP4",
    ".webm": "WebM or Matroska",
    ".mka": "WebM or Matroska",
    ".ogg": "Ogg (Opus)",
    ".flac": "FLAC",
    ".aiff": "AIFF",
    ".au": "AU",
    ".caf": "CAF",
    ".wma": "WMA",
    ".flv": "FLV",
    ".amr": "AMR",
    ".tta": "TTA",
    ".wv": "WavPack",
}
WAVS = {
    "wav-pcm.wav": "WAV (PCM, mono, 22050 Hz)",
    "wav-mulaw.wav": "WAV (mu-law, mono, 8000 Hz)",
    "wav-f32.wav": "WAV (floating point, mono, 24000 Hz)",
    "rf64.wav": "WAV (PCM, mono, 24000 Hz)",
    "w64.wav": "WAV",
}
SAID = {
    b'{"error":{"message":"model overloaded"}}': "JSON",
    b'\xef\xbb\xbf {"detail": "no such voice"}': "JSON",
    b'[{"error": {"code": 503}}]': "JSON",
    b"{'error': 'python'} is no JSON": "",
    '{"fehler": "Schlüssel ungültig"}'.encode(): "JSON",
    b"<html><head><title>502</title></head></html>": "HTML",
    b"\r\n<!DOCTYPE html>\n<html>": "HTML",
    b'<?xml version="1.0"?><Error><Code>403</Code>': "XML",
    b"<Error><Code>AccessDenied</Code></Error>": "XML",
    b'data: {"type":"speech.audio.delta","audio":"AAAA"}\n\n': "server-sent events",
    b"event: error\ndata: {}\n\n": "server-sent events",
    b": keep-alive\n\ndata: {}\n\n": "server-sent events",
    b"upstream connect error or disconnect/reset before headers. reset reason: timeout": "text",
    "Schlüssel ist nicht gültig, bitte prüfen Sie ihn.".encode(): "text",
    b"Internal Server Error": "text",
    b"Not Found": "text",
    b"Unauthorized\n": "text",
    b"UklGRuRXAABXQVZFZm10IBAAAAABAAEAwF0AAIC7AAACABAAZGF0YcBXAAD" * 3: "base64",
    b"//uQxAAAAAAAAAAAAAAAAAAAAAAASW5mbwAAAA8AAAAFAAAIqQBAQEBAQEBAQEBAQEBgYGBgYGBgYGBgYGCAgICAgICAgICAgICAoKCgoKCg"
    * 2: "base64",
    b"": "",
    b"{}": "",
    b"ok": "",
}
"""Whole answers: too short ones, which nobody would hear, are left to pass."""


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("size", [1, 7, 160, 1 << 20])
def test_what_is_encoded_is_known_however_it_comes(name, size):
    data, known = FILES[name], None
    for end in range(size, len(data) + size, size):
        known = encoding_of(data[:end], ended=end >= len(data))
        if known is not None:
            break
    assert known == (WAVS.get(name) or NAMES[Path(name).suffix])


@pytest.mark.parametrize("name", [name for name in FILES if name.startswith(("mp3-", "aac-"))])
def test_frames_are_known_before_much_would_be_heard(name):
    """A frame is 24 to 72 ms: four of them are 0.3 s at most."""
    assert encoding_of(FILES[name][:MOST_BYTES], ended=False)


@pytest.mark.parametrize(
    ("head", "declared"), [(b"\xff\xfb\x90\x64", "audio/mpeg"), (b"\xff\xf1\x50\x80\x1b\xff\xfc", "audio/aac")]
)
def test_a_media_type_makes_one_frame_enough(head, declared):
    data = head + b"\x5a" * 2000
    assert encoding_of(data, ended=False, declared="audio/pcm") == ""
    assert encoding_of(data, ended=False, declared=declared)


@pytest.mark.parametrize("text", SAID)
def test_text_is_no_audio(text):
    assert encoding_of(text, ended=True) == SAID[text]


def test_only_what_begins_like_something_else_is_waited_for():
    assert encoding_of(b"", ended=False) is None
    assert encoding_of(b"\x01\x00", ended=False) == ""
    assert encoding_of(b"\xff\xfb\x90\xc4", ended=False) is None
    assert encoding_of(b"\xff\xfb\x90\xc4" + bytes(MOST_BYTES), ended=False) == ""
    assert encoding_of(b"{", ended=False) is None
    assert encoding_of(b"{" * 300, ended=False) == ""


# --- Audio, which may hold any bytes -------------------------------------------------------------------------------


def recordings():
    for path in sorted((DATA / "speech").glob("*.wav")):
        with wave.open(str(path)) as file:
            yield np.frombuffer(file.readframes(file.getnframes()), "<i2")


def streams(random, count):
    """Beginnings of audio of all kinds: from anywhere within it, at any level."""
    n = np.arange(3000)
    spoken = list(recordings())
    for _ in range(count):
        loud, phase, rate = 2 ** random.uniform(0, 15), random.uniform(0, 7), random.choice([8000, 16000, 22050, 24000])
        words = spoken[random.integers(len(spoken))]
        at = random.integers(len(words) - len(n))
        yield "speech", words[at : at + len(n)] * random.uniform(0.02, 1.5)
        yield "speech that fades in", words[at : at + len(n)] * np.minimum(1, n / 500)
        yield "noise", random.normal(0, loud, len(n))
        yield "full-scale noise", random.uniform(-32768, 32767, len(n))
        yield "tone", loud * np.sin(2 * np.pi * random.uniform(20, 4000) * n / rate + phase)
        yield "square wave", loud * np.sign(np.sin(2 * np.pi * random.uniform(20, 1000) * n / rate + phase))
        yield "hum", loud / 8 * np.sin(2 * np.pi * 50 * n / rate + phase) + random.normal(0, 5, len(n))
        yield "an offset", np.full(len(n), random.integers(-32768, 32767)) + random.normal(0, 2, len(n))
        yield "silence", np.zeros(len(n))


def test_audio_is_never_taken_for_anything_else():
    """Nothing was, in 150,000 streams of a longer run of the same."""
    random = np.random.default_rng(20261130)
    alarms, waited, count = [], 0, 0
    for kind, samples in streams(random, 60):
        linear = np.clip(samples, -32768, 32767).astype("<i2").tobytes()
        for encoding in ("pcm16", "mulaw", "alaw"):
            audio = from_pcm16(linear, encoding)
            count += 1
            waited += encoding_of(audio[:160], ended=False) is None
            part = audio[: int(random.integers(2, 600))]
            found = (encoding_of(audio[:MOST_BYTES], ended=False), encoding_of(part, ended=True))
            alarms += [(kind, encoding, one) for one in found if one]
    assert alarms == []
    assert waited < count / 50
