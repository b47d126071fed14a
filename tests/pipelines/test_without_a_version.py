"""A pipeline set that is opened with `start=False`: it has no version until a start or a reload gives it one."""

from __future__ import annotations

import pytest
import trio
from recording import RecordedSet, pipeline, raising
from trio.testing import wait_all_tasks_blocked

from voicepipe import (
    Applied,
    ComponentError,
    ConfigError,
    PipelineSetClosed,
    Rejected,
    Retired,
    Unchanged,
    UnknownVersion,
    open_runtime,
)
from voicepipe.pipelines import change_worker


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


async def test_it_says_that_it_has_none(recorded):
    async with recorded.serve(start=False) as pipelines:
        assert (pipelines.version, pipelines.last_attempt) == (None, None)
        assert (pipelines.history, pipelines.live_versions, pipelines.degraded) == ((), 0, ())
        assert not pipelines.last_known_good
        for ask in (lambda: pipelines.current, lambda: pipelines.config_of(1), lambda: pipelines.pin().__enter__()):
            with pytest.raises(UnknownVersion, match="'main' has no version yet"):
                ask()
        for to in (None, 1):
            with pytest.raises(UnknownVersion, match="has no version yet"):
                await pipelines.rollback(to)
        assert recorded.attempts == recorded.events == []


async def test_a_start_gives_it_one_and_is_no_news(recorded):
    async with recorded.serve(start=False) as pipelines:
        outcome = await pipelines.start()
        assert isinstance(outcome, Applied)
        assert (outcome.version, outcome.trigger, pipelines.version) == (1, "start", 1)
        assert (recorded.events, pipelines.last_attempt) == ([], None)
        assert [record.trigger for record in pipelines.history] == ["start"]
        assert isinstance(await pipelines.start(), Unchanged)
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt="b")), Applied)
        assert [type(event) for event in recorded.events] == [Applied, Retired]
    assert recorded.open == {}


async def test_a_reload_gives_it_one_and_is_told_like_any_other(recorded):
    recorded.path.write_text("pipelines: [")
    async with recorded.serve(start=False) as pipelines:
        refused = await pipelines.start()
        assert isinstance(refused, Rejected)
        assert (refused.version, refused.reason, refused.trigger) == (None, "config", "start")
        assert (recorded.events, pipelines.last_attempt, pipelines.version) == ([], refused, None)
        again = await pipelines.reload(trigger="signal")
        assert (again.version, again.problems) == (None, refused.problems)
        applied = await recorded.rewrite(pipelines, default=pipeline())
        assert (type(applied), applied.version, pipelines.current.version) == (Applied, 1, 1)
        assert recorded.events == [again, applied]
        assert pipelines.last_attempt is applied


@pytest.mark.parametrize("reason", ["config", "open", "defect"])
async def test_the_reason_is_that_of_the_exception_which_an_ordinary_open_raises(recorded, monkeypatch, reason):
    if reason == "config":
        recorded.write(default=pipeline(typo=1))
    elif reason == "open":
        recorded.opening["stt a"] = raising(ComponentError("HTTP 503"))
    else:
        monkeypatch.setattr(change_worker, "plan_change", lambda *_args, **_kwargs: 1 / 0)
    async with recorded.serve(start=False) as pipelines:
        refused = await pipelines.start()
        assert refused.reason == reason
    with pytest.raises(ConfigError) as caught:
        async with recorded.serve():
            pytest.fail("it serves")
    assert caught.value.problems == refused.problems
    assert (
        type(caught.value).__name__
        == {
            "config": "ConfigError",
            "open": "ComponentsUnavailable",
            "defect": "DefectError",
        }[reason]
    )
    assert recorded.open == {}


