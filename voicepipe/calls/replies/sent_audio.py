"""The audio that was written to a far end that buffers, until it has sounded there: what may still be recalled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from voicepipe.audio import FRAME_MS, open_converter

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat
    from voicepipe.calls.replies.far_end import FarEnd

EARLY_MS: Final = 140
"""How far ahead of its sound a frame is reported, in ms: the echo guard has to know it by then."""

SPARE_MS: Final = 40
"""Audio that is kept for a while after it was heard, in ms: it may turn out to have been heard a little later."""


class SentAudio:
    """Keeps what was written and was not heard, and reports what sounds. Positions are those of the far end.

    Args:
        far_end: its clock.
        audio: the line's format.
        on_sounding: called for each frame, with the time at which it begins to sound and the frame.
        on_heard: called with the time at which audio began to sound, and the audio, when all of it has.

    """

    def __init__(
        self,
        far_end: FarEnd,
        audio: AudioFormat,
        on_sounding: Callable[[float, bytes], None] | None,
        on_heard: Callable[[float, bytes], None] | None,
    ) -> None:
        self._far_end, self._format, self._frame_bytes = far_end, audio, audio.bytes_in(FRAME_MS)
        self._on_sounding, self._on_heard = on_sounding, on_heard
        self._samples = bytearray()
        self.begins_ms = 0.0
        """The position of the oldest audio that is kept."""
        self._sounding_ms = self._heard_ms = 0.0  # reported up to here

    @property
    def is_unsettled(self) -> bool:
        """Whether anything is to be reported still, now or later."""
        written_ms = self._far_end.written_ms
        return (self._on_sounding is not None and self._sounding_ms < written_ms) or (
            self._on_heard is not None and self._heard_ms < written_ms
        )

    def append(self, audio: bytes, *, echoes: bool = True) -> None:
        """Adds audio that was just written; `echoes`: whether it is worth a report before it sounds."""
        self._samples += audio
        if not echoes:
            self._sounding_ms = self._far_end.written_ms

    def cut(self, at_ms: float) -> bytes:
        """Removes the audio from a position on, which the far end drops, and returns it."""
        at = self._size(at_ms - self.begins_ms)
        rest = bytes(self._samples[at:])
        del self._samples[at:]
        self._sounding_ms = min(self._sounding_ms, at_ms)
        return rest

    def take_format(self, audio: AudioFormat) -> None:
        """Takes another format of the line; what is kept is converted."""
        converter = open_converter(self._format, audio, live=False)
        if converter is not None:
            self._samples = bytearray(converter.convert(bytes(self._samples)) + converter.finish())
        self._format, self._frame_bytes = audio, audio.bytes_in(FRAME_MS)

    def settle(self, now: float) -> None:
        """Reports what sounds and what has sounded, and forgets audio that can't be recalled any more."""
        far_end = self._far_end
        heard_ms = needed_ms = far_end.heard_ms(now)
        began = min(now, far_end.ends_at) - heard_ms / 1000  # when position 0 would have sounded
        if self._on_sounding is not None:
            ms, until_ms = self._sounding_ms, min(heard_ms + EARLY_MS, far_end.written_ms)
            at, size = self._size(ms - self.begins_ms), self._frame_bytes
            while ms < until_ms:
                self._on_sounding(began + ms / 1000, bytes(self._samples[at : at + size]))
                ms += FRAME_MS
                at += size
            self._sounding_ms = ms
            needed_ms = min(needed_ms, self._sounding_ms)
        if self._on_heard is not None:
            size_ms = (heard_ms - self._heard_ms) // FRAME_MS * FRAME_MS
            if size_ms > 0:
                self._on_heard(began + self._heard_ms / 1000, self._slice(self._heard_ms, size_ms))
                self._heard_ms += size_ms
            needed_ms = min(needed_ms, self._heard_ms)
        spent_ms = (needed_ms - self.begins_ms - SPARE_MS) // FRAME_MS * FRAME_MS
        if spent_ms > 0:
            del self._samples[: self._size(spent_ms)]
            self.begins_ms += spent_ms

    def _size(self, ms: float) -> int:
        return round(ms / FRAME_MS) * self._frame_bytes

    def _slice(self, from_ms: float, size_ms: float) -> bytes:
        at = self._size(from_ms - self.begins_ms)
        return bytes(self._samples[at : at + self._size(size_ms)])
