"""Takes sounds that calls repeat from WAV files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from voicepipe.audio import Sound
from voicepipe.components.wav_file import read_wav

if TYPE_CHECKING:
    from voicepipe.components.values import File

HIGHEST_RATE: Final = 48_000
"""The highest sample rate of a sound, in Hz."""

LONGEST_S: Final = 120
"""The longest sound, in s: it is kept in memory in the format of each kind of call."""

SHORTEST_MS: Final = 100
"""The shortest sound, in ms: it is repeated."""


def sound_of(file: File) -> Sound:
    """Returns the sound in a WAV file.

    Raises:
        ValueError: it is no WAV file that a call can play, has more than 48,000 samples a second, or does not last 0.1
            to 120 s.

    """
    audio, samples = read_wav(file.content)
    if audio.rate > HIGHEST_RATE:
        raise ValueError(f"has {audio.rate} samples a second, not 8000 to {HIGHEST_RATE}")
    seconds = audio.ms_in(len(samples)) / 1000
    if not SHORTEST_MS / 1000 <= seconds <= LONGEST_S:
        raise ValueError(f"lasts {seconds:.3g} s, not {SHORTEST_MS / 1000:g} to {LONGEST_S} s")
    return Sound(str(file.name), samples, audio)
