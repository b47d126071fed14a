"""A histogram with fixed bounds, as Prometheus has them, whose buckets remember the trace of their last value.

Prometheus shows that trace beside the plot, as an exemplar: from a slow reply to what happened in that call.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from itertools import accumulate
from typing import TYPE_CHECKING

from attrs import define, field
from prometheus_client.samples import Exemplar

if TYPE_CHECKING:
    from collections.abc import Sequence


@define
class Histogram:
    """Counts of durations by upper bound."""

    bounds: tuple[float, ...]
    """The upper bounds of the buckets, in s, ascending; one more bucket takes what is longer than all of them."""
    counts: list[int] = field(init=False)
    """The number of durations in each bucket."""
    total: float = 0.0
    """The sum of all durations, in s."""
    _exemplars: dict[int, Exemplar] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def add(self, seconds: float, trace_id: str = "") -> None:
        """Adds a duration, in s, of something in this trace; empty: in none."""
        bucket = bisect_left(self.bounds, seconds)
        self.counts[bucket] += 1
        self.total += seconds
        if trace_id:
            self._exemplars[bucket] = Exemplar({"trace_id": trace_id}, seconds, time.time())

    def buckets(self) -> Sequence[tuple[str, float] | tuple[str, float, Exemplar]]:
        """Returns each bucket's upper bound, the number of durations up to it, and its last exemplar if it has one."""
        bounds = [*map(str, self.bounds), "+Inf"]
        return [
            (bound, count, self._exemplars[number]) if number in self._exemplars else (bound, count)
            for number, (bound, count) in enumerate(zip(bounds, accumulate(self.counts), strict=True))
        ]
