"""The audio of a stream as Deepgram is to hear it: kept until a transcript covers it, and placed in time. No I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from voicepipe.audio import AudioFormat

MOST_KEPT_MS = 30_000
"""How much audio that was sent is kept to be sent again, in ms; finals come every few seconds of speech."""


class ReplayBuffer:
    """The audio that no final transcript covers yet; positions are in bytes since the stream opened."""

    def __init__(self, audio: AudioFormat) -> None:
        self._format = audio
        self._ms_a_byte = audio.ms_in(1000) / 1000
        self._kept = bytearray()
        self.end = 0
        """Where it ends: how much audio there was."""

    @property
    def start(self) -> int:
        """The position of the oldest audio that is kept."""
        return self.end - len(self._kept)

    def ms(self, position: int) -> int:
        """A position as a time in the stream, in ms."""
        return round(position * self._ms_a_byte)

    def append(self, audio: bytes) -> None:
        """Takes the next audio."""
        self._kept += audio
        self.end += len(audio)

    def read(self, position: int, until: int, most_ms: int) -> bytes:
        """The audio from a position on, up to another, and no more than so many ms."""
        most = min(until - position, self._format.bytes_in(most_ms))
        return bytes(self._kept[position - self.start : position - self.start + max(0, most)])

    def forget(self, covered_ms: float, sent: int) -> None:
        """Drops what is covered; of what was sent also what is older than `MOST_KEPT_MS`."""
        covered = min(self._format.bytes_in(covered_ms), sent)
        oldest = sent - self._format.bytes_in(MOST_KEPT_MS)
        del self._kept[: max(0, max(covered, oldest) - self.start)]


class Timeline:
    """Maps times of one connection to times of the stream.

    Args:
        began_ms: where in the stream the connection's first audio is.

    """

    def __init__(self, began_ms: int = 0) -> None:
        self._began_ms = began_ms
        self.sent_ms = began_ms
        """How much of the stream the connection has got: no time is later."""
        self._padding: list[tuple[int, int]] = []  # where in the stream, and how many ms

    def pad(self, at_ms: int, silence_ms: int) -> None:
        """Records silence that was sent on the connection and is no part of the stream."""
        if self._padding and self._padding[-1][0] == at_ms:
            silence_ms += self._padding.pop()[1]
        self._padding.append((at_ms, silence_ms))

    def stream_ms(self, seconds: float) -> int:
        """A time of the connection as a time of the stream, in ms."""
        ms = self._began_ms + seconds * 1000
        for at_ms, silence_ms in self._padding:
            if ms > at_ms:
                ms -= min(silence_ms, ms - at_ms)
        return min(max(0, round(ms)), self.sent_ms)
