"""The timers of all calls of a process: one task sleeps until the next of them fires.

A call has one timer, which moves several times a turn. A task for each call that sleeps until then would cost 4 kB a
call and two wake-ups for each move. Here a move costs a heap entry, and wakes the task only if the new moment comes
before the one that it sleeps for. Entries of timers that were moved or removed stay in the heap, without their target,
until their moment comes.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from typing import NoReturn


class TimerTarget(Protocol):
    """An object that a timer is set for, such as a call."""

    def fire(self) -> None:
        """Handles the timer, quickly and without waiting. Each `set` fires once."""

    def fail(self, error: Exception | SystemExit) -> None:
        """Handles an exception of `fire`; timers of other targets go on."""


class Timers:
    """One timer for each target."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Pending]] = []  # the number keeps entries from being compared
        self._entries: dict[TimerTarget, _Pending] = {}
        self._numbers = count()
        self._sleeps_until = inf
        self._moved = trio.lowlevel.ParkingLot()  # of `run`, while it sleeps

    def __len__(self) -> int:
        """The number of targets with a pending timer; each call that is up has one."""
        return len(self._entries)

    def set(self, target: TimerTarget, when: float) -> None:
        """Sets the target's timer to a moment on trio's clock, in place of the one that was pending."""
        self.remove(target)
        entry = self._entries[target] = _Pending(target)
        heappush(self._heap, (when, next(self._numbers), entry))
        if when < self._sleeps_until:
            self._moved.unpark_all()

    def remove(self, target: TimerTarget) -> None:
        """Cancels the pending timer; no-op if none is set."""
        entry = self._entries.pop(target, None)
        if entry is not None:
            entry.target = None  # an entry that stays in the heap must not keep a call alive

    async def run(self) -> NoReturn:
        """Fires timers as their moments come, until it is cancelled."""
        while True:
            now = trio.current_time()
            while self._heap and self._heap[0][0] <= now:
                self._fire(heappop(self._heap)[2])
            self._sleeps_until = self._heap[0][0] if self._heap else inf
            with trio.move_on_at(self._sleeps_until):
                await self._moved.park()

    def _fire(self, entry: _Pending) -> None:
        target = entry.target
        if target is not None:
            del self._entries[target]
            try:
                target.fire()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - a defect of one call, which ends that call
                target.fail(error)


class _Pending:
    __slots__ = ("target",)

    def __init__(self, target: TimerTarget) -> None:
        self.target: TimerTarget | None = target
