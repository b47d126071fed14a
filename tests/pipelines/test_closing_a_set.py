"""Closing a pipeline set, with calls and reloads under way.

The clock is real where a file is read: reading is in a thread.
"""

from __future__ import annotations

from functools import partial

import pytest
import trio
from patience import until
from recording import Gate, RecordedSet, pipeline
from trio.testing import wait_all_tasks_blocked

from voicepipe.errors import PipelineSetClosed
from voicepipe.pipelines.runtime import open_runtime
from voicepipe.pipelines.shared_component import CLOSE_S


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


async def test_leaving_waits_for_calls_and_takes_no_more(recorded):
    left = trio.Event()
    async with trio.open_nursery() as nursery:
        release = trio.Event()

        async def call(pipelines):
            with pipelines.pin():
                await release.wait()

        async def serve():
            async with recorded.serve() as pipelines:
                nursery.start_soon(call, pipelines)
                nursery.start_soon(call, pipelines)
                await wait_all_tasks_blocked()
                await recorded.rewrite(pipelines, default=pipeline(stt="b"))
                nursery.start_soon(call, pipelines)
                await wait_all_tasks_blocked()
                nursery.start_soon(refused, pipelines)
            left.set()

        async def refused(pipelines):
            await wait_all_tasks_blocked()
            with pytest.raises(PipelineSetClosed), pipelines.pin():
                pytest.fail("it takes a call")
            with pytest.raises(PipelineSetClosed):
                await pipelines.reload()
            assert recorded.open == {"stt a": 1, "stt b": 1, "llm a": 1, "tts a": 1}
            assert not left.is_set()
            release.set()

        nursery.start_soon(serve)
    assert left.is_set()
    assert recorded.open == {}


@pytest.mark.parametrize("where", ["reading", "opening", "pending"])
async def test_a_reload_that_the_end_overtakes_says_so(recorded, where):
    told = []

    async def ask(pipelines):
        try:
            await pipelines.reload()
        except PipelineSetClosed as error:
            told.append(error)

    async with open_runtime() as runtime, trio.open_nursery() as nursery:
        recorded.write(default=pipeline(stt="stt 0"))
        async with recorded.serve(runtime=runtime) as pipelines:
            gate = Gate(recorded)
            recorded.opening["stt b"] = trio.sleep_forever
            recorded.write(default=pipeline(stt="b") if where == "opening" else pipeline(stt="stt 1"))
            nursery.start_soon(ask, pipelines)
            if where == "opening":
                await until(lambda: "stt b" in recorded.attempts)
            else:
                await gate.read.wait()
            if where == "pending":
                nursery.start_soon(ask, pipelines)
                await wait_all_tasks_blocked()
        gate.go_on.set()
        await wait_all_tasks_blocked()
        assert len(told) == 1 + (where == "pending")
        assert recorded.open == {}


async def test_a_call_that_outlives_a_set_that_failed_ends_in_peace(recorded):
    mine = ValueError("mine")
    async with open_runtime() as runtime:
        with pytest.raises(ValueError, match="mine") as caught:  # noqa: PT012 - the block raises
            async with recorded.serve(runtime=runtime) as pipelines:
                old = pipelines.pin()
                old.__enter__()
                await recorded.rewrite(pipelines, default=pipeline(stt="b"))
                new = pipelines.pin()
                new.__enter__()
                raise mine
        assert caught.value is mine
        await wait_all_tasks_blocked()
        assert recorded.open == {}
        told = list(recorded.events)
        old.__exit__(None, None, None)
        new.__exit__(None, None, None)
        assert recorded.events == told


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_failing_closes_within_its_time_though_calls_are_up(autojump_clock, recorded, how):
    recorded.closing["stt a"] = trio.sleep_forever
    recorded.closing["tts a"] = partial(trio.sleep, 1)
    with trio.CancelScope() as scope:
        try:
            async with recorded.serve() as pipelines:
                call = pipelines.pin()
                call.__enter__()
                began = trio.current_time()
                if how == "failed":
                    raise ValueError("mine")  # noqa: TRY301 - as a caller would
                scope.cancel()
                await trio.sleep_forever()
        except ValueError:
            assert how == "failed"
    assert scope.cancelled_caught == (how == "cancelled")
    assert trio.current_time() - began == CLOSE_S
    assert recorded.open == {}


async def test_cancelling_while_it_waits_for_calls_closes(recorded):
    with trio.CancelScope() as scope:
        async with recorded.serve() as pipelines:
            call = pipelines.pin()
            call.__enter__()
            scope.deadline = trio.current_time() + 0.1
    assert scope.cancelled_caught
    assert recorded.open == {}
