"""The caller's latest audio: what no recogniser has taken yet, and what may have to be said to another one again."""

from __future__ import annotations


class AudioBuffer:
    """A bounded queue of bytes that keeps what was taken until it is told to forget it.

    Positions count the bytes ever appended. When it is full the oldest are dropped, and counted if nobody took them.
    It grows to what it holds: seconds while somebody speaks, next to nothing while nobody does.

    Args:
        capacity: in bytes.

    """

    def __init__(self, capacity: int) -> None:
        self._data = bytearray()
        self._capacity = capacity
        self._start = 0  # position of the first byte that is kept
        self.written = 0
        """Bytes ever appended."""
        self.read = 0
        """Where the next `take` begins."""
        self.dropped = 0
        """Bytes that nobody took in time."""

    def __len__(self) -> int:
        return self.written - self.read

    def append(self, data: bytes | memoryview) -> None:
        """Adds what came in."""
        self._data += data
        self.written += len(data)
        if len(self._data) > self._capacity:
            self.forget(self.written - self._capacity)
            if (missed := self._start - self.read) > 0:
                self.read = self._start
                self.dropped += missed

    def take(self, most: int) -> bytes:
        """The oldest bytes that were not taken, `most` at the most."""
        start = self.read - self._start
        taken = bytes(self._data[start : start + most])
        self.read += len(taken)
        return taken

    def rewind(self, position: int) -> None:
        """Has `take` begin there again, or as near to it as is kept."""
        self.read = min(max(position, self._start), self.read)

    def forget(self, position: int) -> None:
        """Lets go of what lies before a position."""
        if (size := position - self._start) > 0:
            del self._data[:size]
            self._start = position
