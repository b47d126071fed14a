"""The kit for transports: three that behave pass it, and each mutant is caught by the check that is meant for it."""

from __future__ import annotations

import buzzer
import pytest
from leftovers import cleaned_up

from voicepipe.errors import TransferFailed
from voicepipe.testing import conformance, transports


def kit(transport_type, **settings):
    return transports.transport(
        transport_type, buzzer.BuzzerOptions(), connect=buzzer.connect, stranger=buzzer.stranger, **settings
    )


test_buzzer = kit(buzzer.buzzer())


@pytest.mark.parametrize(
    ("mutant", "check"), [pytest.param(*mutant, id=f"{mutant[0].__name__}-{mutant[1]}") for mutant in buzzer.MUTANTS]
)
async def test_a_mutant_is_caught_by_the_check_that_is_meant_for_it(mutant, check):
    with cleaned_up(), pytest.raises(conformance.ConformanceError) as caught:
        await kit(buzzer.mutated(mutant), deadline_s=0.5).check([check])
    assert [failure.check for failure in caught.value.report.failed] == [check]


class NobodyAnswers(buzzer.Buzzer):
    async def transfer(self, target):
        raise TransferFailed("busy")


class Completes(buzzer.TransferRingsForever):
    can = buzzer.Buzzer.can | {"completes_transfer"}


@pytest.mark.parametrize("transport", [NobodyAnswers, Completes])
async def test_a_transfer_may_fail_or_ring_until_it_is_cancelled(transport):
    report = await kit(buzzer.buzzer(transport)).check(["a_transfer_ends_this_leg_or_says_why"])
    assert report.passed == ("a_transfer_ends_this_leg_or_says_why",)


async def test_keys_that_the_peer_does_not_report_are_named_as_not_checked(monkeypatch):
    monkeypatch.setattr(buzzer.BuzzerPeer, "reports_keys", False)
    report = await kit(buzzer.buzzer()).check(["keys_of_the_agent_reach_the_peer"])
    assert "`send_dtmf` returned, but what the peer got was not checked" in str(report)


def test_every_check_has_a_mutant():
    names = {check.name for check in test_buzzer.checks}
    assert names - {check for _, check in buzzer.MUTANTS} == {"garbage_costs_its_connection_only"}
