"""The garbage collector's schedule: what it looks at while calls are up, and that nothing is left in the end."""

from __future__ import annotations

import gc
import sys
import weakref
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from recording import RecordedSet, pipeline

from voicepipe import Collector, Retired
from voicepipe.clock.clock import Clock
from voicepipe.pipelines.gc_schedule import FEW, GROWN, LAST_RESORT, LOOK_S, MIDDLE, OLD, QUIET_S, SWOLLEN
from voicepipe.pipelines.versions import KEPT

MINUTE_S = OLD * LOOK_S


class Cycle:
    """Something that only the collector can free."""

    def __init__(self):
        self.itself = self


class StandIn:
    """What a call is to the clock: it has a timer set, and it is ticked while its agent speaks."""

    def fire(self):
        """It never comes to that."""

    def tick(self, now):
        """Speaks on."""
        del now
        return True

    def fail(self, error):
        """Passes it on."""
        raise error


class Looks:
    """How many objects each look went over, everything that is not frozen being looked at by the third kind."""

    def __init__(self):
        self.sizes = []

    def __call__(self, phase, info):
        if phase == "start":
            self.sizes.append(sum(len(gc.get_objects(age)) for age in range(info["generation"] + 1)))

    @property
    def longest(self):
        """The most objects that one went over since this was asked last."""
        longest = max(self.sizes, default=0)
        self.sizes.clear()
        return longest


@pytest.fixture
def looks():
    looks = Looks()
    gc.callbacks.append(looks)
    yield looks
    gc.callbacks.remove(looks)


@pytest.fixture
def blocks(monkeypatch):
    """What the process is said to hold, set by the test."""
    blocks = [1000]
    monkeypatch.setattr(sys, "getallocatedblocks", lambda: blocks[0])
    return blocks


@asynccontextmanager
async def collected():
    """A collector that goes on, and the clock of a runtime, with what `collected` is to be told by pipeline sets."""
    collector, clock = Collector(), Clock()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.run)
        nursery.start_soon(collector.run)
        await trio.testing.wait_all_tasks_blocked()
        yield collector, clock
        nursery.cancel_scope.cancel()


def is_up(clock, call):
    """The call is up from now on."""
    clock.timers.set(call, trio.current_time() + 10_000)


async def test_the_collector_is_left_as_it_was(autojump_clock):
    thresholds = gc.get_threshold()
    async with collected():
        assert gc.get_threshold() == (LAST_RESORT,) * 3  # it comes by the clock
        assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == thresholds
    assert gc.get_freeze_count() == 0


async def test_garbage_of_calls_is_found_while_calls_are_up(autojump_clock, looks):
    async with collected() as (_, clock):
        is_up(clock, StandIn())
        assert looks.longest > FEW  # the first, before the call
        young = weakref.ref(Cycle())
        await trio.sleep(2 * LOOK_S)
        assert young() is None
        middle = Cycle()
        await trio.sleep(LOOK_S)
        middle = weakref.ref(middle)
        await trio.sleep(2 * MIDDLE * LOOK_S)
        assert middle() is None
        old = Cycle()
        await trio.sleep(4 * MIDDLE * LOOK_S)
        old = weakref.ref(old)
        await trio.sleep(MINUTE_S)
        assert old() is None
        assert 0 < looks.longest <= FEW


async def test_nothing_long_is_looked_at_while_a_call_is_up(autojump_clock, looks, blocks):
    """Not what a reload brings, not what a version leaves that has retired, not what hundreds of calls hold."""
    async with collected() as (collector, clock):
        call = StandIn()
        is_up(clock, call)
        brought = [Cycle() for _ in range(2 * FEW)]
        assert looks.longest > FEW  # the first, before the call
        await trio.sleep(2 * MINUTE_S)
        remains = weakref.ref(brought[0])
        brought.clear()
        collector.observe_set(Retired(set="main", version=1))
        slowly = []
        for _ in range(40):
            slowly += [Cycle() for _ in range(FEW // 4)]
            await trio.sleep(LOOK_S)
        await trio.sleep(2 * MINUTE_S)
        assert 0 < looks.longest <= FEW
        assert remains() is not None

        clock.timers.remove(call)
        await trio.sleep(QUIET_S - 2 * LOOK_S)
        assert remains() is not None  # another call may come
        is_up(clock, call)
        await trio.sleep(QUIET_S)
        assert looks.longest <= FEW
        clock.timers.remove(call)
        await trio.sleep(QUIET_S + 3 * LOOK_S)
        assert remains() is None
        assert len(slowly) == 40 * (FEW // 4)


async def test_everything_is_looked_at_once_when_it_is_quiet(autojump_clock, looks):
    async with collected() as (collector, clock):
        await trio.sleep(3 * MINUTE_S)
        assert sum(size > FEW for size in looks.sizes) == 1  # the first: nothing has happened since
        collector.observe_set(Retired(set="main", version=1))
        await trio.sleep(QUIET_S + 3 * LOOK_S)
        assert sum(size > FEW for size in looks.sizes) == 2
        clock.ticker.add(call := StandIn())  # it says goodbye, and has no timer any more
        await trio.sleep(2 * QUIET_S)
        assert sum(size > FEW for size in looks.sizes) == 2
        clock.ticker.remove(call)
        await trio.sleep(MINUTE_S)
        assert sum(size > FEW for size in looks.sizes) == 3


async def test_memory_that_grows_is_looked_at_although_calls_are_up(autojump_clock, blocks):
    async with collected() as (_, clock):
        call = StandIn()
        is_up(clock, call)
        clock.ticker.add(call)
        remains = Cycle()
        brought = [Cycle() for _ in range(2 * FEW)]
        await trio.sleep(2 * MIDDLE * LOOK_S)
        remains = weakref.ref(remains)
        assert len(brought) == 2 * FEW
        blocks[0] = int(1000 * GROWN) + 1
        await trio.sleep(2 * MIDDLE * LOOK_S)
        assert remains() is not None  # an agent speaks
        clock.ticker.remove(call)
        await trio.sleep(2 * MIDDLE * LOOK_S)
        assert remains() is None

        clock.ticker.add(call)
        remains = brought[0]
        brought.clear()
        await trio.sleep(2 * MIDDLE * LOOK_S)
        remains = weakref.ref(remains)
        blocks[0] = int(blocks[0] * SWOLLEN) + 1
        await trio.sleep(2 * MIDDLE * LOOK_S)
        assert remains() is None


@pytest.mark.parametrize("with_calls", [False, True])
async def test_old_versions_are_gone_in_the_end(autojump_clock, tmp_path, with_calls):
    """However often a set was reloaded: what is frozen is found when it is quiet, with or without calls before."""
    recorded, collector, clock = RecordedSet(tmp_path), Collector(), Clock()
    versions = weakref.WeakSet()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(clock.run)
        nursery.start_soon(collector.run)
        async with recorded.serve(observer=collector.observe_set) as pipelines:
            call = StandIn()
            for number in range(KEPT + 4):
                if with_calls:
                    is_up(clock, call)
                await recorded.rewrite(pipelines, default=pipeline(stt=str(number)))
                versions.add(pipelines._versions.serving)
                await trio.sleep(LOOK_S)
            clock.timers.remove(call)
            await trio.sleep(QUIET_S + 3 * LOOK_S)
            assert len(versions) == KEPT
        nursery.cancel_scope.cancel()
