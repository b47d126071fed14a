"""T01: every transport that is installed passes the public kit for transports."""

from __future__ import annotations

import pytest
import trio
from kit_peers import KITS

from voicepipe.testing.conformance import Skipped
from voicepipe.transports.registry import installed_transports


def test_each_installed_transport_is_here():
    assert {name.partition(" ")[0] for name in KITS} == set(installed_transports().names())


@pytest.mark.parametrize(
    ("name", "check"),
    [pytest.param(name, check, id=f"{name}-{check.name}") for name, kit in KITS.items() for check in kit.checks],
)
def test_a_transport_keeps_a_rule(name, check):
    try:
        trio.run(KITS[name].run, check)  # pytest-trio would not tell the reason of a skip
    except Skipped as skipped:
        pytest.skip(str(skipped))
