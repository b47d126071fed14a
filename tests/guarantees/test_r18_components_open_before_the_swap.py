"""R18: new components are opened and probed before the swap, under a deadline; a list may open in part, and says so."""

from __future__ import annotations

import pytest
import trio
from patience import LONG_S, until
from recording import RecordedSet, make_component, pipeline, raising

from voicepipe import Applied, ComponentError, Rejected
from voicepipe.testing.components import ToneTextToSpeech


class Probed(ToneTextToSpeech):
    """A synthesiser whose provider can be asked whether it works."""

    def __init__(self, probe):
        super().__init__()
        self.probe = probe


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


async def test_nobody_is_given_a_component_that_is_not_open(recorded):
    built = trio.Event()
    recorded.opening["stt b"] = built.wait
    async with recorded.serve() as pipelines, trio.open_nursery() as nursery:
        recorded.write(default=pipeline(stt="b"))
        nursery.start_soon(pipelines.reload)
        await until(lambda: "stt b" in recorded.attempts)
        assert pipelines.current.version == 1
        built.set()
        await until(lambda: pipelines.current.version == 2)
        assert recorded.open["stt b"] == 1


async def test_nor_one_that_does_not_answer_its_probe_and_kept_ones_are_not_probed_again(recorded):
    probes = []
    works = True

    async def probe():
        await trio.lowlevel.checkpoint()
        probes.append(works)
        if not works:
            raise ComponentError("answers 401", hint="is the key right?")

    recorded.make = lambda role: Probed(probe) if role == "tts" else make_component(role)
    async with recorded.serve() as pipelines:
        assert probes == [True]
        works = False
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt="b")), Applied)
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b", tts="b"))
        assert isinstance(outcome, Rejected)
        (problem,) = outcome.problems
        assert "answers 401" in problem.message
        assert problem.hint == "is the key right?"
        assert probes == [True, False]
        assert recorded.open == {"stt b": 1, "llm a": 1, "tts a": 1}


@pytest.mark.parametrize("step", ["open", "probe"])
async def test_all_of_it_under_a_deadline(recorded, step):
    if step == "open":
        recorded.opening["tts b"] = trio.sleep_forever
    async with recorded.serve() as pipelines:
        pipelines._worker._open_s = 0.1  # the start has had more
        if step == "probe":
            recorded.make = lambda _role: Probed(trio.sleep_forever)
        outcome = await recorded.rewrite(pipelines, default=pipeline(tts="b"))
        assert isinstance(outcome, Rejected)
        (problem,) = outcome.problems
        assert problem.message == "tts recorded can't be opened: did not open within 0.1 s"
        assert problem.path == "pipelines.default.tts"
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}


async def test_components_open_side_by_side(recorded):
    all_begun = trio.Event()

    async def wait_for_the_others():
        if {"stt b", "llm b", "tts b"} <= set(recorded.attempts):
            all_begun.set()
        await all_begun.wait()

    for role in ("stt", "llm", "tts"):
        recorded.opening[f"{role} b"] = wait_for_the_others
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b", llm="b", tts="b"))
        assert isinstance(outcome, Applied)


async def test_a_role_without_any_alternative_rejects_it(recorded):
    recorded.opening["stt x"] = raising(ComponentError("refused"))
    recorded.opening["stt y"] = trio.sleep_forever
    async with recorded.serve() as pipelines:
        pipelines._worker._open_s = 0.5  # the start has had more
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt=["x", "y"]))
        assert isinstance(outcome, Rejected)
        assert [problem.message.partition(": ")[2] for problem in outcome.problems] == [
            "refused",
            "did not open within 0.5 s",
        ]


async def test_a_list_that_opens_in_part_is_applied_and_says_so(recorded):
    recorded.opening["stt x"] = raising(ComponentError("refused"))
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt=["x", "b"]))
        assert isinstance(outcome, Applied)
        assert [problem.path for problem in outcome.plan.degraded] == ["pipelines.default.stt[0]"]
        assert [one.settings.options.id for one in pipelines.current.active.stt] == ["b"]


async def test_a_component_that_has_never_opened_does_not_become_the_only_one_of_its_role(recorded):
    """It is kept from the version before, where another stood beside it."""
    recorded.opening["llm x"] = raising(ComponentError("refused"))
    async with recorded.serve() as pipelines:
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline(llm=["x", "b"])), Applied)
        outcome = await recorded.rewrite(pipelines, default=pipeline(llm="x"))
        assert isinstance(outcome, Rejected)
        assert [problem.message.partition(": ")[2] for problem in outcome.problems] == ["refused"]
        assert pipelines.version == 2


async def test_a_role_that_had_nothing_may_still_have_nothing(recorded):
    """Else an outage that lasts since the start would block every reload of the file, of other pipelines too."""
    recorded.opening["llm x"] = raising(ComponentError("refused"))
    recorded.write(default=pipeline(), other=pipeline(llm="x", selectable=True))
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(tts="b"), other=pipeline(llm="x", selectable=True))
        assert isinstance(outcome, Applied)


async def test_an_outage_never_blocks_the_reload_that_leaves_it(recorded):
    """A kept component that is down is neither asked nor waited for."""
    async with recorded.serve(open_s=2 * LONG_S) as pipelines:
        recorded.opening["tts a"] = recorded.opening["stt a"] = trio.sleep_forever
        recorded.kill("stt a", OSError("reset"))
        recorded.kill("tts a", OSError("reset"))
        await until(lambda: len(recorded.closed) == 2)
        with trio.fail_after(LONG_S):
            outcome = await recorded.rewrite(pipelines, default=pipeline(tts="b"))
        assert isinstance(outcome, Applied)
        assert outcome.plan.degraded == ()


async def test_a_pipeline_that_nobody_gets_is_not_opened(recorded):
    recorded.opening["stt x"] = raising(ComponentError("refused"))
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(llm="b"), never=pipeline(stt="x"))
        assert isinstance(outcome, Applied)
        assert "stt x" not in recorded.attempts
