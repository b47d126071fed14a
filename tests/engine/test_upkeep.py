"""What becomes of an exception in the engine's own tasks, and in those who look on."""

from __future__ import annotations

import pytest
import structlog
import trio

from reference_engine.upkeep.tasks import FIRST_PAUSE_S, MAX_PAUSE_S, GuardedObserver, restart_on_failure


class Task:
    """Fails as often as it is told to, and notes when it begins."""

    def __init__(self, *raises, lasting=0.0):
        self.raises, self.lasting = list(raises), lasting
        self.began = []

    async def __call__(self):
        self.began.append(trio.current_time())
        await trio.sleep(self.lasting)
        if self.raises:
            raise self.raises.pop(0)


@pytest.fixture
def logs():
    with structlog.testing.capture_logs() as records:
        yield records


@pytest.fixture
def log():
    return structlog.get_logger()


async def test_it_begins_anew_after_a_pause_that_grows(autojump_clock, logs, log):
    task = Task(*[ValueError("no")] * 8)
    start = trio.current_time()
    await restart_on_failure("a task", task, log, set="main")
    pauses = [FIRST_PAUSE_S, 2, 4, 8, 16, 32, MAX_PAUSE_S, MAX_PAUSE_S]
    assert task.began == [start + sum(pauses[:number]) for number in range(9)]
    assert [record["again_s"] for record in logs] == pauses
    assert {(record["event"], record["log_level"], record["task"], record["set"]) for record in logs} == {
        ("upkeep.failed", "error", "a task", "main")
    }
    assert {record["reason"] for record in logs} == {"ValueError: no"}


async def test_the_traceback_is_logged_once(autojump_clock, logs, log):
    same = [ValueError("no"), ValueError("still no")]
    await restart_on_failure("a task", Task(*same, KeyError("another")), log)
    assert [record.get("exc_info") for record in logs] == [same[0], None, logs[2]["exc_info"]]
    assert isinstance(logs[2]["exc_info"], KeyError)


async def test_one_that_went_well_for_long_begins_anew_soon(autojump_clock, logs, log):
    await restart_on_failure("a task", Task(*[OSError("no")] * 3, lasting=MAX_PAUSE_S + 1), log)
    assert [record["again_s"] for record in logs] == [FIRST_PAUSE_S] * 3


async def test_a_task_that_returns_is_done(logs, log):
    task = Task()
    await restart_on_failure("a task", task, log)
    assert (len(task.began), logs) == (1, [])


async def test_an_exception_from_a_nursery_comes_out_of_its_group(autojump_clock, logs, log):
    failing = Task(ValueError("within"))

    async def run():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(failing)

    await restart_on_failure("a task", run, log)
    assert [record["reason"] for record in logs] == ["ValueError: within"]


async def test_a_cancellation_is_never_taken_for_a_failure(autojump_clock, logs, log):
    async def fails_when_it_is_cancelled():
        try:
            await trio.sleep_forever()
        finally:
            raise ValueError("cleaning up failed")

    async def run():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            nursery.start_soon(fails_when_it_is_cancelled)

    with trio.move_on_after(5) as scope:
        await restart_on_failure("a task", run, log)
        pytest.fail("it goes on")
    assert scope.cancelled_caught
    assert [record["reason"] for record in logs] == ["ValueError: cleaning up failed"]


def test_an_observer_that_raises_is_named_and_heard_of_once(logs, log):
    seen = []

    def clumsy(event):
        seen.append(event)
        raise ValueError("no")

    told = GuardedObserver(clumsy, log)
    for event in (1, 2):
        told(event)
    assert seen == [1, 2]
    assert [record["event"] for record in logs] == ["observer.failed"] * 2
    assert "clumsy" in logs[0]["observer"]
    assert [isinstance(record.get("exc_info"), ValueError) for record in logs] == [True, False]
