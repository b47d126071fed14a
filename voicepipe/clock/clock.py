"""The clock of a process: the ticker that paces playout, and the timers of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.clock.ticker import Ticker
from voicepipe.clock.timers import Timers

if TYPE_CHECKING:
    from typing import NoReturn


_running = trio.lowlevel.RunVar[set["Clock"] | None]("running clocks")


def load_of_clocks() -> tuple[int, int]:
    """Counts the calls on all clocks of this `trio.run`, and those of them in which the agent speaks."""
    clocks = _running.get(None) or ()
    speaking = sum(len(clock.ticker) + len(clock.refills) for clock in clocks)
    return sum(len(clock.timers) for clock in clocks), speaking


class Clock:
    """The ticker and the timers that all calls of a process share; each of the three is one task."""

    def __init__(self) -> None:
        self.ticker = Ticker()
        """Ticks every 20 ms for each call in which the agent speaks."""
        self.timers = Timers()
        """Fires the timer of each call."""
        self.refills = Timers()
        """Wakes the playout of calls whose transport buffers, while anything is to be written or to be heard."""

    async def run(self) -> NoReturn:
        """Runs the ticker and the timers until it is cancelled."""
        if (running := _running.get(None)) is None:
            _running.set(running := set())
        running.add(self)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.timers.run)
                nursery.start_soon(self.refills.run)
                await self.ticker.run()
        finally:
            running.discard(self)
