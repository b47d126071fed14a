"""Assigns Deepgram's audio to the segments that it speaks: sans-IO.

Its audio carries no mark, but it speaks what a Flush closes before what comes after, and says when it is done. What
is flushed together is told apart by its length.
"""

from __future__ import annotations

from collections import deque

from attrs import define, field

MS_A_CHAR = 65.0
"""How long a character of speech lasts, in ms, until a whole batch tells: about 150 words a minute."""


@define
class _TextBatch:
    """Text that is spoken as one."""

    parts: list[tuple[int, int]] = field(factory=list)
    """Segments, each with the characters of it."""
    flushed: bool = False
    """Whether a Flush has closed it."""
    size: int = 0
    """Bytes of audio that came for it."""

    @property
    def chars(self) -> int:
        return sum(chars for _, chars in self.parts)


class TextBatches:
    """Text that was sent and is not spoken yet, oldest first.

    Args:
        bytes_a_ms: what a millisecond of its audio takes.

    """

    def __init__(self, bytes_a_ms: float) -> None:
        self._batches: deque[_TextBatch] = deque()
        self._bytes_a_char = MS_A_CHAR * bytes_a_ms
        self._spoken_chars = self._spoken_bytes = 0

    def text(self, segment: int, chars: int) -> None:
        """A text was sent."""
        if not self._batches or self._batches[-1].flushed:
            self._batches.append(_TextBatch())
        self._batches[-1].parts.append((segment, chars))

    def flush(self) -> None:
        """A Flush was sent, after some text."""
        self._batches[-1].flushed = True

    @property
    def gathered(self) -> int:
        """Characters that were sent since the last Flush."""
        return self._batches[-1].chars if self._batches and not self._batches[-1].flushed else 0

    @property
    def unspoken(self) -> bool:
        """Whether anything that was sent is not spoken yet."""
        return bool(self._batches)

    @property
    def due(self) -> bool:
        """Whether Deepgram has something to say."""
        return bool(self._batches) and self._batches[0].flushed

    def audio(self, size: int) -> int | None:
        """Audio came: the segment that it speaks; None: nothing was asked for."""
        if not self._batches:
            return None
        batch = self._batches[0]
        spoken = batch.size / self._bytes_a_char
        batch.size += size
        for segment, chars in batch.parts:
            if spoken < chars:
                return segment
            spoken -= chars
        return batch.parts[-1][0]

    def spoken(self) -> bool:
        """Flushed came: whether there was any audio for what it closes."""
        if not self.due:
            return True
        batch = self._batches.popleft()
        if not batch.size:
            return False
        self._spoken_chars += batch.chars
        self._spoken_bytes += batch.size
        self._bytes_a_char = self._spoken_bytes / self._spoken_chars
        return True
