"""One thing at a time, and one more for all who ask meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import trio
from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


@define(eq=False)
class _SharedRun(Generic[T]):
    """What one or more have asked for."""

    trigger: str
    done: trio.Event = field(factory=trio.Event)
    results: list[T] = field(factory=list)
    error: Exception | None = None


class Coalesced(Generic[T]):
    """Runs something for whoever asks: never twice at once, and every answer began after it was asked for."""

    def __init__(self, run: Callable[[str], Awaitable[T]]) -> None:
        """Takes what to run; it is given the trigger of the first who asked."""
        self._run = run
        self._next: _SharedRun[T] | None = None
        self._asked = trio.Event()

    async def ask(self, trigger: str) -> T:
        """What the next run comes to, or raises what that raises. Cancelling one who waits does not cancel the run."""
        if self._next is None:
            self._next = _SharedRun(trigger)
            self._asked.set()
        run = self._next
        await run.done.wait()
        if run.error is not None:
            raise run.error
        return run.results[0]

    async def serve(self) -> None:
        """Runs what is asked for, until it is cancelled."""
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
