"""The timers of all calls of a process: one task sleeps until the next of them.

Each call has a next deadline, which moves several times a turn. A task of its own that sleeps until then would cost
a call 4 kB and two wake-ups for each move.
"""

from __future__ import annotations

from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import TYPE_CHECKING, Protocol

import trio

if TYPE_CHECKING:
    from typing import NoReturn


class Ringing(Protocol):
    """What wants to be told when a moment has come."""

    def ring(self) -> None:
        """Takes notice, quickly and without waiting; it is told once for each time that it asked."""

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what `ring` raised: the alarms go on for the others."""


class Alarms:
    """Rings each at its moment."""

    def __init__(self) -> None:
        self._next: list[tuple[float, int, _Alarm]] = []  # a heap; the number keeps alarms from being compared
        self._set: dict[Ringing, _Alarm] = {}
        self._numbers = count()
        self._sleeps_until = inf
        self._wake = trio.Event()

    def __len__(self) -> int:
        """How many are to be rung: every call that is up has set one."""
        return len(self._set)

    def set(self, ringing: Ringing, when: float) -> None:
        """Rings it then, on trio's clock, and not when it was to ring before."""
        self.remove(ringing)
        alarm = self._set[ringing] = _Alarm(ringing)
        heappush(self._next, (when, next(self._numbers), alarm))
        if when < self._sleeps_until:
            self._wake.set()

    def remove(self, ringing: Ringing) -> None:
        """Never mind; harmless if it was not to ring."""
        alarm = self._set.pop(ringing, None)
        if alarm is not None:
            alarm.ringing = None  # what stays in the heap keeps no call alive

    async def run(self) -> NoReturn:
        """Rings for ever."""
        while True:
            now = trio.current_time()
            while self._next and self._next[0][0] <= now:
                self._ring(heappop(self._next)[2])
            self._wake = trio.Event()
            self._sleeps_until = self._next[0][0] if self._next else inf
            with trio.move_on_at(self._sleeps_until):
                await self._wake.wait()

    def _ring(self, alarm: _Alarm) -> None:
        ringing = alarm.ringing
        if ringing is not None:
            del self._set[ringing]
            try:
                ringing.ring()
            except (Exception, SystemExit) as error:  # noqa: BLE001 - one call's trouble, which ends that call
                ringing.fail(error)


class _Alarm:
    __slots__ = ("ringing",)

    def __init__(self, ringing: Ringing) -> None:
        self.ringing: Ringing | None = ringing
