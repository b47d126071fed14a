"""A part of the matrix of faults: each fault, each role and each moment at least once; `make faults` runs all of it."""

from __future__ import annotations

import pytest
from matrix import cell, undisturbed
from providers import FAULTS, GREETING, LONG, MOMENTS, ROLES, SHORT

PART = [
    ("refuses", "tts", "call start"),
    ("401", "stt", "first turn"),
    ("429", "llm", "mid-reply"),
    ("500", "tts", "barge-in"),
    ("stalls at once", "llm", "first turn"),
    ("stalls after a piece", "stt", "barge-in"),
    ("stalls in the middle", "tts", "mid-reply"),
    ("half-closes", "stt", "mid-reply"),
    ("resets", "llm", "barge-in"),
    ("sends rubbish", "tts", "first turn"),
    ("is empty", "stt", "call start"),
    ("drips", "tts", "mid-reply"),
]


def test_the_part_has_something_of_everything():
    for at, of in enumerate((FAULTS, ROLES, MOMENTS)):
        assert {one[at] for one in PART} == set(of)


@pytest.mark.parametrize("moment", ["mid-reply", "barge-in"])
def test_a_call_in_which_nothing_goes_wrong(moment):
    """What all others are compared with."""
    result = undisturbed(moment)
    assert result.rungs == []
    assert [said for _, said in result.conversation][0::2] == [GREETING, SHORT]
    assert LONG.startswith(result.conversation[1][1])
    assert result.waited_s < 1.5
    assert abs(result.too_much_ms) < 400
    assert result.over_s < 0.5


@pytest.mark.parametrize(("fault", "role", "moment"), PART, ids=map(", ".join, PART))
def test_the_caller_notices_no_more_than_a_pause(fault, role, moment):
    one = cell(fault, role, moment)
    assert one.wrong == [], str(one)
    assert one.result.rungs != []
    assert all(rung.startswith(role) for rung in one.result.rungs)
