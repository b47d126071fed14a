"""Throws away audio that a stall has made too old.

While this process or the network stands still, the caller's audio waits in the buffers between, and Asterisk drops
none of it: after a stall of 45 s, 45 s of audio come at once. To take them for what the caller says now would be wrong,
and to work through them would delay what is said now. So of a backlog only the newest second is kept.

Nothing marks a backlog, and frames are no clock: a muted telephone, one that suppresses silence, and a pressed key all
stop the audio, and what comes after such a pause is new. The two differ in what follows the pause:

- real time: the next frame comes about 20 ms later;
- a backlog: the next frames come at once, until it is worked off.

So after a pause of `STALE_S` the first audio is held until the next tells which of the two it is. A burst without a
pause before it, of more than `STALE_S`, is a backlog too.
"""

from __future__ import annotations

import logging
from collections import deque
from math import inf
from typing import Final

_log = logging.getLogger("voicepipe")

STALE_S: Final = 1.0
"""The shortest pause after which there may be a backlog, and the most of one that is kept, in s."""


class StaleAudio:
    """Sorts out one caller's audio; times are those of one clock, in s.

    Args:
        bytes_a_second: of the audio.
        call: the call's name, for the log.

    """

    __slots__ = ("_backlog", "_bytes_a_second", "_call", "_came_at", "_dropped", "_due", "_kept")

    def __init__(self, bytes_a_second: float, call: str = "") -> None:
        self._bytes_a_second, self._call = bytes_a_second, call
        self._due = inf  # the time to which what came would last, if it had come in real time
        self._backlog: deque[bytes] = deque()
        self._kept = self._dropped = 0  # of the backlog, in bytes
        self._came_at = -inf  # the time of the last audio that was held

    def passes(self, size: int, now: float) -> bool:
        """Whether audio of this size may pass at once; else it goes through `take`. Called for every frame."""
        due = self._due
        if due == inf:
            due = now
        if self._backlog or not -STALE_S < now - due < STALE_S:
            return False
        self._due = (max(due, now)) + size / self._bytes_a_second
        return True

    def take(self, audio: bytes, now: float) -> list[bytes]:
        """Takes audio that does not pass at once; returns what is to be delivered instead, often nothing yet."""
        held = self._backlog
        in_real_time = bool(held) and now - self._came_at >= len(held[-1]) / self._bytes_a_second / 2
        self._came_at = now
        held.append(audio)
        self._kept += len(audio)
        if not in_real_time:
            while self._kept > STALE_S * self._bytes_a_second:
                oldest = len(held.popleft())
                self._kept -= oldest
                self._dropped += oldest
            return []
        self._due = now + len(audio) / self._bytes_a_second
        return self.release()

    def release(self) -> list[bytes]:
        """Returns what is held, and forgets it: at the end of the call, when nothing more tells what it was."""
        if self._dropped:
            dropped_s = self._dropped / self._bytes_a_second
            _log.warning(
                "call %s: a stall delayed its audio, of which %.1f s were dropped as too old", self._call, dropped_s
            )
        kept = list(self._backlog)
        self._backlog.clear()
        self._kept = self._dropped = 0
        return kept
