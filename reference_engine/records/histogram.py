"""A histogram of response times: the number of values by upper bound, in ms.

Bounds grow by the 16th root of 2, so each is 4.4 percent above the one before, and a percentile that is taken from the
middle between two is wrong by 2.2 percent at most.

In the database a histogram is one number of 32 bits for each bound, from 1 ms on, the lowest first, up to the last that
is not 0. Read as one large number (`packed_number`), histograms are added by adding these: a year has a hundred
thousand of them, which as JSON take seconds.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

STEPS = 16
"""The number of bounds from one time to twice that time."""

_BITS = 32


def count_values(values: Iterable[float]) -> dict[str, int]:
    """Returns the histogram of values, in ms; those below 1 ms count as 1 ms."""
    counts: dict[str, int] = {}
    for value in values:
        bound = bound_above(value)
        counts[bound] = counts.get(bound, 0) + 1
    return counts


def bound_above(value: float) -> str:
    """Returns the bound that a value counts under, as text."""
    return _bound(_step_above(value))


def pack_values(values: Iterable[float]) -> int:
    """Returns the histogram of values, in ms, as one large number."""
    return sum(1 << _step_above(value) * _BITS for value in values)


def packed_number(data: bytes) -> int:
    """Returns the histogram that the database has, as one large number."""
    return int.from_bytes(data, "little")


def packed_bytes(number: int) -> bytes:
    """Returns a large number as the database has it."""
    return number.to_bytes(-(-number.bit_length() // _BITS) * _BITS // 8, "little")


def unpacked(number: int) -> dict[str, int]:
    """Returns the histogram that a large number is, by bound."""
    data = packed_bytes(number)
    size = _BITS // 8
    numbers = (int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size))
    return {_bound(step): number for step, number in enumerate(numbers) if number}


def percentile(counts: Mapping[str, int], share: float) -> float | None:
    """Returns the value that a share of the values does not exceed, in ms; None: there are no values.

    Args:
        counts: the histogram, by bound.
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


def _step_above(value: float) -> int:
    return math.ceil(STEPS * math.log2(max(1.0, value)) - 1e-9)


@cache
def _bound(step: int) -> str:
    return f"{2 ** (step / STEPS):.6g}"
