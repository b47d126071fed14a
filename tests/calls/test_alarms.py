"""The timers that all calls share, on virtual time."""

import gc
import weakref

import pytest
import trio
from attrs import define, field

from voicepipe.clock.timers import Alarms


@define(eq=False)
class Rings:
    """Notes when it rang; `does` happens then."""

    does: object = None
    times: list = field(factory=list)
    failures: list = field(factory=list)

    def ring(self):
        self.times.append(trio.current_time())
        if self.does is not None:
            self.does()

    def fail(self, error):
        self.failures.append(error)


@pytest.fixture
async def alarms(nursery):
    alarms = Alarms()
    nursery.start_soon(alarms.run)
    return alarms


async def test_each_rings_once_at_its_moment(autojump_clock, alarms):
    began, all_of_them = trio.current_time(), [Rings() for _ in range(20)]
    for number, rings in enumerate(all_of_them):
        alarms.set(rings, began + 1 + number * 7 % 20)
    await trio.sleep(60)
    for number, rings in enumerate(all_of_them):
        assert rings.times == [pytest.approx(began + 1 + number * 7 % 20)]


@pytest.mark.parametrize(("first", "then"), [(5, 1), (1, 5), (3, 3)])
async def test_one_that_is_set_anew_rings_at_the_new_moment(autojump_clock, alarms, first, then):
    rings, began = Rings(), trio.current_time()
    alarms.set(rings, began + first)
    await trio.sleep(0.5)
    alarms.set(rings, began + then)
    await trio.sleep(10)
    assert rings.times == [pytest.approx(began + then)]


async def test_one_that_is_removed_does_not_ring(autojump_clock, alarms):
    rings = Rings()
    alarms.remove(rings)
    alarms.set(rings, trio.current_time() + 1)
    alarms.remove(rings)
    await trio.sleep(10)
    assert rings.times == []


async def test_it_may_be_set_again_as_it_rings(autojump_clock, alarms):
    rings = Rings()
    rings.does = lambda: alarms.set(rings, trio.current_time() + 1) if len(rings.times) < 3 else None
    began = trio.current_time()
    alarms.set(rings, began + 1)
    await trio.sleep(10)
    assert rings.times == pytest.approx([began + 1, began + 2, began + 3])


async def test_a_moment_that_has_passed_rings_at_once(autojump_clock, alarms):
    rings = Rings()
    alarms.set(rings, trio.current_time() - 5)
    await trio.testing.wait_all_tasks_blocked()
    assert len(rings.times) == 1


async def test_what_one_raises_is_its_own(autojump_clock, alarms):
    broken, fine = Rings(does=lambda: 1 / 0), Rings()
    for rings in broken, fine:
        alarms.set(rings, trio.current_time() + 1)
    await trio.sleep(2)
    assert [type(error) for error in broken.failures] == [ZeroDivisionError]
    assert len(fine.times) == 1
    assert fine.failures == []


async def test_one_that_is_removed_is_not_kept(autojump_clock, alarms):
    rings = Rings()
    known = weakref.ref(rings)
    alarms.set(rings, trio.current_time() + 3600)
    alarms.remove(rings)
    gc.disable()
    try:
        del rings
        assert known() is None
    finally:
        gc.enable()
