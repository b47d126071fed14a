"""The places of `max_calls`, which the supervisor counts over all workers: this worker asks for each."""

from __future__ import annotations

from collections.abc import Callable

import trio
from attrs import define, field

from reference_engine.link.messages import AskSlot, CapacityChanged, FreeSlot, Message, SlotAnswer


@define(eq=False)
class WorkerSlots:
    """Asks for places, and hands them back; it is the `CallSlots` of `calls/capacity.py`."""

    _post: Callable[[Message], None]
    """Sends a message to the supervisor, after those that were sent before."""
    full: bool = field(init=False, default=False)
    """Whether all places were taken when the supervisor last told."""
    up: int = field(init=False, default=0)
    """The number of calls that were up then, over all workers."""
    _last: int = field(init=False, default=0)
    _waiting: dict[int, trio.Event] = field(init=False, factory=dict)
    """The requests that were not answered yet."""
    _granted: set[int] = field(init=False, factory=set)
    _gone: bool = field(init=False, default=False)

    async def take(self) -> int | None:
        """Takes a place, and returns its number; None: all are taken, or there is no supervisor any more."""
        if self._gone:
            return None
        self._last += 1
        slot, self._waiting[self._last] = self._last, trio.Event()
        self._post(AskSlot(slot))
        try:
            await self._waiting[slot].wait()
        except trio.Cancelled:
            self._granted.discard(slot)
            self._post(FreeSlot(slot))  # which the supervisor reads after the request, whatever it has answered
            raise
        finally:
            del self._waiting[slot]
        if slot not in self._granted:
            return None
        self._granted.discard(slot)
        return slot

    def free(self, slot: int) -> None:
        """Gives a place back."""
        self._post(FreeSlot(slot))

    def answered(self, answer: SlotAnswer) -> None:
        """Takes the answer to a request; one of a call that was cancelled meanwhile is of no use."""
        if (waiting := self._waiting.get(answer.id)) is not None:
            if answer.granted:
                self._granted.add(answer.id)
            waiting.set()

    def told(self, capacity: CapacityChanged) -> None:
        """Takes the number of calls, and whether there is room."""
        self.full, self.up = capacity.full, capacity.calls

    def supervisor_gone(self) -> None:
        """Refuses all that wait, and all that ask later."""
        self._gone = True
        for waiting in self._waiting.values():
            waiting.set()
