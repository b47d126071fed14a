"""Three adapters that behave pass the kit; each fault in one of them is caught by the check that is meant for it."""

from __future__ import annotations

import ears
import ears_slips
import hum
import hum_slips
import parrot
import parrot_losses
import parrot_slips
import pytest
from leftovers import cleaned_up

from voicepipe.testing import conformance

LIMITS = conformance.Limits(deadline_s=0.5, settle_s=0.1, leave_s=0.1, streams=60, cancels=60, buffered_bytes=1 << 20)
"""For what is bound to fail; what is to pass gets more time."""

KITS = {
    "ears": lambda component=ears.Ears, **limits: conformance.speech_to_text(
        ears.adapter(component), ears.EarsOptions(), faults=faults(ears.EarsOptions, STT_FAULTS), **limits
    ),
    "parrot": lambda component=parrot.Parrot, **limits: conformance.language_model(
        parrot.adapter(component),
        parrot.ParrotOptions(),
        tool_request=conformance.TOOL_REQUEST,
        faults=faults(parrot.ParrotOptions, LLM_FAULTS),
        **limits,
    ),
    "hum": lambda component=hum.Hum, **limits: conformance.text_to_speech(
        hum.adapter(component), hum.HumOptions(), faults=faults(hum.HumOptions, TTS_FAULTS), **limits
    ),
}
STT_FAULTS = ("server_error", "stall", "half_close", "deaf")
LLM_FAULTS = ("refuse", "unauthorised", "throttled", "empty", "rubbish")
TTS_FAULTS = ("broken", "stall", "empty")


def faults(options, kinds):
    return {kind: options(kind) for kind in kinds}


def mutants(name, *modules):
    return [
        pytest.param(name, *mutant, id=f"{mutant[0].__name__}-{mutant[1]}")
        for module in modules
        for mutant in module.MUTANTS
    ]


@pytest.mark.parametrize("name", KITS)
async def test_one_that_behaves_passes(name):
    report = await KITS[name]().check()
    assert not report.failed
    assert {check for check, _ in report.skipped}.isdisjoint(report.passed)


@pytest.mark.parametrize(
    ("name", "component", "check"),
    [
        *mutants("ears", ears, ears_slips),
        *mutants("parrot", parrot, parrot_losses, parrot_slips),
        *mutants("hum", hum, hum_slips),
    ],
)
async def test_a_mutant_is_caught_by_the_check_that_is_meant_for_it(name, component, check):
    kit = KITS[name](component, limits=LIMITS)
    with cleaned_up(), pytest.raises(conformance.ConformanceError) as caught:
        await kit.check([check])
    assert [failure.check for failure in caught.value.report.failed] == [check]
