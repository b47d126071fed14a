"""Reads sounds from WAV files."""

from __future__ import annotations

import io
import wave
from typing import TYPE_CHECKING, Final

from voicepipe.audio import AudioFormat, Sound

if TYPE_CHECKING:
    from voicepipe.components.values import File

RATES: Final = range(8000, 48_001)
"""The sample rates that a file may have, in Hz."""

LONGEST_S: Final = 120
"""The longest sound, in s: it is kept in memory in the format of each kind of call."""

SHORTEST_MS: Final = 100
"""The shortest sound, in ms: it is repeated."""


def sound_of(file: File) -> Sound:
    """Returns the sound in a WAV file.

    Raises:
        ValueError: the file is not a WAV file with 16-bit linear PCM, one channel, 8 to 48 kHz and 0.1 to 120 s.

    """
    try:
        with wave.open(io.BytesIO(file.content)) as sound:
            channels, width, rate = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
            samples = sound.readframes(sound.getnframes())
    except (wave.Error, EOFError) as error:
        what = "has another encoding than linear PCM" if "unknown format" in str(error) else "is not a WAV file"
        raise ValueError(what) from None
    if channels != 1:
        raise ValueError(f"has {channels} channels instead of one")
    if width != 2:
        raise ValueError(f"has {8 * width} bits a sample instead of 16")
    if rate not in RATES:
        raise ValueError(f"has a sample rate of {rate} Hz instead of 8,000 to 48,000")
    audio = AudioFormat(rate)
    if not SHORTEST_MS <= audio.ms_in(len(samples)) <= LONGEST_S * 1000:
        seconds = audio.ms_in(len(samples)) / 1000
        raise ValueError(f"lasts {seconds:.3g} s instead of {SHORTEST_MS / 1000:g} to {LONGEST_S} s")
    return Sound(str(file.name), samples, audio)
