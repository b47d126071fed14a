"""Reloads that are asked for while another one runs.

The clock is real where a file is read: reading is in a thread.
"""

from __future__ import annotations

import pytest
import trio
from patience import LONG_S, until
from recording import Gate, RecordedSet, pipeline
from trio.testing import wait_all_tasks_blocked


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


def ids(snapshot):
    """The components of the active pipeline."""
    active = snapshot.active
    return [opened.settings.options.id for opened in (*active.stt, *active.llm, *active.tts)]


@pytest.fixture
async def gated(recorded):
    """A set, and a gate that stops its next readings."""
    recorded.write(default=pipeline(stt="stt 0"))
    async with recorded.serve() as pipelines:
        gate = Gate(recorded)
        yield pipelines, gate
        gate.go_on.set()


async def test_a_request_is_answered_by_a_reading_that_began_after_it(recorded, gated):
    pipelines, gate = gated
    answers = {}

    async def ask(name):
        answers[name] = await pipelines.reload(trigger=name)

    async with trio.open_nursery() as nursery:
        recorded.write(default=pipeline(stt="stt 1"))
        nursery.start_soon(ask, "early")
        await gate.read.wait()
        recorded.write(default=pipeline(stt="stt 2"))
        for number in range(99):
            nursery.start_soon(ask, f"late {number}")
        await wait_all_tasks_blocked()
        gate.go_on.set()
    early = answers.pop("early")
    assert (early.version, early.trigger) == (2, "early")
    assert {id(answer) for answer in answers.values()} == {id(pipelines.last_attempt)}
    assert pipelines.last_attempt.version == 3
    assert ids(pipelines.current)[0] == "stt 2"
    assert gate.readings == 2


async def test_cancelling_one_who_waits_does_not_cancel_the_reload(recorded, gated):
    pipelines, gate = gated
    recorded.write(default=pipeline(stt="stt 1"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipelines.reload)
        await gate.read.wait()
        nursery.cancel_scope.cancel()
    assert pipelines.last_attempt is None
    gate.go_on.set()
    await until(lambda: pipelines.last_attempt is not None)
    assert pipelines.current.version == 2


async def test_cancelling_all_who_wait_for_the_next_one_does_not_cancel_it_either(recorded, gated):
    pipelines, gate = gated
    async with trio.open_nursery() as first:
        first.start_soon(pipelines.reload)
        await gate.read.wait()
        recorded.write(default=pipeline(stt="stt 1"))
        async with trio.open_nursery() as second:
            second.start_soon(pipelines.reload)
            await wait_all_tasks_blocked()
            second.cancel_scope.cancel()
        gate.go_on.set()
    await until(lambda: pipelines.current.version == 2)


async def test_the_file_is_read_beside_the_calls(recorded, gated):
    pipelines, gate = gated
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipelines.reload)
        await gate.read.wait()
        with trio.fail_after(LONG_S / 2), pipelines.pin() as snapshot:  # or the reading would be over
            await trio.sleep(0.01)
            assert snapshot.version == 1
        gate.go_on.set()
