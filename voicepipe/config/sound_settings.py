"""Settings of the sounds that a call plays beside speech: the keys `hold` and `ringback` of a pipeline."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le

from voicepipe.components.values import File
from voicepipe.config.wav import sound_of


def _is_sound(_instance: Any, _field: Any, file: File | None) -> None:
    if file is not None:
        sound_of(file)


def _is_sound_file(_instance: Any, _field: Any, file: File) -> None:
    sound_of(file)


@frozen
class HoldSettings:
    """The sound for a caller who waits: music, for example."""

    file: File = field(validator=_is_sound_file)
    """The path of a WAV file, which is repeated: one channel of 16-bit PCM, A-law or mu-law, 8 to 48 kHz, 0.1 s to two
    minutes."""
    after_ms: int = field(default=2000, validator=ge(0))
    """How long a tool must run, in ms, before the sound begins; after a reply or a filler, the time counts from its
    end. While a transfer rings, the sound begins at once."""


@frozen
class RingbackSettings:
    """The ringing tone that a caller hears until the agent speaks first."""

    file: File | None = field(default=None, validator=_is_sound)
    """The path of a WAV file as for `hold`; null: the ringing tone of most European networks, 425 Hz for a second every
    five seconds."""
    after_ms: int = field(default=500, validator=ge(0))
    """How long the agent may take to speak, in ms, before the tone begins: a greeting that is ready is not rung for."""
    most_s: float = field(default=15.0, validator=and_(gt(0), le(60)))
    """How long the tone lasts at most, in s."""
