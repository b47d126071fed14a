"""Reads WAV files of telephone recordings: mono, 16-bit PCM, A-law or mu-law. Pure functions.

Python's `wave` reads neither A-law nor mu-law, which telephone systems write, and refuses a file of which a chunk is
cut short.

Sources: "Multimedia Programming Interface and Data Specifications 1.0", IBM and Microsoft, 1991; RFC 2361 (codecs).
"""

from __future__ import annotations

from struct import unpack_from

from voicepipe.audio import AudioFormat, Encoding

RATES = range(8000, 192_001)
"""The sample rates that are taken, in Hz."""

REMEDY = "convert it with `sox FILE -r 16000 -c 1 -b 16 out.wav`"

_ENCODINGS: dict[tuple[int, int], Encoding] = {(1, 16): "pcm16", (6, 8): "alaw", (7, 8): "mulaw"}
_EXTENSIBLE = 0xFFFE
"""The codec of a file whose own codec is in the first two bytes of a GUID behind the header."""


def read_wav(content: bytes) -> tuple[AudioFormat, bytes]:
    """Returns the format and the samples of a WAV file.

    Raises:
        ValueError: it is no WAV file, or not one that a call can play; the text says what to do.

    """
    if content[:4] != b"RIFF" or content[8:12] != b"WAVE":
        raise ValueError(f"is no WAV file: {REMEDY}")
    audio: AudioFormat | None = None
    at = 12
    while at + 8 <= len(content):
        name, size = unpack_from("<4sI", content, at)
        body = content[at + 8 : at + 8 + size]
        if name == b"fmt ":
            audio = _format(body)
        elif name == b"data":
            if audio is None:
                break
            if len(body) < audio.sample_bytes:
                raise ValueError("has no audio in it")
            return audio, body[: len(body) - len(body) % audio.sample_bytes]
        at += 8 + size + size % 2
    raise ValueError(f"is a broken WAV file, without a header or without audio: {REMEDY}")


def _format(header: bytes) -> AudioFormat:
    if len(header) < 16:
        raise ValueError(f"is a WAV file with a broken header: {REMEDY}")
    codec, channels, rate, _, _, bits = unpack_from("<HHIIHH", header)
    if codec == _EXTENSIBLE and len(header) >= 26:
        (codec,) = unpack_from("<H", header, 24)
    encoding = _ENCODINGS.get((codec, bits))
    if encoding is None:
        raise ValueError(f"is a WAV file of codec {codec} with {bits} bits, not 16-bit PCM, A-law or mu-law: {REMEDY}")
    if channels != 1:
        raise ValueError(f"has {channels} channels, and a telephone has one: {REMEDY}")
    if rate not in RATES:
        raise ValueError(f"has {rate} samples a second, not {RATES[0]} to {RATES[-1]}: {REMEDY}")
    return AudioFormat(rate, encoding)
