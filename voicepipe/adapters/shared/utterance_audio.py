"""Passes a call's sounds to a recogniser, with a margin of silence around them. No I/O.

    gate = SoundGate(AudioFormat(16000), silence_level=120)
    sound = gate.add(audio)            # empty while the line is silent
    rest = gate.cut()                  # the utterance has ended

A caller is silent for most of a call, and the call decides where an utterance ends. Recognisers that take one utterance
at a time get it from shortly before its first sound, as it comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.audio import FRAME_MS, level

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat

MARGIN_MS = 400
"""The silence that passes before and after a sound, in ms: a word may begin and end quietly."""

NOISE_FACTOR = 2
"""The least ratio of a sound's level to that of the line's noise: 6 dB."""

NOISE_GROWTH = 1.5 ** (FRAME_MS / 1000)
"""The growth of the estimated noise for each louder frame: by half in a second. Speech has dips more often."""


class SoundGate:
    """Passes sounds, with up to `MARGIN_MS` of the silence before and after each.

    Args:
        audio: the stream's format; 16-bit linear.
        silence_level: the RMS level below which a frame is silence, however quiet the line is; 0: all audio is sound.

    """

    def __init__(self, audio: AudioFormat, silence_level: int) -> None:
        self._audio = audio
        self._frame_bytes = audio.bytes_in(FRAME_MS)
        self._margin_bytes = MARGIN_MS // FRAME_MS * self._frame_bytes
        self._quietest = self._noise = silence_level / NOISE_FACTOR
        self._added = 0  # bytes of the stream so far, in whole frames
        self._rest = b""  # the beginning of an incomplete frame
        self._held = bytearray()  # the silence before a possible sound
        self._after_bytes = 0  # the silence that still passes after the last sound
        self.is_quiet = True
        """Whether the last frame was silence."""

    @property
    def end_ms(self) -> int:
        """The position in the stream at which the last added audio ends, in ms."""
        return int(self._audio.ms_in(self._added))

    def add(self, audio: bytes) -> bytes:
        """Takes the next audio; returns the part of it, and of the silence before it, that passes."""
        data = self._rest + audio
        whole = len(data) - len(data) % self._frame_bytes
        self._rest = data[whole:]
        return b"".join(self._pass(data[at : at + self._frame_bytes]) for at in range(0, whole, self._frame_bytes))

    def cut(self) -> bytes:
        """Ends an utterance and returns the rest of it; the margin after its last sound ends too."""
        rest = self._pass(self._rest) if self._rest else b""
        self._rest, self._after_bytes = b"", 0
        return rest

    def _pass(self, frame: bytes) -> bytes:
        self._added += len(frame)
        loud = level(frame)
        self._noise = max(self._quietest, min(loud, self._noise * NOISE_GROWTH))
        self.is_quiet = loud < NOISE_FACTOR * self._noise
        if not self.is_quiet:
            passed = bytes(self._held) + frame
            self._held.clear()
            self._after_bytes = self._margin_bytes
            return passed
        if self._after_bytes > 0:
            self._after_bytes -= len(frame)
            return frame
        self._held += frame
        del self._held[: max(0, len(self._held) - self._margin_bytes)]
        return b""
