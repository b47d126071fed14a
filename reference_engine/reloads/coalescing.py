"""Merges requests: runs a job at most once at a time; requests made during a run share the next run.

Theory of operation
===================

A reload must read the files *after* it was requested, because whoever requests it may have written a file just before.
So a request can't be answered by a run that has begun already, but it can share one that has not:

    requests     A        B  C          D
    runs         |---A----||---B,C---||---D---|

However many requests come during a run, they cause one more. `request` enters itself in the next run (`_next`),
creating it if need be, and waits for that run's event. `serve`, in a task of its own, takes the next run out, so that
later requests create another, then carries it out and sets its event.

The job runs in the task of `serve`, not in that of the requester: a client that disconnects cancels only its own
waiting, and other requests of the same run still get their answer. An exception of the job is raised in each requester
and does not end `serve`.

The engine's own file is reloaded so. Pipeline sets have a queue of their own in the library (`ChangeQueue`), which
orders rollbacks among reloads as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@define(eq=False)
class _SharedRun(Generic[T]):
    """A run that was requested, by one requester or by several, and its result."""

    trigger: str
    done: trio.Event = field(factory=trio.Event)
    results: list[T] = field(factory=list)
    error: Exception | None = None


class CoalescingQueue(Generic[T]):
    """Runs a job at most once at a time; requests made during a run share the next run.

    Args:
        run: the job; it gets the trigger of the first request that shares the run.

    """

    def __init__(self, run: Callable[[str], Awaitable[T]]) -> None:
        self._run = run
        self._next: _SharedRun[T] | None = None
        self._requested = trio.Event()

    async def request(self, trigger: str) -> T:
        """Returns the result of the next run, or raises its exception; cancelling this does not cancel the run."""
        if self._next is None:
            self._next = _SharedRun(trigger)
            self._requested.set()
        run = self._next
        await run.done.wait()
        if run.error is not None:
            raise run.error
        return run.results[0]

    async def serve(self) -> None:
        """Runs the job whenever it was requested, until it is cancelled."""
        while True:
            await self._requested.wait()
            self._requested = trio.Event()
            run, self._next = self._next, None
            if run is not None:
                try:
                    run.results.append(await self._run(run.trigger))
                except Exception as error:  # noqa: BLE001 - the boundary of a reload
                    run.error = error
                run.done.set()
