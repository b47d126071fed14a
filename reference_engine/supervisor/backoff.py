"""The pauses before a worker that keeps ending is started again. No I/O."""

from __future__ import annotations

from typing import Final

from attrs import define, field

FIRST_S: Final = 1.0
"""The pause after the second end in a row, in s; it doubles with each further one."""
MOST_S: Final = 60.0
"""The longest pause, in s. A worker that has served for longer than this is started again at once."""


@define
class Backoff:
    """The ends of one worker in a row.

    The first is followed by a start at once: most workers that die have met a rare defect. One that dies again and
    again would take calls with it each time, so it gets more and more time.
    """

    ends: int = field(init=False, default=0)
    """The number of ends in a row, each soon after the start."""

    def pause_after(self, served_s: float) -> float:
        """Returns the pause before the next start, in s.

        Args:
            served_s: how long the worker took calls before it ended, in s; 0: it never did.

        """
        if served_s > MOST_S:
            self.ends = 0
        self.ends += 1
        return 0.0 if self.ends == 1 else min(FIRST_S * 2.0 ** min(self.ends - 2, 10), MOST_S)
