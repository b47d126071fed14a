"""R15: live versions are capped and counted; at the cap a reload is rejected, no call is killed."""

from __future__ import annotations

from contextlib import ExitStack

import pytest
import trio
import trio.testing
from patience import LONG_S
from recording import RecordedSet, pipeline

from voicepipe import Applied, Rejected, Unchanged
from voicepipe.pipelines.opening import MAX_LIVE_VERSIONS


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


class Calls:
    """Calls that are up, each on the version that served when it came."""

    def __init__(self, pipelines):
        self.pipelines, self.up = pipelines, []

    def come(self):
        stack = ExitStack()
        self.up.append((stack, stack.enter_context(self.pipelines.pin())))

    async def end(self):
        stack, _snapshot = self.up.pop(0)
        stack.close()
        await trio.testing.wait_all_tasks_blocked()


async def test_at_the_cap_a_reload_is_rejected_and_no_call_is_killed(recorded):
    async with recorded.serve(max_live_versions=3) as pipelines:
        calls = Calls(pipelines)
        calls.come()
        for number in (2, 3):
            assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt=str(number))), Applied)
            calls.come()
        assert pipelines.live_versions == 3
        open_before, attempts = recorded.open, list(recorded.attempts)

        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="4"))
        assert isinstance(outcome, Rejected)
        assert (outcome.reason, outcome.version) == ("limit", 3)
        (problem,) = outcome.problems
        assert problem.message == "3 versions are open already, as many as there may be: calls hold them"
        assert "max_live_versions" in problem.hint
        assert pipelines.live_versions == 3
        assert (recorded.open, recorded.attempts) == (open_before, attempts)
        assert [snapshot.version for _, snapshot in calls.up] == [1, 2, 3]
        assert all(snapshot.active.stt[0].component._component for _, snapshot in calls.up)

        await calls.end()
        assert pipelines.live_versions == 2
        outcome = await pipelines.reload()
        assert isinstance(outcome, Applied)
        assert (outcome.version, pipelines.live_versions) == (4, 3)
        while calls.up:
            await calls.end()
        assert pipelines.live_versions == 1
        assert [record.state for record in pipelines.history].count("retired") == 3


async def test_versions_that_nobody_holds_do_not_count(recorded):
    async with recorded.serve(max_live_versions=1) as pipelines:
        for number in range(2, 2 * MAX_LIVE_VERSIONS):
            outcome = await recorded.rewrite(pipelines, default=pipeline(prompt=str(number)))
            assert isinstance(outcome, Applied)
            assert (outcome.version, pipelines.live_versions) == (number, 1)


async def test_files_that_say_nothing_new_or_are_broken_are_told_as_ever(recorded):
    async with recorded.serve(max_live_versions=1) as pipelines:
        with pipelines.pin():
            assert isinstance(await pipelines.reload(), Unchanged)
            outcome = await recorded.rewrite(pipelines, default=pipeline(typo=1))
            assert isinstance(outcome, Rejected)
            assert outcome.reason == "config"


async def test_a_rollback_is_rejected_too(recorded):
    async with recorded.serve(max_live_versions=1) as pipelines:
        await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        with pipelines.pin():
            outcome = await pipelines.rollback()
            assert isinstance(outcome, Rejected)
            assert outcome.reason == "limit"
        assert isinstance(await pipelines.rollback(), Applied)


async def test_a_call_that_comes_while_components_open_counts(recorded):
    """The new version is given up: with it, there would be one more than there may be."""
    opening, go_on = trio.Event(), trio.Event()

    async def step():
        opening.set()
        await go_on.wait()

    recorded.opening["stt b"] = step
    outcomes = []

    async def reload(pipelines):
        outcomes.append(await pipelines.reload())

    async with recorded.serve(max_live_versions=1) as pipelines:
        recorded.write(default=pipeline(stt="b"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reload, pipelines)
            await opening.wait()
            with pipelines.pin() as snapshot:
                go_on.set()
                with trio.fail_after(LONG_S):
                    while not outcomes:  # noqa: ASYNC110 - threads have a part in it
                        await trio.sleep(0.01)
                assert [(type(one), one.reason) for one in outcomes] == [(Rejected, "limit")]
                assert pipelines.live_versions == 1
                assert pipelines.current is snapshot
                assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}
        assert isinstance(await pipelines.reload(), Applied)


async def test_the_cap_may_be_raised_while_it_serves(recorded):
    async with recorded.serve(max_live_versions=1) as pipelines:
        with pipelines.pin():
            assert isinstance(await recorded.rewrite(pipelines, default=pipeline(stt="b")), Rejected)
            pipelines.max_live_versions = 2
            assert isinstance(await pipelines.reload(), Applied)
            assert pipelines.live_versions == 2
