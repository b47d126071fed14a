"""Runs a job at most once at a time; requests made during a run share the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@define(eq=False)
class _SharedRun(Generic[T]):
    """A run that has been asked for, perhaps by several."""

    trigger: str
    done: trio.Event = field(factory=trio.Event)
    results: list[T] = field(factory=list)
    error: Exception | None = None


class Coalesced(Generic[T]):
    """A job that runs at most once at a time; requests made during a run share the next one.

    So each answer is that of a run which began after the request. The engine reads its own file so; its pipeline sets
    have a queue of their own, for they are asked for rollbacks as well.

    Args:
        run: the job; it gets the trigger of the first request that it answers.

    """

    def __init__(self, run: Callable[[str], Awaitable[T]]) -> None:
        self._run = run
        self._next: _SharedRun[T] | None = None
        self._asked = trio.Event()

    async def ask(self, trigger: str) -> T:
        """Returns what the next run returns, or raises what it raises. Cancelling a waiter does not cancel the run."""
        if self._next is None:
            self._next = _SharedRun(trigger)
            self._asked.set()
        run = self._next
        await run.done.wait()
        if run.error is not None:
            raise run.error
        return run.results[0]

    async def serve(self) -> None:
        """Runs the job for each request, until it is cancelled."""
        while True:
            await self._asked.wait()
            self._asked = trio.Event()
            run, self._next = self._next, None
            if run is not None:
                try:
                    run.results.append(await self._run(run.trigger))
                except Exception as error:  # noqa: BLE001 - it is for those who asked, and the next run is not theirs
                    run.error = error
                run.done.set()
