"""The sounds of a pipeline, ready for its calls."""

from __future__ import annotations

import math
from array import array
from functools import cache
from random import Random
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from attrs import frozen

from voicepipe.audio import AudioFormat, Sound
from voicepipe.config.wav import sound_of

if TYPE_CHECKING:
    from voicepipe.components.values import File
    from voicepipe.config.settings import PipelineSettings

USUAL: Final = (AudioFormat(8000), AudioFormat(16000), AudioFormat(8000, "mulaw"))
"""The formats of most calls; a sound is converted to them when its pipeline is opened, to others by the first call."""

RING_HZ: Final = 425
RING_S: Final = (1, 4)
"""The tone and the pause after it."""
RING_DBOV: Final = -20

NOISE_S: Final = 8
"""The length of comfort noise, in s, after which it repeats."""

_FULL: Final = 32767


@frozen
class Sounds:
    """The sounds of one pipeline; None: it has no such sound."""

    hold: Sound | None = None
    """Played while the caller waits for a tool or a transfer."""
    ringback: Sound | None = None
    """Played until the agent speaks first."""
    noise: Sound | None = None
    """Played whenever nothing else is."""


def open_sounds(settings: PipelineSettings) -> Sounds:
    """Makes the sounds of a pipeline, and converts them to the usual formats; takes some ms for each minute of sound.

    The files were checked when they were read.
    """
    hold, ringback, dbov = settings.hold, settings.ringback, settings.comfort_noise
    sounds = Sounds(
        hold=None if hold is None else _of(hold.file),
        ringback=None if ringback is None else ring() if ringback.file is None else _of(ringback.file),
        noise=None if dbov is None else comfort_noise(dbov),
    )
    for sound in (sounds.hold, sounds.ringback, sounds.noise):
        if sound is not None:
            for audio in USUAL:
                sound.in_format(audio)
    return sounds


def _of(file: File) -> Sound:
    """Returns the sound of a file; files with equal contents share it, also across versions."""
    sound = _by_digest.get(file.digest)
    if sound is None:
        sound = _by_digest[file.digest] = sound_of(file)
    return sound


_by_digest: WeakValueDictionary[str, Sound] = WeakValueDictionary()


@cache
def ring() -> Sound:
    """Returns a ringing tone within ITU-T E.180: 425 Hz, a second of tone and four of silence."""
    rate = USUAL[0].rate
    loudness = _FULL * math.sqrt(2) * 10 ** (RING_DBOV / 20)
    turn = 2 * math.pi * RING_HZ / rate
    tone = array("h", (int(loudness * math.sin(turn * n)) for n in range(RING_S[0] * rate)))
    return Sound("ringing tone", tone.tobytes() + bytes(2 * RING_S[1] * rate), USUAL[0])


@cache
def comfort_noise(dbov: int) -> Sound:
    """Returns white noise of a level in dBov, relative to the loudest sound that the format has (RFC 3389)."""
    draw = Random(dbov)  # noqa: S311 - a noise
    loudness = _FULL * 10 ** (dbov / 20) * math.sqrt(3)  # the root mean square of evenly spread samples is 1/sqrt(3)
    noise = array("h", (round(draw.uniform(-loudness, loudness)) for _ in range(NOISE_S * USUAL[0].rate)))
    return Sound(f"noise at {dbov} dBov", noise.tobytes(), USUAL[0], echoes=False)
