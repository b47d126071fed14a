"""The events of one stream, between the task that makes them and the call that receives them.

events = EventQueue[TranscriptEvent](64)
await events.put(Transcript(...))       # waits while 64 are not received
events.end(error)                       # or end() when all is said
event = await events.receive()          # None at the end, or the error
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Generic, TypeVar

import trio

if TYPE_CHECKING:
    from voicepipe.errors import ComponentError

__all__ = ["EventQueue"]

T = TypeVar("T")


class EventQueue(Generic[T]):
    """A bounded queue of events that ends in good order or with an error.

    Args:
        most: how many events may wait to be received; `math.inf` if something else bounds them.

    """

    def __init__(self, most: float) -> None:
        self._sender, self._receiver = trio.open_memory_channel[T](most)
        self.failure: ComponentError | None = None
        """The error that the queue ended with; None: none, or it has not ended."""

    async def put(self, event: T) -> None:
        """Adds an event; waits while the queue is full.

        Raises:
            trio.ClosedResourceError: the queue has ended.
            trio.BrokenResourceError: the queue was closed.

        """
        await self._sender.send(event)

    def put_nowait(self, event: T) -> None:
        """Adds an event to a queue that is not full; raises as `put`, or `trio.WouldBlock`."""
        self._sender.send_nowait(event)

    def end(self, error: ComponentError | None = None) -> None:
        """Ends the queue: events that wait can still be received, then `receive` returns None or raises the error."""
        self.failure = error or self.failure
        self._sender.close()

    def close(self) -> None:
        """Ends the queue and drops the events that wait: nobody receives any more."""
        self._sender.close()
        self._receiver.close()

    async def receive(self) -> T | None:
        """The next event; None at the end. A cancelled `receive` loses none.

        Raises:
            ComponentError: a copy of the error that the queue ended with, each time.

        """
        try:
            return await self._receiver.receive()
        except trio.EndOfChannel:
            self.check()
            return None

    def check(self) -> None:
        """Raises a copy of the error that the queue ended with, if any: a traceback belongs to one task."""
        if self.failure is not None:
            raise copy(self.failure) from None
