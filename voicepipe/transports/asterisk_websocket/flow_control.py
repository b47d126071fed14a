"""How much audio Asterisk may be given: an estimate of its queue, and the pauses that it asks for.

Asterisk plays a frame every 20 ms from a queue of its own. At 1,000 frames it drops what comes, without a word. Its
MEDIA_XOFF at 900 frames arrives later than it was meant, because audio is under way meanwhile, and nothing tells how
much. So we also reckon with what we sent: it takes as long to play as it is, so the time at which the queue is empty is
known without any report.
"""

from __future__ import annotations

from math import inf
from typing import Final

MOST_AHEAD_S: Final = 16.0
"""The most audio that we let Asterisk hold, in s: 800 frames. `streaming.ahead_ms` is far below it."""


class FlowControl:
    """Decides whether more audio may be sent; times are those of one clock, in s."""

    __slots__ = ("_is_full", "_played_at")

    def __init__(self) -> None:
        self._played_at = -inf  # the time at which all that was sent has been played
        self._is_full = False  # Asterisk has asked for a pause

    def sent(self, seconds: float, now: float) -> None:
        """Counts audio that was sent."""
        self._played_at = max(self._played_at, now) + seconds

    def flushed(self) -> None:
        """Counts all audio as gone. Asterisk sends MEDIA_XON after it, if it has asked for a pause."""
        self._played_at, self._is_full = -inf, False

    def take(self, full: bool) -> None:
        """Takes MEDIA_XOFF (True) or MEDIA_XON (False)."""
        self._is_full = full

    def wait_s(self, now: float) -> float:
        """The time until there is room, in s: 0 if there is some, and infinite until Asterisk says so."""
        return inf if self._is_full else max(0.0, self._played_at - now - MOST_AHEAD_S)
