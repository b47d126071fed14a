"""Buffers the caller's latest audio, taken by a recogniser or not: the next one may have to hear it again. Sans-IO.

`listening.py` draws the positions.
"""

from __future__ import annotations


class AudioBuffer:
    """A bounded queue of bytes that keeps bytes after they were taken, until `forget`.

    Positions count the bytes ever appended. When the queue is full, the oldest bytes are dropped, and counted if they
    were not taken. It takes as much memory as it holds: seconds of audio during speech, next to nothing otherwise.

    Args:
        capacity: the most bytes that are kept.

    """

    def __init__(self, capacity: int) -> None:
        self._data = bytearray()
        self._capacity = capacity
        self._start = 0  # position of the first byte that is kept
        self.written = 0
        """The position at which `append` goes on: the number of bytes so far."""
        self.read = 0
        """The position at which `take` goes on."""
        self.dropped = 0
        """The number of bytes that were dropped before they were taken."""

    def __len__(self) -> int:
        return self.written - self.read

    def append(self, data: bytes | memoryview) -> None:
        """Adds bytes; drops the oldest if there is no room."""
        self._data += data
        self.written += len(data)
        if len(self._data) > self._capacity:
            self.forget(self.written - self._capacity)
            if (missed := self._start - self.read) > 0:
                self.read = self._start
                self.dropped += missed

    def take(self, most: int) -> bytes:
        """Takes the oldest bytes that were not taken yet, at most `most`."""
        start = self.read - self._start
        taken = bytes(self._data[start : start + most])
        self.read += len(taken)
        return taken

    def rewind(self, position: int) -> None:
        """Moves `read` back to a position, or as near to it as bytes are kept."""
        self.read = min(max(position, self._start), self.read)

    def forget(self, position: int) -> None:
        """Drops the bytes before a position, taken or not."""
        if (size := position - self._start) > 0:
            del self._data[:size]
            self._start = position
