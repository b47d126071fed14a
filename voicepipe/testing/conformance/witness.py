"""Detects when this process did not run at all: it was stopped, or the machine slept or was suspended.

From inside, a step during which the process was stopped for a second looks like one that slept for a second. But a
thread that sleeps lets others run. So a witness thread wakes every 10 ms. If it wakes late, the process was stopped, or
another thread held the interpreter's lock. The kernel's counters tell these apart: a thread that waits for the lock
wakes every 5 ms (`sys.getswitchinterval`) to ask for it, and each wait counts as a voluntary context switch.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

try:
    import resource

    WHO: int | None = resource.RUSAGE_THREAD
except (ImportError, AttributeError):  # on other systems than Linux all time counts
    WHO = None

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK_S = 0.01
"""The time between two wakings of the thread, in s."""

NOTED_S = 0.01
"""The unexcused delay of a waking from which on it is noted, in s."""

PATIENCE_S = 1.0
"""The longest wait for the next waking, in s."""


class Witness:
    """A thread that wakes regularly, and the stops that it has noticed."""

    def __init__(self) -> None:
        self._stops: list[
            tuple[float, float, float]
        ] = []  # begin and end of a waking period, and the time stopped in it
        self._woke = time.perf_counter()
        self._watches, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="voicepipe kit: witness", daemon=True)
        if WHO is not None:
            self._thread.start()
            self._watches.wait()

    def stopped_s(self, began: float, ended: float) -> float:
        """Returns how long the process was stopped between two times of `perf_counter`, in s.

        It waits, for some 10 ms, until the thread has woken after the later time.
        """
        while self._woke < ended < time.perf_counter() < ended + PATIENCE_S and self._thread.is_alive():
            time.sleep(TICK_S / 5)
        overlaps = ((min(to, ended) - max(since, began), stopped) for since, to, stopped in self._stops)
        return sum(min(overlap, stopped) for overlap, stopped in overlaps if overlap > 0)

    def close(self) -> None:
        """Ends the thread."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        self._woke, excused_s = time.perf_counter(), _excused_s()
        self._watches.set()
        while not self._over.is_set():
            time.sleep(TICK_S)
            now, excused = time.perf_counter(), _excused_s()
            stopped = now - self._woke - TICK_S - (excused - excused_s)
            if stopped > NOTED_S:
                self._stops.append((self._woke, now, stopped))
            self._woke, excused_s = now, excused


def _excused_s() -> float:
    """Returns the total delay of this thread that is excused, in s: waits for a processor or for the lock."""
    delayed = 0.0
    with suppress(OSError), Path("/proc/thread-self/schedstat").open(encoding="ascii") as schedstat:
        delayed = int(schedstat.read().split()[1]) / 1e9
    waits: int = resource.getrusage(WHO).ru_nvcsw if WHO is not None else 0
    return delayed + waits * sys.getswitchinterval()


@contextmanager
def watching_for_stops() -> Iterator[Witness]:
    """Runs a witness during the block."""
    witness = Witness()
    try:
        yield witness
    finally:
        witness.close()
