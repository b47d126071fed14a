"""The short form of `make fleet-simulation`: the real coordination on a virtual clock, against an etcd in memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from fleet import simulate

TOLD_S = 5.0
"""A watch that breaks is opened again after 0.3 s; if the request for that is lost, after 3 s more."""


@pytest.mark.parametrize("seed", [1, 2])
def test_no_call_gets_another_version_than_was_decided_for_longer_than_it_takes_to_tell(seed):
    result, world = simulate(engines=4, calls=150, seed=seed, calls_a_second=4.0)
    assert result.calls == 150
    assert result.publishes["committed"] >= 3
    assert result.two_at_once == 0
    assert result.behind_s < TOLD_S, world.worst
    assert world.last == {b"the last"}


def test_without_misfortunes_a_publish_takes_as_long_as_opening():
    result, _ = simulate(engines=3, calls=20, seed=3, calls_a_second=5.0, lost=0.0, opens_s=(0.5, 0.5))
    assert min(result.publish_s) < 0.8
    assert result.two_at_once == 0
