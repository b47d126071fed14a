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
    """What has something to do every 20 ms."""

    def tick(self, now: float) -> bool:
        """Does it, quickly; False: nothing more to do, until it is added again."""

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what `tick` raised; it is not ticked any more, and the ticker goes on for the others."""


class Ticker:
    """Calls `tick` of everything that was added every 20 ms, until it returns False."""

    def __init__(self) -> None:
        self._slots: list[dict[Ticking, None]] = [{} for _ in range(SLOTS)]
        self._wake = trio.Event()

    def __len__(self) -> int:
        """How many it ticks."""
        return sum(map(len, self._slots))

    def add(self, ticking: Ticking) -> None:
        """Ticks it from 20 ms from now on, on trio's clock."""
        self._slots[int(trio.current_time() / SLOT_S) % SLOTS][ticking] = None
        self._wake.set()

    def remove(self, ticking: Ticking) -> None:
        """Ticks it no more; harmless if it isn't ticking."""
        for slot in self._slots:
            slot.pop(ticking, None)

    async def run(self) -> NoReturn:
        """Ticks for ever."""
        slot = int(trio.current_time() / SLOT_S)
        while True:
            while not any(self._slots):  # what woke it may be removed again before it runs
                self._wake = trio.Event()
                await self._wake.wait()
                slot = int(trio.current_time() / SLOT_S)
            # The next slot that serves anybody; after a stall all that were missed are served at once.
            slot += 1
            while not self._slots[slot % SLOTS]:
                slot += 1
            await trio.sleep_until(slot * SLOT_S)
            due, now = self._slots[slot % SLOTS], trio.current_time()
            for ticking in list(due):
                if ticking not in due:  # another's tick has removed it
                    continue
                try:
                    more = ticking.tick(now)
                except (Exception, SystemExit) as error:  # noqa: BLE001 - one call's trouble, which ends that call
                    due.pop(ticking, None)
                    ticking.fail(error)
                else:
                    if not more:
                        due.pop(ticking, None)
