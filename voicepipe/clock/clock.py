"""What tells the time to all calls of a process: the ticker of their playout, the alarms of their timers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.clock.ticker import Ticker
from voicepipe.clock.timers import Alarms

if TYPE_CHECKING:
    from typing import NoReturn


_running = trio.lowlevel.RunVar[set["Clock"] | None]("clocks that run")


def load_of_clocks() -> tuple[int, int]:
    """How many calls are up on all clocks of this `trio.run`, and in how many of them the agent speaks."""
    clocks = _running.get(None) or ()
    return sum(len(clock.alarms) for clock in clocks), sum(len(clock.ticker) for clock in clocks)


class Clock:
    """Two tasks that wake up for calls, however many there are."""

    def __init__(self) -> None:
        self.ticker = Ticker()
        """Ticks every 20 ms for each call that speaks."""
        self.alarms = Alarms()
        """Ring when a call's next timer runs out."""

    async def run(self) -> NoReturn:
        """Goes on until it is cancelled."""
        if (running := _running.get(None)) is None:
            _running.set(running := set())
        running.add(self)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.alarms.run)
                await self.ticker.run()
        finally:
            running.discard(self)
