"""What the tests' vendors speak with: a tone whose length tells how long the text is, and whose pitch which it is."""

from __future__ import annotations

from functools import cache
from zlib import crc32

import numpy as np

from voicepipe.audio import AudioFormat, from_pcm16

MS_A_CHAR = 20
"""How long a character is spoken."""


def pitch_of(text: str) -> int:
    """The text's own pitch, in Hz: 200 to 1,190 in steps of 10, so that it is whole in 100 ms."""
    return 200 + crc32(text.encode()) % 100 * 10


def ms_of(text: str) -> int:
    """How long it takes to speak."""
    return len(text) * MS_A_CHAR


@cache
def speech(text: str, audio: AudioFormat) -> bytes:
    """The text, spoken."""
    n = np.arange(audio.rate * ms_of(text) // 1000)
    samples = 8000 * np.sin(2 * np.pi * pitch_of(text) * n / audio.rate)
    return from_pcm16(samples.astype("<i2").tobytes(), audio.encoding)
