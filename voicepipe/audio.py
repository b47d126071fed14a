"""Audio on a call: formats, companding, and streaming resampling.

All audio is mono. Linear audio is 16-bit signed little-endian; mu-law and A-law are G.711's 8-bit
companding (ITU-T G.711; RTP payload types 0 and 8 in RFC 3551).
"""

from __future__ import annotations

from typing import Literal

from attrs import field, frozen
from attrs.validators import gt, in_

Encoding = Literal["pcm16", "mulaw", "alaw"]
"""`pcm16`: 16-bit signed little-endian; `mulaw`, `alaw`: G.711, a byte a sample."""

FRAME_MS = 20
"""How much audio a telephone frame holds, in ms."""


@frozen
class AudioFormat:
    """How samples are written as bytes."""

    rate: int = field(validator=gt(0))
    """Samples a second, in Hz."""
    encoding: Encoding = field(default="pcm16", validator=in_(("pcm16", "mulaw", "alaw")))
    """How one sample is written."""

    @property
    def sample_bytes(self) -> int:
        """Bytes a sample takes: 2 for linear audio, 1 for G.711."""
        return 2 if self.encoding == "pcm16" else 1

    def bytes_in(self, ms: float) -> int:
        """Bytes that `ms` milliseconds take, in whole samples."""
        return int(self.rate * ms / 1000) * self.sample_bytes

    def ms_in(self, size: int) -> float:
        """How long `size` bytes last, in ms."""
        return size / self.sample_bytes / self.rate * 1000

    @property
    def silence(self) -> bytes:
        """One sample of silence."""
        return {"pcm16": b"\0\0", "mulaw": b"\xff", "alaw": b"\xd5"}[self.encoding]

    def __str__(self) -> str:
        return f"{self.encoding} at {self.rate} Hz"
