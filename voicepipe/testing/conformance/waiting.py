"""The clock of the kit's deadlines, which doesn't count time in which the machine did not run what is checked.

No verdict may depend on how fast a machine is. A deadline is for what would never come; on a loaded machine, under a
tracer or in a slow container, an event may be late although the adapter is quick. So three kinds of time don't count:

- The time for which a thread of this process, or of a child process, was ready to run and got no processor. Linux
  has it for each thread, in `/proc/PID/task/TID/schedstat`; on other systems it counts.
- The time in which the loop did not turn, because the process was stopped, the machine slept, or a task blocked the
  loop. A task looks at the clock every `LOOK_S`, and no look counts more than that, however long ago the last one was.
  When the loop turns again, the adapter's deadlines and events have come at once; the kit's deadlines come later.
  (The check `nothing_holds_up_the_loop` finds tasks that block the loop.)
- The time for which a child process was stopped, or waited for a disk, when it was looked at; on Linux.

The adapter's own deadlines don't stand still with the kit's. So a failure during a stop proves nothing, and the check
is run again.
"""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from time import process_time
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_S = 0.1
"""The time between two looks at what is overdue, and the most that one look counts, in s."""

FRESH_S = 0.005
"""For how long what was seen at a look is not looked at again: a look reads files for each thread, which takes longer
than what most checks do between two of them."""

SHIELDED_S = 0.5
"""The time after a deadline for which tasks in its scope keep their shields, in s."""

AT_LEAST = 0.1
"""The share of time that counts in any case, so that every deadline comes."""

STOOD_S = 0.25
"""The shortest stop of the loop, neither computing nor ready to, that sets `CheckClock.stood_still`, in s."""

STOPPED = (b"T", b"t", b"D")
"""States in `/proc/PID/stat` of a process that is stopped, traced, or waits for a disk."""


class CheckClock:
    """Counts the time of one check, and cancels the scopes that are overdue."""

    def __init__(self) -> None:
        self._counted_s = 0.0
        self._looked_at, self._computed_s = trio.current_time(), process_time()
        self._delays: dict[str, int] = {}
        self._delayed_s(0.0)
        self._due: dict[trio.CancelScope, float] = {}
        self.task: trio.lowlevel.Task | None = None
        """The task that looks."""
        self.stood_still = False
        """Whether the process, or a child of it, was stopped during the check."""

    @property
    def seen_s(self) -> float:
        """The seconds counted at the last look; cheaper than `now`."""
        return self._counted_s

    def now(self) -> float:
        """Looks at the clock, unless it did less than `FRESH_S` ago, and returns the seconds counted so far."""
        passed = trio.current_time() - self._looked_at
        if passed > FRESH_S:
            self._looked_at += passed
            computed_s, self._computed_s = process_time() - self._computed_s, process_time()
            delayed_s = self._delayed_s(passed)
            self.stood_still = self.stood_still or passed - LOOK_S - computed_s - delayed_s > STOOD_S
            counted = max(passed - delayed_s, passed * AT_LEAST)
            self._counted_s += min(counted, LOOK_S)
        return self._counted_s

    @contextmanager
    def ending(self, scope: trio.CancelScope, due: float) -> Iterator[None]:
        """Cancels a scope when `due` seconds are counted, and later removes shields of tasks that are still in it."""
        self._due[scope] = due
        try:
            yield
        finally:
            del self._due[scope]

    async def run(self) -> None:
        """Looks at the clock until it is cancelled; runs beside each check."""
        self.task = trio.lowlevel.current_task()
        while True:
            await trio.sleep(LOOK_S)
            now = self.now()
            overdue = {scope: now - due for scope, due in self._due.items() if now >= due}
            for scope in overdue:
                scope.cancel()
            if max(overdue.values(), default=-inf) > SHIELDED_S:
                # Which shield is in the way can't be told from outside; the check has failed anyway.
                for shielded in gc.get_objects():
                    if type(shielded) is trio.CancelScope and shielded.shield:
                        shielded.shield = False

    def _delayed_s(self, passed: float) -> float:
        """Returns the time that threads have waited for a processor since the last call, summed up, in s.

        Args:
            passed: the time since the last call, in s; it counts as waiting if a child is stopped.

        """
        delayed = 0
        seen = {}
        for thread in _threads("/proc/self"):
            try:
                seen[thread] = int(_read(f"{thread}/schedstat").split()[1])
            except (OSError, IndexError, ValueError):  # it has ended, or the kernel does not tell
                continue
            delayed += max(0, seen[thread] - self._delays.get(thread, 0))
        self._delays = seen
        if not any(map(_is_stopped, _children("/proc/self"))):
            return delayed / 1e9
        self.stood_still = True
        return delayed / 1e9 + passed


def _threads(process: str) -> Iterator[str]:
    """The threads of a process and of those that it has started, in /proc."""
    yield from _tasks(process)
    for child in _children(process):
        yield from _tasks(child)


def _tasks(process: str) -> list[str]:
    """The threads of a process, in /proc."""
    try:
        return [f"{process}/task/{number}" for number in os.listdir(f"{process}/task")]  # noqa: PTH208 - see `_read`
    except OSError:  # it has ended
        return []


def _children(process: str) -> Iterator[str]:
    """The processes that a process has started, and that they have, in /proc."""
    for thread in _tasks(process):
        try:
            numbers = _read(f"{thread}/children").split()
        except OSError:
            continue
        for number in numbers:
            child = f"/proc/{number.decode()}"
            yield child
            yield from _children(child)


def _is_stopped(process: str) -> bool:
    """Whether a process has something to do, and can't."""
    try:
        # The name, in parentheses, may hold anything.
        return _read(f"{process}/stat").rpartition(b") ")[2].startswith(STOPPED)
    except OSError:
        return False


def _read(file: str) -> bytes:
    """The content of a file of /proc. A `Path` would take longer than the kernel: there is one for each thread."""
    with open(file, "rb", buffering=0) as opened:  # noqa: PTH123
        return opened.read()


_clock: ContextVar[CheckClock] = ContextVar("_clock")


@contextmanager
def counting_time() -> Iterator[CheckClock]:
    """Makes the clock of a check; its `run` has to run beside the check."""
    clock = CheckClock()
    token = _clock.set(clock)
    try:
        yield clock
    finally:
        _clock.reset(token)


def check_clock() -> CheckClock:
    """Returns the clock of the running check."""
    return _clock.get()


def counted_s() -> float:
    """Looks at the clock of the running check, and returns the seconds counted so far."""
    return _clock.get().now()


@contextmanager
def ended_after(seconds: float) -> Iterator[trio.CancelScope]:
    """Like `trio.move_on_after`, but in counted time."""
    clock = _clock.get()
    with trio.CancelScope() as scope, clock.ending(scope, clock.now() + seconds):
        yield scope


@contextmanager
def ending_at(scope: trio.CancelScope, due: float) -> Iterator[None]:
    """Cancels a scope when `counted_s()` reaches `due`, unless the block has ended."""
    with _clock.get().ending(scope, due):
        yield
