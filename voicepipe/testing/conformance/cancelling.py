"""Cancels a block before its first step, its second, and so on: at every point where it can be cancelled."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Iterator


class Steps(trio.abc.Instrument):
    """Counts the steps of the current task and of tasks that it starts, and can cancel a scope before one of them.

    A step is what a task runs between two checkpoints that made it wait. A scope that is cancelled before a
    step interrupts each of the tasks at the checkpoint where it waits, and the stepping one at its next.
    """

    def __init__(self, cancel_before: int | None = None, *, alone: bool = False) -> None:
        self.count = 0
        """The number of steps so far."""
        self.scope = trio.CancelScope()
        """The scope that is cancelled."""
        self._cancel_before, self._alone = cancel_before, alone
        self._tasks = {trio.lowlevel.current_task()}

    def task_spawned(self, task: trio.lowlevel.Task) -> None:
        """Includes a task that one of the tasks has started."""
        if not self._alone and task.parent_nursery and task.parent_nursery.parent_task in self._tasks:
            self._tasks.add(task)

    def task_exited(self, task: trio.lowlevel.Task) -> None:
        """Forgets a task."""
        self._tasks.discard(task)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """Counts a step, and cancels the scope before the chosen one."""
        if task in self._tasks:
            self.count += 1
            if self.count == self._cancel_before:
                self.scope.cancel()


@contextmanager
def counting_steps(cancel_before: int | None = None, *, alone: bool = False) -> Iterator[Steps]:
    """Counts the steps of a block, and cancels it before one of them.

    Args:
        cancel_before: the number of that step, from 1; None: it is not cancelled.
        alone: whether only steps of the current task count.

    """
    steps = Steps(cancel_before, alone=alone)
    trio.lowlevel.add_instrument(steps)
    try:
        with steps.scope:
            yield steps
    finally:
        trio.lowlevel.remove_instrument(steps)


def chosen(steps: int, most: int) -> list[int]:
    """Returns the numbers of the steps to cancel before: all, or at most `most`, evenly spaced."""
    if steps <= most:
        return [*range(1, steps + 1)]
    return sorted({1 + round(at * (steps - 1) / max(most - 1, 1)) for at in range(most)})