async def test_one_pipeline_with_all_its_roles_is_enough_for_the_first_version_whoever_asked_for_it(recorded):
    recorded.opening["llm x"] = raising(ComponentError("HTTP 503"))
    recorded.write(default=pipeline(), other=pipeline(llm="x", selectable=True))
    async with recorded.serve(start=False) as pipelines:
        applied = await pipelines.reload()
        assert [problem.path for problem in applied.plan.degraded] == ["pipelines.other.llm"]
        assert pipelines.degraded == applied.plan.degraded


async def test_reloads_that_come_during_the_start_share_one_after_it(recorded):
    begun, go_on = trio.Event(), trio.Event()

    async def hang():
        begun.set()
        await go_on.wait()

    recorded.opening["stt a"] = hang
    outcomes = []
    async with recorded.serve(start=False) as pipelines, trio.open_nursery() as nursery:

        async def ask(change):
            outcomes.append(await change())

        nursery.start_soon(ask, pipelines.start)
        await begun.wait()
        recorded.write(default=pipeline(stt="b"))
        for _ in range(3):
            nursery.start_soon(ask, pipelines.reload)
        await wait_all_tasks_blocked()
        assert outcomes == []
        go_on.set()
    assert [outcome.version for outcome in outcomes] == [1, 2, 2, 2]
    assert outcomes[1] is outcomes[2] is outcomes[3]


@pytest.mark.parametrize("how", ["peace", "an exception", "a cancellation"])
async def test_leaving_it_ends_an_opening_that_is_under_way(recorded, how):
    begun, closed = trio.Event(), []

    async def hang():
        begun.set()
        await trio.sleep_forever()

    async def ask(pipelines):
        with pytest.raises(PipelineSetClosed):
            await pipelines.reload()
        closed.append("told")

    recorded.opening["tts a"] = hang
    mine = ValueError("mine")
    async with open_runtime() as runtime, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            try:
                async with recorded.serve(start=False, runtime=runtime) as pipelines:
                    nursery.start_soon(ask, pipelines)
                    await begun.wait()
                    if how == "an exception":
                        raise mine
                    if how == "a cancellation":
                        scope.cancel()
                        await trio.sleep_forever()
            except ValueError as error:
                assert error is mine  # noqa: PT017 - what comes out is the point
        assert scope.cancelled_caught == (how == "a cancellation")
        await wait_all_tasks_blocked()
        assert (recorded.open, closed) == ({}, ["told"])


# --- The last known good sources ---------------------------------------------------------------------------------


async def test_last_known_good_sources_are_asked_for_only_when_they_are_needed(recorded):
    async with recorded.serve() as pipelines:
        good = pipelines.current.config.sources
    answers, asked = [None, {}, good], []

    async def sources():
        asked.append(len(asked))
        return answers[asked[-1]]

    recorded.path.write_text("pipelines: [")
    async with recorded.serve(start=False, last_known_good=sources) as pipelines:
        assert asked == []
        for version in (None, None, 1, 1):
            outcome = await pipelines.reload()
            assert (type(outcome), outcome.version, pipelines.version) == (Rejected, version, version)
        assert asked == [0, 1, 2]  # not once it serves
        assert pipelines.last_known_good
        assert [record.trigger for record in pipelines.history] == ["last known good"]
        assert len(recorded.events) == 4
    recorded.write(default=pipeline())
    async with recorded.serve(last_known_good=sources) as pipelines:
        assert not pipelines.last_known_good
    assert asked == [0, 1, 2]


async def test_a_store_that_fails_is_told_beside_what_is_wrong_with_the_file(recorded):
    async def sources():
        raise LookupError("the store")

    recorded.path.write_text("pipelines: [")
    async with recorded.serve(start=False, last_known_good=sources) as pipelines:
        outcome = await pipelines.start()
        assert (outcome.version, outcome.reason) == (None, "config")
        (store,) = [one for one in outcome.problems if one.message.startswith("what was served last can't be served")]
        assert len(outcome.problems) == 2
        assert "LookupError" in store.message
        assert isinstance(await recorded.rewrite(pipelines, default=pipeline()), Applied)
