"""Measures how long the event loop is held by one of its turns, and logs what holds it for too long.

Theory of operation
===================

All calls share one event loop. In each turn it runs the tasks that are ready, one after the other, and then waits for
sockets and deadlines. Whatever becomes due during a turn waits for the turn's end: frames come late, and interruptions
are noticed late. So the length of turns is the lag of the loop.

*The instrument.* Trio calls `after_io_wait` and `before_io_wait` around each turn. They read a clock and add to a
histogram: no task is woken for it, and nothing is allocated but a float.

*The thread.* A turn that is too long is over when the loop can look at it, and with it the stack that held it. So a
thread looks at the clock every `LOOK_S`. If the present turn is older than `HELD_S` it takes the stack of the loop's
thread, once in each turn; the loop logs it at the turn's end. If the turn does not end within `HANGS_S` the thread logs
that itself, since the loop may never come back.

*CPU time.* `cpu_s` of the record tells whose fault it is. About as much as `seconds`: the code of the stack computed.
Little: it waited for something, such as a file or a lock, or the whole process did not run, because the machine was
suspended or others had its cores. The thread reads the clock of the loop's thread for that whenever it looks.

*How often.* A defect that holds the loop in each turn would flood the log. So there is one record in `REPORT_EVERY_S`;
`more` is the number of turns since the last one that were too long and have no record.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import contextmanager
from itertools import islice
from traceback import StackSummary, format_list, walk_stack
from typing import TYPE_CHECKING

import trio

from reference_engine.reports.histogram import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reference_engine.log.log import Log

LAG_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
"""Upper bounds of the histogram's buckets, in s: a frame is 0.02, and callers hear 0.1."""

HELD_S = 0.1
"""The length from which on a turn is logged, in s."""

HANGS_S = 5.0
"""The length at which a turn is logged before it has ended, in s."""

LOOK_S = 0.05
"""The interval at which the thread looks, in s."""

REPORT_EVERY_S = 10.0
"""The shortest time between two records, in s."""

FRAMES = 12
"""The most frames of a stack that are logged, the innermost ones."""


class LoopWatch(trio.abc.Instrument):
    """An instrument of trio that measures turns of the loop; to be used by `watch_loop`.

    Args:
        log: gets `loop.held` and `loop.hangs`.
        clock: returns a time in s that never goes back.

    Attributes:
        turns: the lengths of all turns.

    """

    def __init__(self, log: Log, clock: Callable[[], float] = time.perf_counter) -> None:
        self.turns = Histogram(LAG_S)
        self._log, self._clock = log, clock
        self._began: float | None = None  # of the present turn; None while the loop waits
        self._seen: float | None = None  # the turn whose stack was taken
        self._stack = ""
        self._hangs: float | None = None  # the turn that was logged before it ended
        self._cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
        self._cpu_before = time.clock_gettime(self._cpu_clock)
        self._thread_id = threading.get_ident()
        self._reported, self._more = float("-inf"), 0

    def after_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        """Begins a turn."""
        self._began = self._clock()

    def before_io_wait(self, timeout: float) -> None:  # noqa: ARG002
        """Ends a turn."""
        began = self._began
        if began is None:
            return
        self._began = None
        held = self._clock() - began
        self.turns.add(held)
        if held > HELD_S:
            self._report(began, held)

    def look(self) -> None:
        """Takes the stack of the loop's thread if the present turn is too long; called in the thread."""
        began, now = self._began, self._clock()
        if began is None or now - began <= HELD_S:
            if began is None or now - began < LOOK_S:
                self._cpu_before = time.clock_gettime(self._cpu_clock)
            return
        if self._seen != began:
            self._stack, self._seen = _stack_of(self._thread_id), began
        if now - began > HANGS_S and self._hangs != began:
            self._hangs = began
            self._log.error("loop.hangs", seconds=round(now - began, 3), cpu_s=self._cpu_s(), stack=self._stack)

    def _report(self, began: float, held: float) -> None:
        now = self._clock()
        if now - self._reported < REPORT_EVERY_S:
            self._more += 1
            return
        stack = self._stack if self._seen == began else ""
        self._log.warning("loop.held", seconds=round(held, 3), cpu_s=self._cpu_s(), more=self._more, stack=stack)
        self._reported, self._more = now, 0

    def _cpu_s(self) -> float:
        """CPU time of the loop's thread since the thread last looked while the loop was not held, in s."""
        return round(time.clock_gettime(self._cpu_clock) - self._cpu_before, 3)


@contextmanager
def watch_loop(watch: LoopWatch) -> Iterator[None]:
    """Measures the turns of the event loop, and logs long ones, while the block runs."""
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(LOOK_S):
            watch.look()

    thread = threading.Thread(target=look, name="loop watch", daemon=True)
    trio.lowlevel.add_instrument(watch)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        trio.lowlevel.remove_instrument(watch)
        thread.join()


def _stack_of(thread_id: int) -> str:
    """Returns the innermost frames of a thread's stack, without those of imports, in the form of a traceback."""
    frame = sys._current_frames().get(thread_id)  # noqa: SLF001 - documented, and the only way
    if frame is None:
        return ""
    frames = (found for found in walk_stack(frame) if not found[0].f_code.co_filename.startswith("<frozen"))
    stack = StackSummary.extract(islice(frames, FRAMES))
    stack.reverse()
    return "".join(format_list(stack)).rstrip()
