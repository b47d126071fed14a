"""The clock that all calls of a process share for playout.

Each speaking call has to write a 20 ms frame every 20 ms. One task serves them all, in slots of 5 ms: a call
joins the slot in which it began to speak, so a wake-up serves a quarter of the calls, and the task sleeps
when nobody speaks. A clock a call costs twice as much at 200 calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import trio

from voicepipe.audio import FRAME_MS

if TYPE_CHECKING:
    from typing import NoReturn

SLOTS = 4
"""Slots in a frame's time: 5 ms each."""

SLOT_S = FRAME_MS / 1000 / SLOTS


class Ticking(Protocol):
    """An object with work to do every 20 ms, such as a reply that is being played."""

    def tick(self, now: float) -> bool:
        """Does the work without waiting; False removes the object from the ticker.

        Args:
            now: the moment of this tick, on trio's clock.

        """

    def fail(self, error: Exception | SystemExit) -> None:
        """Receives what `tick` raised; the object has been removed, and the ticker goes on with the others."""


class Ticker:
    """Calls `tick` of each added object every 20 ms, until that returns False or raises."""

    def __init__(self) -> None:
        self._slots: list[dict[Ticking, None]] = [{} for _ in range(SLOTS)]
        self._added = trio.lowlevel.ParkingLot()

    def __len__(self) -> int:
        """The number of objects that are ticked."""
        return sum(map(len, self._slots))

    def add(self, ticking: Ticking) -> None:
        """Adds an object; its first tick comes about 20 ms from now, on trio's clock."""
        self._slots[int(trio.current_time() / SLOT_S) % SLOTS][ticking] = None
        self._added.unpark_all()

    def remove(self, ticking: Ticking) -> None:
        """Removes an object; no-op if it was not added."""
        for slot in self._slots:
            slot.pop(ticking, None)

    async def run(self) -> NoReturn:
        """Ticks until it is cancelled."""
        slot = int(trio.current_time() / SLOT_S)
        while True:
            while not any(self._slots):  # the object that woke this task may be removed before it runs
                await self._added.park()
                slot = int(trio.current_time() / SLOT_S)
            # The next slot with an object in it; after a stall, every slot that was missed is served without a sleep.
            slot += 1
            while not self._slots[slot % SLOTS]:
                slot += 1
            await trio.sleep_until(slot * SLOT_S)
            due, now = self._slots[slot % SLOTS], trio.current_time()
            for ticking in list(due):
                if ticking not in due:  # removed by the tick of another object
                    continue
                try:
                    more = ticking.tick(now)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - a defect of one call, which ends that call
                    due.pop(ticking, None)
                    ticking.fail(error)
                else:
                    if not more:
                        due.pop(ticking, None)
