"""How long the kit waits: by a clock that stands still while the machine does not run what is checked.

No verdict may depend on how fast a machine is. A deadline is there for what would never come; on a loaded machine,
under a tracer or in a slow container, what was to come may be late although the adapter is quick. So three kinds of
time do not count:

- That for which a thread of this process, or of a child process, was ready to run and got no processor. Linux tells
  it for each thread, in `/proc/PID/task/TID/schedstat`; elsewhere it counts.
- That in which the loop did not turn, because the process was stopped, the machine slept, or a task held the loop up.
  A task looks at the clock every `LOOK_S`, and no look counts more than that, however long ago the last one was. When
  the loop turns again, deadlines of the adapter's and events have come at once; the kit's own deadlines come later.
  (What holds up the loop is for the check `nothing_holds_up_the_loop` to find.)
- That for which a child process was stopped, or waited for a disk, when it was looked at; on Linux.

The adapter's own deadlines do not stand still with the kit's: what they make of a stop is seen in its events. So what
fails while the process stood still proves nothing, and is tried again.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from pathlib import Path
from time import process_time
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOK_S = 0.1
"""How often it is looked whether something is overdue, and the most that one look counts."""

FRESH_S = 0.005
"""For how long what was seen at a look is not looked at again: a look reads files for each thread, which takes longer
than what most checks do between two of them."""

SHIELDED_S = 0.5
"""How long after its deadline what is still in a scope keeps its shields."""

AT_LEAST = 0.1
"""How much of the time in which the loop turns counts whatever the machine does, so that every deadline comes."""

STOOD_S = 0.25
"""For how long the loop has to have stood still, neither computing nor ready to, for `CheckClock.stood_still`."""

STOPPED = ("T", "t", "D")
"""States, in `/proc/PID/stat`, of what does not run although it has something to do: stopped, traced, at a disk."""


class CheckClock:
    """Counts time for one check, and ends what is overdue."""

    def __init__(self) -> None:
        self._counted_s = 0.0
        self._looked_at, self._computed_s = trio.current_time(), process_time()
        self._delays: dict[Path, int] = {}
        self._delayed_s(0.0)
        self._due: dict[trio.CancelScope, float] = {}
        self.task: trio.lowlevel.Task | None = None
        """The one that looks."""
        self.stood_still = False
        """Whether the process, or a child of it, was stopped meanwhile."""

    @property
    def seen_s(self) -> float:
        """Seconds counted when it last looked, for those who can't afford a look."""
        return self._counted_s

    def now(self) -> float:
        """Seconds counted since it was made, as of at most `FRESH_S` ago."""
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
        """Cancels a scope at a time, and then takes the shields of what is still in the block."""
        self._due[scope] = due
        try:
            yield
        finally:
            del self._due[scope]

    async def run(self) -> None:
        """Looks, as long as it is not cancelled; runs beside each check."""
        self.task = trio.lowlevel.current_task()
        while True:
            await trio.sleep(LOOK_S)
            now = self.now()
            overdue = {scope: now - due for scope, due in self._due.items() if now >= due}
            for scope in overdue:
                scope.cancel()
            if max(overdue.values(), default=-inf) > SHIELDED_S:
                # Which of them is in the way can't be told from outside; the check has failed anyway.
                for shielded in gc.get_objects():
                    if type(shielded) is trio.CancelScope and shielded.shield:
                        shielded.shield = False

    def _delayed_s(self, passed: float) -> float:
        """For how long threads have been kept waiting since this was last asked, in s, all of them together.

        Args:
            passed: how long ago that was, in s: for as long whoever is stopped has been.

        """
        delayed = 0
        seen = {}
        for thread in _threads(Path("/proc/self")):
            try:
                seen[thread] = int((thread / "schedstat").read_text(encoding="ascii").split()[1])
            except (OSError, IndexError, ValueError):  # it has ended, or the kernel does not tell
                continue
            delayed += max(0, seen[thread] - self._delays.get(thread, 0))
        self._delays = seen
        if not any(map(_is_stopped, _children(Path("/proc/self")))):
            return delayed / 1e9
        self.stood_still = True
        return delayed / 1e9 + passed


def _threads(process: Path) -> Iterator[Path]:
    """The threads of a process and of those that it has started, in /proc."""
    yield from _tasks(process)
    for child in _children(process):
        yield from _tasks(child)


def _tasks(process: Path) -> Iterator[Path]:
    """The threads of a process, in /proc."""
    try:
        yield from list((process / "task").iterdir())
    except OSError:  # it has ended
        return


def _children(process: Path) -> Iterator[Path]:
    """The processes that a process has started, and that they have, in /proc."""
    for thread in _tasks(process):
        try:
            numbers = (thread / "children").read_text(encoding="ascii").split()
        except OSError:
            continue
        for number in numbers:
            child = Path("/proc", number)
            yield child
            yield from _children(child)


def _is_stopped(process: Path) -> bool:
    """Whether a process has something to do, and can't."""
    try:
        # The name, in parentheses, may hold anything.
        return (process / "stat").read_text(encoding="utf-8", errors="replace").rpartition(") ")[2].startswith(STOPPED)
    except OSError:
        return False


_clock: ContextVar[CheckClock] = ContextVar("_clock")


@contextmanager
def counting_time() -> Iterator[CheckClock]:
    """The clock of a check: `run` of what is given has to run beside it."""
    clock = CheckClock()
    token = _clock.set(clock)
    try:
        yield clock
    finally:
        _clock.reset(token)


def check_clock() -> CheckClock:
    """The clock of the check that runs."""
    return _clock.get()


def counted_s() -> float:
    """The time of the check that runs, in s."""
    return _clock.get().now()


@contextmanager
def ended_after(seconds: float) -> Iterator[trio.CancelScope]:
    """A scope that is cancelled after so much counted time, as `trio.move_on_after` is after so much of any."""
    clock = _clock.get()
    with trio.CancelScope() as scope, clock.ending(scope, clock.now() + seconds):
        yield scope


@contextmanager
def ending_at(scope: trio.CancelScope, due: float) -> Iterator[None]:
    """Cancels a scope of one's own when `counted_s` has come so far, while the block lasts."""
    with _clock.get().ending(scope, due):
        yield
