"""A histogram of response times that is kept as JSON: the number of values by upper bound, in ms.

Bounds grow by the 16th root of 2, so each is 4.4 percent above the one before, and a percentile that is taken from the
middle between two is wrong by 2.2 percent at most. Only bounds that have values are kept, which are few in an hour.
Histograms are added by adding their numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STEPS = 16
"""The number of bounds from one time to twice that time."""


def count_values(values: Iterable[float]) -> dict[str, int]:
    """Returns the histogram of values, in ms; those below 1 ms count as 1 ms."""
    counts: dict[str, int] = {}
    for value in values:
        bound = bound_above(value)
        counts[bound] = counts.get(bound, 0) + 1
    return counts


def bound_above(value: float) -> str:
    """Returns the bound that a value counts under, as a key in JSON."""
    return f"{2 ** (math.ceil(STEPS * math.log2(max(1.0, value)) - 1e-9) / STEPS):.6g}"


def add_counts(counts: Mapping[str, int], others: Mapping[str, int]) -> dict[str, int]:
    """Returns the sum of two histograms."""
    total = dict(counts)
    for bound, count in others.items():
        total[bound] = total.get(bound, 0) + count
    return total


def percentile(counts: Mapping[str, int], share: float) -> float | None:
    """Returns the value that a share of the values does not exceed, in ms; None: there are no values.

    Args:
        counts: the histogram.
        share: from 0 to 1: 0.5 is the median.

    """
    total = sum(counts.values())
    if not total:
        return None
    rank, below = max(1, math.ceil(share * total)), 0
    for bound in sorted(counts, key=float):
        below += counts[bound]
        if below >= rank:
            return float(bound) * 2 ** (-0.5 / STEPS)
    raise AssertionError("the ranks end with the total")
