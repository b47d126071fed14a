"""The timers that all calls share, on virtual time."""

import gc
import weakref

import pytest
import trio
from attrs import define, field

from voicepipe.clock.timers import Timers


@define(eq=False)
class Target:
    """Notes when its timer fired; `does` happens then."""

    does: object = None
    times: list = field(factory=list)
    failures: list = field(factory=list)

    def fire(self):
        self.times.append(trio.current_time())
        if self.does is not None:
            self.does()

    def fail(self, error):
        self.failures.append(error)


@pytest.fixture
async def timers(nursery):
    timers = Timers()
    nursery.start_soon(timers.run)
    return timers


async def test_each_fires_once_at_its_moment(autojump_clock, timers):
    began, all_of_them = trio.current_time(), [Target() for _ in range(20)]
    for number, target in enumerate(all_of_them):
        timers.set(target, began + 1 + number * 7 % 20)
    await trio.sleep(60)
    for number, target in enumerate(all_of_them):
        assert target.times == [pytest.approx(began + 1 + number * 7 % 20)]


@pytest.mark.parametrize(("first", "then"), [(5, 1), (1, 5), (3, 3)])
async def test_one_that_is_set_anew_fires_at_the_new_moment(autojump_clock, timers, first, then):
    target, began = Target(), trio.current_time()
    timers.set(target, began + first)
    await trio.sleep(0.5)
    timers.set(target, began + then)
    await trio.sleep(10)
    assert target.times == [pytest.approx(began + then)]


async def test_one_that_is_removed_does_not_fire(autojump_clock, timers):
    target = Target()
    timers.remove(target)
    timers.set(target, trio.current_time() + 1)
    timers.remove(target)
    await trio.sleep(10)
    assert target.times == []


async def test_it_may_be_set_again_as_it_fires(autojump_clock, timers):
    target = Target()
    target.does = lambda: timers.set(target, trio.current_time() + 1) if len(target.times) < 3 else None
    began = trio.current_time()
    timers.set(target, began + 1)
    await trio.sleep(10)
    assert target.times == pytest.approx([began + 1, began + 2, began + 3])


async def test_a_moment_that_has_passed_fires_at_once(autojump_clock, timers):
    target = Target()
    timers.set(target, trio.current_time() - 5)
    await trio.testing.wait_all_tasks_blocked()
    assert len(target.times) == 1


async def test_what_one_raises_is_its_own(autojump_clock, timers):
    broken, fine = Target(does=lambda: 1 / 0), Target()
    for target in broken, fine:
        timers.set(target, trio.current_time() + 1)
    await trio.sleep(2)
    assert [type(error) for error in broken.failures] == [ZeroDivisionError]
    assert len(fine.times) == 1
    assert fine.failures == []


async def test_one_that_is_removed_is_not_kept(autojump_clock, timers):
    target = Target()
    known = weakref.ref(target)
    timers.set(target, trio.current_time() + 3600)
    timers.remove(target)
    gc.disable()
    try:
        del target
        assert known() is None
    finally:
        gc.enable()
