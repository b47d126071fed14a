"""Audio on a call: formats, companding, and streaming resampling.

All audio is mono. Linear audio is 16-bit signed little-endian; mu-law and A-law are G.711's 8-bit
companding (ITU-T G.711; RTP payload types 0 and 8 in RFC 3551).
"""

from __future__ import annotations

import sys
import warnings
from math import ceil, gcd
from typing import Literal, Protocol

from attrs import define, field, frozen
from attrs.validators import gt, in_

if sys.version_info >= (3, 13):
    import audioop  # audioop-lts
else:
    with warnings.catch_warnings():  # it left the standard library in 3.13; until then importing it warns
        warnings.simplefilter("ignore", DeprecationWarning)
        import audioop

Encoding = Literal["pcm16", "mulaw", "alaw"]
"""`pcm16`: 16-bit signed little-endian; `mulaw`, `alaw`: G.711, a byte a sample."""

FRAME_MS = 20
"""The length of a telephone frame, in ms."""


@frozen
class AudioFormat:
    """The sample rate and the encoding of mono audio."""

    rate: int = field(validator=gt(0))
    """Samples a second, in Hz."""
    encoding: Encoding = field(default="pcm16", validator=in_(("pcm16", "mulaw", "alaw")))
    """The encoding of one sample: `pcm16`, `mulaw` or `alaw`."""

    @property
    def sample_bytes(self) -> int:
        """The size of a sample in bytes: 2 for linear audio, 1 for G.711."""
        return 2 if self.encoding == "pcm16" else 1

    def bytes_in(self, ms: float) -> int:
        """The size of `ms` milliseconds in bytes, rounded down to whole samples."""
        return int(self.rate * ms / 1000) * self.sample_bytes

    def ms_in(self, size: int) -> float:
        """The duration of `size` bytes, in ms."""
        return size * 1000 / (self.sample_bytes * self.rate)

    @property
    def silence(self) -> bytes:
        """One sample of silence."""
        return {"pcm16": b"\0\0", "mulaw": b"\xff", "alaw": b"\xd5"}[self.encoding]

    def __str__(self) -> str:
        return f"{self.encoding} at {self.rate} Hz"


class Converter(Protocol):
    """Turns a stream of audio from one format into another."""

    def convert(self, audio: bytes) -> bytes:
        """Converts the next piece; whole samples in, whole samples out, which may be none yet."""

    def finish(self) -> bytes:
        """Ends the stream, and returns the audio that the resampler still held."""


def open_converter(source: AudioFormat, target: AudioFormat, *, live: bool) -> Converter | None:
    """Returns a converter between two formats, or None if they are equal.

    Args:
        source: the format of the input.
        target: the format of the output.
        live: True for audio in real time, where each 20 ms of input gives 20 ms of output at once; False for speech
            that is synthesised faster than real time, where the output may come in bursts at a higher quality.

    """
    if source == target:
        return None
    if source.rate == target.rate:
        return _Chain(source, target, None)
    resample = _LiveResampler(source.rate, target.rate) if live else _BurstResampler(source.rate, target.rate)
    return _Chain(source, target, resample)


