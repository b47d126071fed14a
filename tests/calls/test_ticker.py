"""The shared clock of playout, on virtual time."""

from itertools import pairwise

import pytest
import trio
import trio.testing
from attrs import define, field

from voicepipe.clock.ticker import SLOT_S

SOON = 1e-6


@define(eq=False)
class Ticks:
    """Notes when it was ticked; `does` may say something about going on."""

    does: object = None
    times: list = field(factory=list)
    failures: list = field(factory=list)

    def fail(self, error):
        self.failures.append(error)

    def tick(self, now):
        self.times.append(now)
        return True if self.does is None else self.does()


def gaps(times):
    return [later - earlier for earlier, later in pairwise(times)]


@pytest.mark.parametrize("start", [0.0, 0.003, 0.0049, 0.0171, 0.35, 7.77])
async def test_every_20_ms_from_20_ms_on(autojump_clock, ticker, start):
    await trio.sleep(start)
    ticks = Ticks()
    ticker.add(ticks)
    await trio.sleep(1.001)
    assert 0.02 - SLOT_S - SOON <= ticks.times[0] - start <= 0.02 + SOON
    assert gaps(ticks.times) == pytest.approx([0.02] * (len(ticks.times) - 1))
    assert len(ticks.times) in {50, 51}


async def test_many_share_the_slots_in_which_they_began(autojump_clock, ticker):
    every = []
    for _ in range(40):
        every.append(Ticks())
        ticker.add(every[-1])
        await trio.sleep(0.0031)
    await trio.sleep(1)
    for ticks in every:
        assert gaps(ticks.times) == pytest.approx([0.02] * (len(ticks.times) - 1))
        assert len(ticks.times) >= 50
    assert len({round(time / SLOT_S, 3) for ticks in every for time in ticks.times[:1]}) > 4


async def test_false_ends_it_and_adding_it_again_goes_on(autojump_clock, ticker):
    ticks = Ticks()
    ticks.does = lambda: len(ticks.times) % 3 != 0
    ticker.add(ticks)
    await trio.sleep(1)
    assert len(ticks.times) == 3
    ticker.add(ticks)
    await trio.sleep(1)
    assert len(ticks.times) == 6


async def test_it_sleeps_when_nobody_speaks(autojump_clock, ticker):
    ticks = Ticks(lambda: False)
    ticker.add(ticks)
    await trio.sleep(1)
    before = trio.lowlevel.current_statistics()
    await trio.sleep(3600)
    woken = trio.lowlevel.current_statistics()
    assert ticks.times == [pytest.approx(0.02, abs=SLOT_S)]
    assert woken.seconds_to_next_deadline == before.seconds_to_next_deadline == float("inf")
    ticker.add(ticks)  # and wakes up
    await trio.sleep(0.1)
    assert len(ticks.times) == 2


async def test_a_late_wake_up_ticks_once_and_keeps_the_slots(autojump_clock, ticker):
    ticks = Ticks()
    ticker.add(ticks)
    await trio.sleep(0.101)
    count = len(ticks.times)
    autojump_clock.jump(0.25)  # the process was stopped: fifteen slots have gone by
    await trio.sleep(0.2)
    late = ticks.times[count:]
    assert late[0] == pytest.approx(0.351)
    # Every missed slot is served at once, and then it is every 20 ms again, on the old slots.
    assert sum(time == late[0] for time in late) <= 14
    assert [time for time in late if time > late[0]] == pytest.approx([0.36 + 0.02 * n for n in range(10)])


async def test_adding_inside_a_tick(autojump_clock, ticker):
    added = Ticks()

    def add():
        ticker.add(added)
        return False

    ticker.add(Ticks(add))
    await trio.sleep(0.1)
    assert added.times[0] >= 0.02 + 0.02 - SLOT_S - SOON
    assert gaps(added.times) == pytest.approx([0.02] * (len(added.times) - 1))


async def test_removing_another_inside_a_tick(autojump_clock, ticker):
    other = Ticks()
    ticker.add(Ticks(lambda: ticker.remove(other)))
    ticker.add(other)  # in the same slot, after it
    await trio.sleep(1)
    assert other.times == []


async def test_removing_itself_inside_a_tick(autojump_clock, ticker):
    ticks = Ticks()
    ticks.does = lambda: ticker.remove(ticks) or True
    ticker.add(ticks)
    await trio.sleep(1)
    assert len(ticks.times) == 1


async def test_what_is_removed_before_it_runs_wakes_it_for_nothing(autojump_clock, ticker):
    await trio.testing.wait_all_tasks_blocked()
    ticks = Ticks()
    ticker.add(ticks)
    ticker.remove(ticks)
    await trio.sleep(1)
    assert ticks.times == []
    ticker.add(ticks)
    await trio.sleep(0.101)
    assert len(ticks.times) == 5


async def test_removing_what_does_not_tick_is_harmless(autojump_clock, ticker):
    ticker.remove(Ticks())


@pytest.mark.parametrize("raised", [ZeroDivisionError("a defect"), SystemExit(3), ExceptionGroup("", [OSError()])])
@pytest.mark.parametrize("first", [True, False])
async def test_what_one_raises_is_its_own(autojump_clock, ticker, raised, first):
    """It is ticked no more; those of the same slot and of others go on as they did."""

    def does():
        raise raised

    broken, fine, elsewhere = Ticks(does), Ticks(), Ticks()
    for ticks in (broken, fine) if first else (fine, broken):
        ticker.add(ticks)
    await trio.sleep(2 * SLOT_S)
    ticker.add(elsewhere)
    await trio.sleep(1)
    assert broken.failures == [raised]
    assert len(broken.times) == 1
    for others in fine, elsewhere:
        assert gaps(others.times) == pytest.approx([0.02] * (len(others.times) - 1))
        assert len(others.times) >= 49
    ticker.add(broken)  # and it may begin again
    await trio.sleep(1)
    assert broken.failures == [raised] * 2
