"""A histogram with fixed bounds, as Prometheus has them: one addition is a bisection and two additions of numbers."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

from attrs import define, field


@define
class Histogram:
    """Counts of durations by upper bound."""

    bounds: tuple[float, ...]
    """The upper bounds of the buckets, in s, ascending; one more bucket takes what is longer than all of them."""
    counts: list[int] = field(init=False)
    """The number of durations in each bucket."""
    total: float = 0.0
    """The sum of all durations, in s."""

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float) -> None:
        """Adds a duration, in s."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Returns each bucket's upper bound, and the number of durations up to it."""
        return list(zip([*map(str, self.bounds), "+Inf"], accumulate(self.counts), strict=True))
