"""What tells the time to all calls of a process: the ticker of their playout, the alarms of their timers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.alarms import Alarms
from voicepipe.ticker import Ticker

if TYPE_CHECKING:
    from typing import NoReturn


class Clock:
    """Two tasks that wake up for calls, however many there are."""

    def __init__(self) -> None:
        self.ticker = Ticker()
        """Ticks every 20 ms for each call that speaks."""
        self.alarms = Alarms()
        """Ring when a call's next timer runs out."""

    async def run(self) -> NoReturn:
        """Goes on until it is cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.alarms.run)
            await self.ticker.run()
