"""Pins: a version stays open for as long as a call holds it.

The clock is real where a file is read: reading is in a thread.
"""

from __future__ import annotations

import pytest
from recording import RecordedSet, pipeline
from trio.testing import wait_all_tasks_blocked

from voicepipe.pipelines.outcome import Retired
from voicepipe.pipelines.versions import KEPT


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


async def test_a_version_is_closed_when_its_last_call_ends_and_not_before(recorded):
    async with recorded.serve() as pipelines:
        with pipelines.pin() as first:
            with pipelines.pin() as again:
                assert again is first
                await recorded.rewrite(pipelines, default=pipeline(stt="b"))
                assert [(record.calls, record.state) for record in pipelines.history] == [
                    (2, "draining"),
                    (0, "serving"),
                ]
            await wait_all_tasks_blocked()
            assert recorded.open == {"stt a": 1, "stt b": 1, "llm a": 1, "tts a": 1}
        await wait_all_tasks_blocked()
        assert recorded.closed == ["stt a"]
        assert recorded.events[-1] == Retired(set="main", version=1)
        assert pipelines.history[0].state == "retired"


async def test_a_serving_version_is_not_closed_when_its_last_call_ends(recorded):
    async with recorded.serve() as pipelines:
        with pipelines.pin():
            pass
        await wait_all_tasks_blocked()
        assert recorded.closed == []
        assert recorded.events == []


async def test_a_call_that_fails_lets_its_version_go(recorded):
    async with recorded.serve() as pipelines:
        with pytest.raises(ValueError, match="mine"), pipelines.pin():  # noqa: PT012 - the block raises
            await recorded.rewrite(pipelines, default=pipeline(stt="b"))
            raise ValueError("mine")
        await wait_all_tasks_blocked()
        assert recorded.closed == ["stt a"]


async def test_the_history_is_bounded_but_keeps_what_calls_hold(recorded):
    async with recorded.serve() as pipelines:
        with pipelines.pin():
            for number in range(3 * KEPT):
                recorded.write(default=pipeline(prompt=str(number)))
                await pipelines.reload()
                if number == KEPT:
                    middle = pipelines.pin()
                    middle.__enter__()
            versions = [record.version for record in pipelines.history]
            latest = list(range(2 * KEPT + 2, 3 * KEPT + 2))
            assert versions == [1, KEPT + 2, *latest]
        middle.__exit__(None, None, None)
        assert [record.version for record in pipelines.history] == latest
