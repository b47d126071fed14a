"""Puts numbered audio in order: late and repeated pieces are dropped, a missing one is waited for or given up.

A WebSocket keeps the order of what was sent, but not every carrier sends in order, and some send again after a fault.
"""

from __future__ import annotations

from typing import Final

HELD: Final = 3
"""The pieces that are held while one before them is missing: 60 ms. Then it is given up."""
RECENT: Final = 64
"""A number at most this far behind the last one is of a late or repeated piece; a lower one is of a new count."""


class AudioOrder:
    """Orders the pieces of one track by their numbers."""

    __slots__ = ("_held", "_next", "_waits")

    def __init__(self, *, waits: bool) -> None:
        """Orders pieces.

        Args:
            waits: whether to wait for a missing piece, for a carrier that sends out of order; else only late and
                repeated ones are dropped.

        """
        self._waits = waits
        self._next: int | None = None
        self._held: dict[int, bytes] = {}

    def take(self, number: int | None, audio: bytes) -> bytes:
        """Takes a piece with its number, and returns the audio that is due: usually the piece, or nothing, or several.

        Pieces without a number are passed on as they come.
        """
        if number is not None and number == self._next and not self._held:  # as nearly always
            self._next = number + 1
            return audio
        return audio if number is None else self._place(number, audio)

    def _place(self, number: int, audio: bytes) -> bytes:
        """Takes a piece that is not the next one, or before which one is missing."""
        if self._next is None or number < self._next - RECENT:  # the first, or the count began again
            self._next, self._held = number + 1, {}
            return audio
        if number < self._next or number in self._held:
            return b""
        if not self._waits:
            self._next = number + 1
            return audio
        self._held[number] = audio
        return self._release() if self._next in self._held or len(self._held) >= HELD else b""

    def _release(self) -> bytes:
        """Returns what is held up to the next missing piece; a piece that is missing before it is given up."""
        due = bytearray()
        number = min(self._held)
        while number in self._held:
            due += self._held.pop(number)
            number += 1
        self._next = number
        return bytes(due)

    def stop_waiting(self) -> None:
        """Waits for no missing piece any more, because the numbers turned out to count other audio too."""
        self._waits, self._held = False, {}
