"""How long turns of the event loop take, and what is said of one that takes too long."""

from __future__ import annotations

import time

import pytest
import trio
from patience import LONG_S

from reference_engine.reports import loop_watch
from reference_engine.reports.loop_watch import HANGS_S, HELD_S, LAG_S, REPORT_EVERY_S, LoopWatch, watch_loop


class Log:
    def __init__(self):
        self.records = []

    def warning(self, event, **fields):
        self.records.append({"event": event, **fields})

    error = warning


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def watch(log, clock):
    return LoopWatch(log, clock)


def turn(watch, clock, seconds, *looks):
    """A turn of the loop, with looks of the thread at these times in it."""
    watch.after_io_wait(0)
    began = clock.now
    for at in looks:
        clock.now = began + at
        watch.look()
    clock.now = began + seconds
    watch.before_io_wait(0)


@pytest.mark.parametrize(
    ("seconds", "reported"), [(0.0, False), (0.0005, False), (HELD_S, False), (HELD_S * 1.01, True), (70.0, True)]
)
def test_a_turn_is_counted_by_its_length_and_reported_if_it_is_long(watch, clock, log, seconds, reported):
    clock.now = 0.0  # so that lengths are exact
    turn(watch, clock, seconds)
    assert watch.turns.total == seconds
    assert dict(watch.turns.buckets()) == {**{str(le): int(seconds <= le) for le in LAG_S}, "+Inf": 1}
    assert [record["event"] for record in log.records] == ["loop.held"] * reported


def test_waiting_is_no_turn(watch, clock, log):
    turn(watch, clock, 0.001)
    clock.now += 3600
    watch.look()
    turn(watch, clock, 0.001)
    watch.before_io_wait(0)  # the loop's first, before any turn that was seen to begin
    assert sum(watch.turns.counts) == 2
    assert log.records == []


def test_the_stack_is_that_of_the_turn_that_was_held(watch, clock, log):
    turn(watch, clock, 0.3, 0.05, 0.11, 0.2)
    clock.now += REPORT_EVERY_S
    turn(watch, clock, 0.3, 0.05)  # nobody looked while it was too long
    with_stack, without = log.records
    assert "in turn\n" in with_stack["stack"]
    assert (without["event"], without["stack"], without["seconds"]) == ("loop.held", "", 0.3)


def test_a_loop_that_is_always_held_does_not_flood_the_log(watch, clock, log):
    for _ in range(50):
        turn(watch, clock, 1.0)
    assert len(log.records) == 5
    assert [record["more"] for record in log.records] == [0, *[REPORT_EVERY_S - 1] * 4]


def test_a_loop_that_does_not_come_back_is_reported_once_while_it_hangs(watch, clock, log):
    turn(watch, clock, 60, 0.2, HANGS_S - 0.1, HANGS_S + 0.1, 20, 40)
    assert [(record["event"], record["seconds"]) for record in log.records] == [("loop.hangs", 5.1), ("loop.held", 60)]
    assert all("in turn\n" in record["stack"] for record in log.records)


def hold(watch, *, compute):
    """Holds the loop until its stack has been taken."""
    began = time.monotonic()
    while watch._seen is None and time.monotonic() - began < LONG_S:
        if not compute:
            time.sleep(0.01)
    assert watch._seen is not None


@pytest.mark.parametrize("compute", [False, True], ids=["a function that waits", "a function that computes"])
async def test_a_real_loop(log, compute):
    watch = LoopWatch(log)
    with watch_loop(watch):
        await trio.sleep(0.001)
        hold(watch, compute=compute)
        await trio.sleep(0.001)  # the next turn
    (record,) = log.records
    assert record["event"] == "loop.held"
    assert record["seconds"] > HELD_S
    assert "in hold\n" in record["stack"]
    assert record["stack"].count("  File ") <= loop_watch.FRAMES
    assert record["cpu_s"] >= 0
    held = sum(watch.turns.counts)
    await trio.sleep(0.001)
    assert sum(watch.turns.counts) == held, "it measures on"
