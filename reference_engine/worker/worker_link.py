"""The worker's end of its link: takes connections and requests of the supervisor, and answers them.

Theory of operation
===================

*Reading.* One task reads the link, and nothing in it waits: a connection is put into the source of its listener,
`AskAlive` is answered, other messages go to the function that is registered for their class (`on`). So a worker whose
event loop turns answers at once, whatever else it does.

*Sending.* `post` queues a message for a second task, so that it can be called from anywhere, also while a call is being
cancelled. Messages arrive in the order in which they were posted.

*The end of the link* is the end of the supervisor. The worker has no listening socket, so nobody can connect any more;
`on_supervisor_gone` has it finish its calls.
"""

from __future__ import annotations

import os
from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar, cast

import trio

from reference_engine.link.link import Link, LinkClosedError, ReceivedMessage
from reference_engine.link.messages import (
    PROTOCOL,
    Alive,
    AskAlive,
    CapacityChanged,
    ConnectionClosed,
    HandedConnection,
    Message,
    SlotAnswer,
    WorkerStarted,
)
from reference_engine.worker.handed import HandedSource
from reference_engine.worker.slots import WorkerSlots

if TYPE_CHECKING:
    from collections.abc import Callable

    from reference_engine.link.worker_start import WorkerStart

AnyMessage = TypeVar("AnyMessage", bound=Message)

CONTROL = "control"
"""The listener of connections to the control's Unix socket."""
ADMIN = "admin"
"""The listener of connections to the control over TCP."""
LAST_S = 2.0
"""The time in which the supervisor must take a worker's last message, in s."""


class WorkerLink:
    """A worker's view of its supervisor.

    Args:
        start: what the worker was started with.
        link: its end of the link.

    Attributes:
        start: the same.
        slots: asks for the places of calls.
        on_supervisor_gone: called when the supervisor has ended.

    """

    def __init__(self, start: WorkerStart, link: Link) -> None:
        self.start, self._link = start, link
        self.slots = WorkerSlots(self.post)
        self.on_supervisor_gone: Callable[[], None] = lambda: None
        self._posted, self._to_send = trio.open_memory_channel[tuple[Message, bytes]](inf)
        self._handlers: dict[type, list[Callable[[Any, bytes], None]]] = {}
        self._sources: dict[str, HandedSource] = {}
        self._unheard: list[ReceivedMessage] = []

    def connections_of(self, listener: str) -> HandedSource:
        """Returns the source of a listener's connections; the same at each call."""
        if listener not in self._sources:
            host, port = self.start.addresses.get(listener, ("", 0))
            self._sources[listener] = HandedSource((host, port), self._closed)
        return self._sources[listener]

    def on(self, kind: type[AnyMessage], handle: Callable[[AnyMessage, bytes], None]) -> None:
        """Has a function called with each message of a class and its blob, as they come; it must not wait.

        Those that came before anybody was interested in the class are kept for the first that is.
        """
        early = [received for received in self._unheard if type(received.message) is kind]
        self._unheard = [received for received in self._unheard if type(received.message) is not kind]
        self._handlers.setdefault(kind, []).append(handle)
        for received in early:
            handle(cast("AnyMessage", received.message), received.blob)

    def post(self, message: Message, blob: bytes = b"") -> None:
        """Sends a message to the supervisor, after those that were posted before; never waits and never raises."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            self._posted.send_nowait((message, blob))

    async def say_last(self, message: Message, blob: bytes) -> None:
        """Sends the last message of a worker that ends, and waits until it is sent, for at most `LAST_S`."""
        with trio.move_on_after(LAST_S), suppress(LinkClosedError):
            await self._link.send(message, blob=blob)

    async def run(self, software: str) -> None:
        """Serves the link until it is cancelled; after the supervisor's end it only waits for that.

        Args:
            software: the version of the software, which the supervisor is told.

        """
        self.post(WorkerStarted(PROTOCOL, os.getpid(), software, code=""))
        with suppress(LinkClosedError):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._send_posted)
                await self._read()
        await trio.sleep_forever()

    async def _send_posted(self) -> None:
        with suppress(LinkClosedError):  # which the reader notices too
            async for message, blob in self._to_send:
                await self._link.send(message, blob=blob)

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._link.receive())
        except LinkClosedError:
            self._posted.close()
            self.slots.supervisor_gone()
            self.on_supervisor_gone()

    def _take(self, received: ReceivedMessage) -> None:
        message: Any = received.message
        match message:
            case HandedConnection():
                if received.descriptor is None:
                    raise AssertionError("a connection comes with its socket")
                self.connections_of(message.listener).hand(message.id, received.descriptor, message.peer)
            case AskAlive():
                self.post(Alive(message.id))
            case SlotAnswer():
                self.slots.answered(message)
                return
            case CapacityChanged():
                self.slots.told(message)
        handlers = self._handlers.get(type(message), ())
        for handle in handlers:
            handle(message, received.blob)
        if not handlers and not isinstance(message, HandedConnection | AskAlive | CapacityChanged):
            self._unheard.append(received)

    def _closed(self, number: int) -> None:
        self.post(ConnectionClosed(number))
