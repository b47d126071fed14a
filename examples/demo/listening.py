"""What recordings sound like, in figures: pitch, colour, and whether they hold a certain sentence."""

from __future__ import annotations

import wave
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np
from attrs import frozen

if TYPE_CHECKING:
    from pathlib import Path

Samples: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

RATE: Final = 8000
LOUD: Final = 300
"""Root mean square of a frame, of 32,768, that counts as speech."""
_FRAME: Final = 320
"""40 ms: three periods of the deepest voice."""
_PITCHES_HZ: Final = (70, 350)
_VOICED: Final = 0.6
"""How much a frame must resemble itself a period later to have a pitch."""
_WINDOW: Final = 256
_HOP: Final = 80
_BANDS_HZ: Final = (100, 300, 500, 700, 900, 1150, 1400, 1700, 2000, 2400, 2800, 3200, 3700)
_FLOOR: Final = 1e6
"""Added to the energy of a band, so that silence is no picture."""
_PAUSE: Final = 80
"""So many zeros in a row, which last 10 ms, are nothing that a line made: there came no audio."""


@frozen
class Recording:
    """A call's WAV."""

    caller: Samples
    """The left channel."""
    agent: Samples
    """The right one."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.caller) / RATE


def read_recording(path: Path) -> Recording:
    """Both sides of a call.

    Raises:
        ValueError: it is not 16-bit stereo at 8 kHz.

    """
    with wave.open(str(path), "rb") as file:
        if (file.getnchannels(), file.getsampwidth(), file.getframerate()) != (2, 2, RATE):
            raise ValueError(f"{path} is not 16-bit stereo at {RATE} Hz")
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).astype(np.float64)
    return Recording(both[:, 0], both[:, 1])


def samples(pcm: bytes) -> Samples:
    """16-bit LE mono PCM as numbers."""
    return np.frombuffer(pcm, "<i2").astype(np.float64)


def loudness(audio: Samples) -> float:
    """Root mean square of what is loud enough to be speech; 0 if nothing is."""
    frames = _loud_frames(audio)
    return float(np.sqrt((frames**2).mean())) if len(frames) else 0.0


def pitch_hz(audio: Samples) -> float:
    """The voice's usual pitch: the median over the voiced frames; 0 if there is none."""
    shortest, longest = RATE // _PITCHES_HZ[1], RATE // _PITCHES_HZ[0]
    found = []
    for frame in _loud_frames(audio):
        centred = frame - frame.mean()
        itself = np.correlate(centred, centred, "full")[_FRAME - 1 :]
        period = shortest + int(itself[shortest:longest].argmax())
        if itself[period] > _VOICED * itself[0]:
            found.append(RATE / period)
    return float(np.median(found)) if found else 0.0


def brightness_hz(audio: Samples) -> float:
    """The centre of the spectrum, weighted by magnitude, over all speech; 0 if there is none."""
    frames = _loud_frames(audio)
    spectrum = np.abs(np.fft.rfft(frames * np.hanning(_FRAME), axis=1)).sum(axis=0)
    return float((spectrum * np.fft.rfftfreq(_FRAME, 1 / RATE)).sum() / spectrum.sum()) if len(frames) else 0.0


def find_speech(sentence: Samples, audio: Samples) -> tuple[float, float]:
    """Where a sentence is most likely to be in some audio, in s, and how much that place resembles it (1: wholly).

    Compares pictures of the two: energy in twelve bands over time. The same words in the same voice come to 0.97
    and more, and other words to less than 0.8; samples themselves would not do, as espeak-ng's pitch flutters.
    Pauses without any audio are left out of both: where frames came late, a caller hears one.
    """
    sounds, places = _sounding(sentence), _sounding(audio)
    if not sounds.size or not places.size:
        return 0.0, 0.0
    wanted, there = _picture(sentence[sounds]), _picture(audio[places])
    wanted -= wanted.mean()
    best, place = 0.0, 0
    for at in range(len(there) - len(wanted) + 1):
        part = there[at : at + len(wanted)]
        part = part - part.mean()
        alike = float((wanted * part).sum() / np.sqrt((wanted**2).sum() * (part**2).sum() + 1e-9))
        if alike > best:
            best, place = alike, at
    into = min(_FRAME, len(sounds) - 1)  # not at the edge, or it might be before the pause
    found = int(places[min(place * _HOP + into, len(places) - 1)])
    return max(0, found - int(sounds[into])) / RATE, best


def _sounding(audio: Samples) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where there is audio."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], audio == 0, [0]))))
    silent = np.zeros(len(audio), bool)
    for start, end in edges.reshape(-1, 2):
        silent[start:end] = end - start >= _PAUSE
    return np.flatnonzero(~silent)


def _loud_frames(audio: Samples) -> Samples:
    frames = audio[: len(audio) // _FRAME * _FRAME].reshape(-1, _FRAME)
    loud: Samples = frames[np.sqrt((frames**2).mean(axis=1)) >= LOUD]
    return loud


def _picture(audio: Samples) -> Samples:
    """The logarithm of the energy in each band, every 10 ms."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(audio, (0, _WINDOW)), _WINDOW)[::_HOP]
    power = np.abs(np.fft.rfft(windows * np.hanning(_WINDOW), axis=1)) ** 2
    edges = [band * _WINDOW // RATE for band in _BANDS_HZ]
    picture: Samples = np.log(np.add.reduceat(power, edges, axis=1)[:, :-1] + _FLOOR)
    return picture
