"""The rate limits of one of Deepgram's speaking WebSockets: sans-IO.

It takes 20 Flush messages and 2,400 characters in 60 s, and 2,000 characters in one message; beyond that it ignores
the flush, or closes (developers.deepgram.com/docs/streaming-text-to-speech, "Limits"). Speech lasts longer than
that: 2,400 characters take two and a half minutes, so who waits for a minute to pass is ahead of the listener.
"""

from __future__ import annotations

from collections import deque

MOST_CHARS = 2000
"""The longest text of a message."""

MINUTE_S = 61.0
"""Their minute, and what a message may take on its way."""

MOST_FLUSHES = 20
"""Flush messages a minute."""

AT_ONCE = 10
"""As many texts are flushed as they come; of further ones in the same minute, several together."""


class SpeakRateLimits:
    """Counts messages of the last minute against the limits; times are in s, by a monotonic clock."""

    def __init__(self, chars_a_minute: int) -> None:
        self._chars_a_minute = chars_a_minute
        # So that there are at most 9 of them in a minute, after the 10 at once and before the last of the reply.
        self._together = chars_a_minute // (MOST_FLUSHES - AT_ONCE)
        self._texts: deque[tuple[float, int]] = deque()
        self._flushes: deque[float] = deque()

    @property
    def most_chars(self) -> int:
        """The longest text that can be sent at all."""
        return min(MOST_CHARS, self._chars_a_minute)

    def text_wait_s(self, chars: int, now: float) -> float:
        """The wait before a text of that length may be sent, in s."""
        while self._texts and self._texts[0][0] + MINUTE_S <= now:
            self._texts.popleft()
        over = sum(sent for _, sent in self._texts) + chars - self._chars_a_minute
        until = now
        for at, sent in self._texts:
            if over <= 0:
                break
            over -= sent
            until = at + MINUTE_S
        return until - now

    def text_sent(self, chars: int, now: float) -> None:
        """A text was sent."""
        self._texts.append((now, chars))

    def flush_wait_s(self, now: float) -> float:
        """The wait before a flush may be sent, in s."""
        while self._flushes and self._flushes[0] + MINUTE_S <= now:
            self._flushes.popleft()
        return self._flushes[-MOST_FLUSHES] + MINUTE_S - now if len(self._flushes) >= MOST_FLUSHES else 0.0

    def is_worth_a_flush(self, chars: int, now: float) -> bool:
        """Whether to flush so much text at once, or to let more of it come."""
        return not self.flush_wait_s(now) and (len(self._flushes) < AT_ONCE or chars >= self._together)

    def flushed(self, now: float) -> None:
        """A flush was sent."""
        self._flushes.append(now)
