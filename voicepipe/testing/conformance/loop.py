"""What the loop does while an adapter works: how long a task keeps it, and for how long nothing happens at all.

Both are told apart from a machine that is busy: what counts is the time less that for which this process was ready to
run and got no processor, and less that for which it did not run at all.
"""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import TYPE_CHECKING

import trio

from voicepipe.testing.conformance.waiting import LOOK_S, check_clock
from voicepipe.testing.conformance.witness import watching_for_stops

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.testing.conformance.witness import Witness


ASKED_S = 0.02
"""How long a step has to be for the witness to be asked, who takes up to 10 ms to answer."""


class LongestStep(trio.abc.Instrument):
    """The longest step of the current task and of those that it starts from now on.

    A step is what a task runs between two checkpoints that made it wait: meanwhile no other call is served. Tasks that
    ran before, such as those of a server that the options need, do not count.
    """

    def __init__(self, witness: Witness) -> None:
        """Begins in the middle of the current task's step.

        Args:
            witness: tells when the whole process did not run.

        """
        self.seconds = 0.0
        """How long it was."""
        self.task = ""
        """The name of the task."""
        self._witness = witness
        current = trio.lowlevel.current_task()
        self._tasks = {current}
        self._others = {id(nursery) for nursery in current.child_nurseries}
        self._began = self._delayed = 0.0
        self._schedstat: int | None = None
        with suppress(OSError):  # elsewhere than on Linux time is just time
            self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self.before_task_step(current)  # which it is in the middle of

    def close(self) -> None:
        """Ends the measurement."""
        if self._schedstat is not None:
            os.close(self._schedstat)

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Takes the tasks' own tasks in."""
        nursery = task.parent_nursery
        if nursery and nursery.parent_task in self._tasks and id(nursery) not in self._others:
            self._tasks.add(task)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Forgets a task."""
        self._tasks.discard(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Looks at the clock."""
        if task in self._tasks:
            self._delayed = self._delayed_s()
            self._began = perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Looks at it again; a task whose last step it was has exited by then."""
        if not self._began:
            return
        began, now = self._began, perf_counter()
        self._began = 0.0
        if now - began > self.seconds and (took := now - began - (self._delayed_s() - self._delayed)) > self.seconds:
            if took > ASKED_S:
                took -= self._witness.stopped_s(began, now)
            if took > self.seconds:
                self.seconds, self.task = took, task.name

    def _delayed_s(self) -> float:
        """For how long this thread has been kept waiting for a processor."""
        return int(os.pread(self._schedstat, 64, 0).split()[1]) / 1e9 if self._schedstat is not None else 0.0


@contextmanager
def longest_step() -> Iterator[LongestStep]:
    """Measures the steps of what is in the block; the garbage collector, whose pauses are no adapter's, waits."""
    collects = gc.isenabled()
    gc.disable()
    try:
        with watching_for_stops() as witness:
            watch = LongestStep(witness)
            trio.lowlevel.add_instrument(watch)
            try:
                yield watch
            finally:
                trio.lowlevel.remove_instrument(watch)
                watch.after_task_step(trio.lowlevel.current_task())
                watch.close()
    finally:
        if collects:
            gc.enable()


class LongestQuiet(trio.abc.Instrument):
    """The longest time in which no task ran but the kit's own clock: whoever waited, waited for a deadline."""

    def __init__(self) -> None:
        self._clock = check_clock()
        self.seconds = 0.0
        """How long it was, in counted time."""
        self._since, self._counted = trio.current_time(), self._clock.now()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """A task runs: how long has it been?"""
        if task is self._clock.task:
            return
        if trio.current_time() - self._since > max(self.seconds, LOOK_S):
            # What was counted when it began is known only to a look.
            self.seconds = max(self.seconds, self._clock.now() - self._counted - LOOK_S)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """It has run."""
        if task is not self._clock.task:
            self._since, self._counted = trio.current_time(), self._clock.seen_s


@contextmanager
def longest_quiet() -> Iterator[LongestQuiet]:
    """Measures how long nothing happens in the block."""
    watch = LongestQuiet()
    trio.lowlevel.add_instrument(watch)
    try:
        yield watch
    finally:
        trio.lowlevel.remove_instrument(watch)