@define(eq=False)
class Sound:
    """A sound that calls play in a loop. It is converted once for each format of calls, and shared by all of them."""

    name: str
    """Its name, for messages."""
    audio: bytes = field(repr=False)
    """The samples, in `format`."""
    format: AudioFormat
    """The format of `audio`."""
    echoes: bool = True
    """Whether its echo can be taken for the caller: False for a noise that is hardly to be heard."""
    _converted: dict[AudioFormat, bytes] = field(factory=dict, repr=False)

    def in_format(self, audio: AudioFormat) -> bytes:
        """Returns the samples in a call's format: whole frames, the last one filled up with silence."""
        samples = self._converted.get(audio)
        if samples is None:
            converter = open_converter(self.format, audio, live=False)
            samples = self.audio if converter is None else converter.convert(self.audio) + converter.finish()
            frame = audio.bytes_in(FRAME_MS)
            samples += audio.silence * (-len(samples) % frame // audio.sample_bytes)
            self._converted[audio] = samples
        return samples


def to_pcm16(audio: bytes, encoding: Encoding) -> bytes:
    """Decodes to 16-bit linear; linear audio passes untouched."""
    if encoding == "pcm16":
        return audio
    return audioop.ulaw2lin(audio, 2) if encoding == "mulaw" else audioop.alaw2lin(audio, 2)


def from_pcm16(audio: bytes, encoding: Encoding) -> bytes:
    """Encodes 16-bit linear audio; linear audio passes untouched."""
    if encoding == "pcm16":
        return audio
    return audioop.lin2ulaw(audio, 2) if encoding == "mulaw" else audioop.lin2alaw(audio, 2)


def swap_bytes(linear: bytes | memoryview) -> bytes:
    """Returns 16-bit linear audio in the other byte order."""
    return audioop.byteswap(linear, 2)


def level(linear: bytes | memoryview) -> int:
    """Returns the level of 16-bit linear audio: the root mean square of its samples, 0 to 32767."""
    return audioop.rms(linear, 2)


def half_without_mean(linear: bytes) -> bytes:
    """Returns 16-bit linear audio at half its level and without its DC offset."""
    # At the full level `audioop.bias` may wrap around.
    half = audioop.mul(linear, 2, 0.5)
    return audioop.bias(half, 2, -audioop.avg(half, 2))


def roughness(linear: bytes) -> float:
    """Returns the change of 16-bit linear audio from sample to sample, relative to its level: 1.4 is white noise.

    0 is audio that does not change; silence gives 9.
    """
    half = half_without_mean(linear)  # a difference of two samples has 17 bits
    loudness = audioop.rms(half, 2)
    if not loudness:
        return 9.0
    return audioop.rms(audioop.add(half[2:], audioop.mul(half[:-2], 2, -1), 2), 2) / loudness


def likeness(linear: bytes, lag: int) -> float:
    """Returns the correlation of 16-bit linear audio with itself `lag` samples later: about 1 if it repeats, else 0."""
    return audioop.findfactor(linear[2 * lag :], linear[: -2 * lag])


class _Resampler(Protocol):
    def convert(self, audio: bytes) -> bytes: ...
    def finish(self) -> bytes: ...


@frozen
class _Chain:
    """Decodes, resamples and encodes; each step only where it is needed."""

    source: AudioFormat
    target: AudioFormat
    resampler: _Resampler | None

    def convert(self, audio: bytes) -> bytes:
        linear = to_pcm16(audio, self.source.encoding)
        if self.resampler is not None:
            linear = self.resampler.convert(linear)
        return from_pcm16(linear, self.target.encoding)

    def finish(self) -> bytes:
        return b"" if self.resampler is None else from_pcm16(self.resampler.finish(), self.target.encoding)


class _BurstResampler:
    """libsoxr's streaming resampler: the best quality, but its output comes in bursts."""

    def __init__(self, source: int, target: int) -> None:
        import soxr  # noqa: PLC0415 - brings numpy, 100 ms; loaded by then, when a pipeline was opened

        self._stream = soxr.ResampleStream(source, target, 1, dtype="int16", quality="MQ")

    def convert(self, audio: bytes) -> bytes:
        return self._feed(audio, last=False)

    def finish(self) -> bytes:
        return self._feed(b"", last=True)

    def _feed(self, audio: bytes, *, last: bool) -> bytes:
        import numpy as np  # noqa: PLC0415

        return bytes(self._stream.resample_chunk(np.frombuffer(audio, "<i2"), last=last).tobytes())


class _LiveResampler:
    """A polyphase FIR low-pass: 20 ms in give exactly 20 ms out, 2 ms late.

    `up / down` is the ratio of the rates in lowest terms. Output sample n is the input, stuffed with zeros to
    `up` times its rate, filtered, at position `n * down`; only the taps that meet an input sample are computed.
    """

    TAPS_A_PHASE = 32

    def __init__(self, source: int, target: int) -> None:
        import numpy as np  # noqa: PLC0415

        divisor = gcd(source, target)
        self._up, self._down = target // divisor, source // divisor
        # Cut off at the lower of the two Nyquist frequencies; a lower target needs a longer filter for the same slope.
        taps = self.TAPS_A_PHASE * max(1, ceil(self._down / self._up))
        length = taps * self._up
        cutoff = 0.92 / max(self._up, self._down)
        n = np.arange(length) - (length - 1) / 2
        kernel = np.sinc(n * cutoff) * cutoff * np.kaiser(length, 7.0)
        kernel *= self._up / kernel.sum()
        # Reversed once here, so that a window of input, oldest sample first, need not be for each output sample.
        self._phases = np.ascontiguousarray(kernel.reshape(taps, self._up).T[:, ::-1]).astype(np.float32)
        self._held = np.zeros(taps - 1, np.float32)
        self._position = 0  # of the next output sample, in stuffed samples after the first unconsumed input sample

    def convert(self, audio: bytes) -> bytes:
        import numpy as np  # noqa: PLC0415

        fresh = np.frombuffer(audio, "<i2").astype(np.float32)
        signal = np.concatenate((self._held, fresh))
        positions = np.arange(self._position, len(fresh) * self._up, self._down)
        self._position += len(positions) * self._down - len(fresh) * self._up
        taps = self._phases.shape[1]
        windows = np.lib.stride_tricks.sliding_window_view(signal, taps) if len(signal) >= taps else signal[:0, None]
        out = np.einsum("ij,ij->i", windows[positions // self._up], self._phases[positions % self._up])
        self._held = signal[len(signal) - (taps - 1) :]
        return bytes(np.clip(np.rint(out), -32768, 32767).astype("<i2").tobytes())

    def finish(self) -> bytes:
        return b""  # the last 2 ms, which the filter still holds, are dropped
