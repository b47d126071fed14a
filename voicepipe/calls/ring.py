"""The caller's latest audio, in a buffer that never grows."""

from __future__ import annotations


class Ring:
    """A bounded queue of bytes; when it is full the oldest are dropped and counted.

    Args:
        capacity: in bytes.

    """

    def __init__(self, capacity: int) -> None:
        self._buffer = bytearray(capacity)
        self._view = memoryview(self._buffer)
        self._capacity = capacity
        self.written = 0
        """Bytes ever appended."""
        self.read = 0
        """Bytes ever taken or dropped: where the next `take` begins."""
        self.dropped = 0
        """Bytes that nobody took in time."""

    def __len__(self) -> int:
        return self.written - self.read

    def append(self, data: bytes | memoryview) -> None:
        """Adds what came in: less than the capacity at once."""
        size, start = len(data), self.written % self._capacity
        head = min(size, self._capacity - start)
        self._view[start : start + head] = data[:head]
        if head < size:
            self._view[: size - head] = data[head:]
        self.written += size
        if (overrun := self.written - self.read - self._capacity) > 0:
            self.read += overrun
            self.dropped += overrun

    def take(self, most: int) -> bytes:
        """The oldest bytes, `most` at the most."""
        size, start = min(most, len(self)), self.read % self._capacity
        self.read += size
        if start + size <= self._capacity:
            return bytes(self._view[start : start + size])
        head = self._capacity - start
        return b"".join((self._view[start:], self._view[: size - head]))
