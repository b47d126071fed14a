"""When this process did not run at all: it was stopped, or the machine slept, or gave its processors to another one.

Nothing in a process tells that afterwards: a step in which it was stopped for a second looks like one that slept for a
second. But whoever sleeps lets other threads run. So a thread wakes every 10 ms; when it did not, the process was
stopped, or another thread kept the interpreter's lock. These two can be told apart as well: whoever waits for the lock
wakes every 5 ms (`sys.getswitchinterval`) to ask for it, and the system counts how often a thread has waited.
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
except (ImportError, AttributeError):  # elsewhere than on Linux time is just time
    WHO = None

if TYPE_CHECKING:
    from collections.abc import Iterator

TICK_S = 0.01
"""How often the thread wakes."""

NOTED_S = 0.01
"""How late it is, beyond what excuses it, when it is noted."""

PATIENCE_S = 1.0
"""How long its next waking is awaited at most."""


class Witness:
    """A thread that wakes all the time, and what it has noticed."""

    def __init__(self) -> None:
        self._stops: list[tuple[float, float, float]] = []  # between two wakings, how long the process did not run
        self._woke = time.perf_counter()
        self._watches, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="voicepipe kit: witness", daemon=True)
        if WHO is not None:
            self._thread.start()
            self._watches.wait()

    def stopped_s(self, began: float, ended: float) -> float:
        """For how long the process did not run between two moments of `perf_counter`, in s.

        It waits, for some 10 ms, until the thread has woken after the later one.
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
    """What this thread was late by so far although the process ran, in s: for want of a processor, or of the lock."""
    delayed = 0.0
    with suppress(OSError), Path("/proc/thread-self/schedstat").open(encoding="ascii") as told:
        delayed = int(told.read().split()[1]) / 1e9
    waits: int = resource.getrusage(WHO).ru_nvcsw if WHO is not None else 0
    return delayed + waits * sys.getswitchinterval()


@contextmanager
def watching_for_stops() -> Iterator[Witness]:
    """A witness while the block lasts."""
    witness = Witness()
    try:
        yield witness
    finally:
        witness.close()
