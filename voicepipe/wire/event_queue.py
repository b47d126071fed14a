"""The events of one stream, between the task that makes them and the call that receives them.

events = EventQueue[TranscriptEvent](64)
await events.put(Transcript(...))       # waits while 64 are not received
events.end(error)                       # or end(), if there is no error
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
    """A bounded queue of events that ends with or without an error.

    Args:
        most: the most events that wait to be received; `math.inf` if something else bounds them.

    """

    def __init__(self, most: float) -> None:
        self._sender, self._receiver = trio.open_memory_channel[T](most)
        self.failure: ComponentError | None = None
        """The error with which the queue has ended, if any."""

    async def put(self, event: T) -> None:
        """Adds an event; waits while the queue is full.

        Raises:
            trio.ClosedResourceError: the queue has ended.
            trio.BrokenResourceError: the queue was closed.

        """
        await self._sender.send(event)

    def put_nowait(self, event: T) -> None:
        """Adds an event without waiting; raises `trio.WouldBlock` if the queue is full, else as `put`."""
        self._sender.send_nowait(event)

    def end(self, error: ComponentError | None = None) -> None:
        """Ends the queue; after the events that wait, `receive` returns None or raises the error."""
        self.failure = error or self.failure
        self._sender.close()

    def close(self) -> None:
        """Ends the queue and drops the events that wait; for the receiver's side."""
        self._sender.close()
        self._receiver.close()

    async def receive(self) -> T | None:
        """Returns the next event; None at the end. A cancelled `receive` loses none.

        Raises:
            ComponentError: the queue ended with this error; each call raises a copy.

        """
        try:
            return await self._receiver.receive()
        except trio.EndOfChannel:
            self.check()
            return None

    def check(self) -> None:
        """Raises the error with which the queue has ended, if any: a copy, since a traceback belongs to one task."""
        if self.failure is not None:
            raise copy(self.failure) from None
