"""The shared clock of playout, on virtual time."""

from itertools import pairwise

import pytest
import trio
import trio.testing
from attrs import define, field

from voicepipe.clock.ticker import EARLY_S, SHIFT_S, SLOT_S, hub_ticks

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


async def receive(ms, start=0.0):
    """A hub with few calls that wakes every 20 ms, as a caller's frames come."""
    ticks = hub_ticks()
    ticks.hubs += 1
    for number in range(ms // 20):
        await trio.sleep_until(start + number * 0.02)
        ticks.received_at = trio.current_time()
        ticks.serve(ticks.received_at + EARLY_S)
    ticks.hubs -= 1


@pytest.mark.parametrize("phase_ms", range(20))
@pytest.mark.parametrize("start_ms", [400, 403])
async def test_what_may_be_shifted_is_ticked_when_frames_come(autojump_clock, ticker, nursery, start_ms, phase_ms):
    """No wake-up of the ticker's own, but perhaps a first one, whatever the phase of the caller's frames."""
    ticks = Ticks()
    nursery.start_soon(receive, 700, phase_ms / 1000)
    await trio.sleep_until(start_ms / 1000 + 0.0001)
    earlier_s = ticker.add(ticks, shift=True)
    await trio.sleep_until(0.6801)
    assert gaps(ticks.times[1:]) == pytest.approx([0.02] * (len(ticks.times) - 2))
    assert {round((time * 1000 - phase_ms) % 20, 3) % 20 for time in ticks.times[1:]} == {0}
    second, told = ticks.times[1] - start_ms / 1000, 0.02 - earlier_s
    assert SHIFT_S <= told <= 0.02 + SHIFT_S
    assert min(abs(second - 0.02 * n - told) for n in range(3)) <= EARLY_S


async def test_without_frames_the_ticker_wakes_by_itself(autojump_clock, ticker, nursery):
    """A caller that is muted sends none: the slots keep their time, and a hub costs them its grace at most."""
    ticks = Ticks()
    nursery.start_soon(receive, 500)
    await trio.sleep(0.3001)
    ticker.add(ticks, shift=True)
    await trio.sleep(1)
    assert gaps(ticks.times) == pytest.approx([0.02] * (len(ticks.times) - 1), abs=EARLY_S + 0.001 + SOON)
    assert len(ticks.times) in {49, 50}


async def test_hubs_serve_what_is_due_only(autojump_clock, ticker):
    ticks = Ticks()
    ticker.add(ticks)
    await trio.sleep(0.01)
    hub_ticks().serve(trio.current_time() + EARLY_S)
    assert ticks.times == []
    await trio.sleep(0.006)
    hub_ticks().serve(trio.current_time() + EARLY_S)
    assert ticks.times == [pytest.approx(0.016)]
    await trio.sleep(0.01)
    assert len(ticks.times) == 1
