"""Measures the event loop while an adapter works: the longest step of a task, and the longest time without any step.

A busy machine has no influence: the time for which this process waited for a processor, or was stopped, is deducted.
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
"""The shortest step, in s, that is compared with the stops of the process: that takes up to 10 ms."""


class LongestStep(trio.abc.Instrument):
    """Measures the longest step of the current task and of tasks that it starts from now on.

    A step is what a task runs between two checkpoints that made it wait: meanwhile no other call is served. Tasks that
    exist already, such as those of a test server, don't count.
    """

    def __init__(self, witness: Witness) -> None:
        """Begins to measure, in the middle of the current task's step.

        Args:
            witness: knows when the process was stopped.

        """
        self.seconds = 0.0
        """The duration of the longest step, in s."""
        self.task = ""
        """The name of its task."""
        self._witness = witness
        current = trio.lowlevel.current_task()
        self._tasks = {current}
        self._others = {id(nursery) for nursery in current.child_nurseries}
        self._began = self._delayed = 0.0
        self._schedstat: int | None = None
        with suppress(OSError):  # on other systems than Linux all time counts
            self._schedstat = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
        self.before_task_step(current)  # which it is in the middle of

    def close(self) -> None:
        """Ends the measurement."""
        if self._schedstat is not None:
            os.close(self._schedstat)

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Includes a task that one of the tasks has started."""
        nursery = task.parent_nursery
        if nursery and nursery.parent_task in self._tasks and id(nursery) not in self._others:
            self._tasks.add(task)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Forgets a task."""
        self._tasks.discard(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Notes the begin of a step."""
        if task in self._tasks:
            self._delayed = self._delayed_s()
            self._began = perf_counter()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Measures the step; a task whose last step it was has exited by then."""
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
        """Returns the total time that this thread has waited for a processor, in s."""
        return int(os.pread(self._schedstat, 64, 0).split()[1]) / 1e9 if self._schedstat is not None else 0.0


@contextmanager
def longest_step() -> Iterator[LongestStep]:
    """Measures the steps in the block, with the garbage collector off: its pauses are not the adapter's."""
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
    """Measures the longest time in which no task ran, except the kit's clock: all others waited for a deadline."""

    def __init__(self) -> None:
        self._clock = check_clock()
        self.seconds = 0.0
        """That time, in counted seconds."""
        self._since, self._counted = trio.current_time(), self._clock.now()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Measures the time since the last step."""
        if task is self._clock.task:
            return
        if trio.current_time() - self._since > max(self.seconds, LOOK_S):
            # The time that was counted at its begin is known only up to one look.
            self.seconds = max(self.seconds, self._clock.now() - self._counted - LOOK_S)

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """Notes the end of a step."""
        if task is not self._clock.task:
            self._since, self._counted = trio.current_time(), self._clock.seen_s


@contextmanager
def longest_quiet() -> Iterator[LongestQuiet]:
    """Measures the longest time in the block in which no task ran."""
    watch = LongestQuiet()
    trio.lowlevel.add_instrument(watch)
    try:
        yield watch
    finally:
        trio.lowlevel.remove_instrument(watch)
