"""What the tests of adapters share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from voicepipe.components.protocols import Resources

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture
def resources():
    lent = Resources(component="test", threads=trio.CapacityLimiter(4))
    yield lent
    assert lent.threads.borrowed_tokens == 0


@pytest.fixture
def open_files() -> Callable[[], int]:
    """Counts this process's file descriptors."""
    return lambda: len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def no_children() -> Callable[[], bool]:
    """Tells whether this process has no child process, dead or alive."""

    def look() -> bool:
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return True
        return False

    return look


class _CancelAtStep(trio.abc.Instrument):
    """Cancels a scope just before its task runs on for the n-th time."""

    def __init__(self, step: int) -> None:
        self._task = trio.lowlevel.current_task()
        self._left = step
        self.scope = trio.CancelScope()

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self._left -= 1
            if self._left == 0:
                self.scope.cancel()


@pytest.fixture
def cancel_at_every_step():
    """Runs something again and again, cancelled at its first step, at its second, ..., until it gets through.

    Between a step and the next lies one wait; what is checked in `afterwards` holds after each of the runs.
    """

    async def run(scenario: Callable[[], Awaitable[None]], afterwards: Callable[[], None], *, most: int = 300) -> int:
        tasks = trio.lowlevel.current_statistics().tasks_living
        for step in range(1, most):
            canceller = _CancelAtStep(step)
            trio.lowlevel.add_instrument(canceller)
            try:
                with canceller.scope:
                    await scenario()
            finally:
                trio.lowlevel.remove_instrument(canceller)
            afterwards()
            await trio.testing.wait_all_tasks_blocked()  # the server may be in the middle of a write
            assert trio.lowlevel.current_statistics().tasks_living == tasks
            if not canceller.scope.cancelled_caught:
                return step
        raise AssertionError(f"never got through in {most} steps")

    return run
