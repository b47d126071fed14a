"""A worker as its supervisor sees it: a process, the link to it, and what it was handed."""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from typing import Any, Literal, TypeAlias

import trio
from attrs import define, field

from reference_engine.link.link import Link, LinkClosedError, ReceivedMessage
from reference_engine.link.messages import HandedConnection, Message, WorkerStarted

State: TypeAlias = Literal["starting", "ready", "draining", "ended"]
"""`starting`: it opens what it is to serve; `ready`: it takes connections; `draining`: only its calls go on."""

_Queued: TypeAlias = tuple[Message, bytes, socket.socket | None]


@define(eq=False)
class WorkerProcess:
    """A worker, from the start of its process to its end."""

    number: int
    """Its number, from 1; the worker that takes its place has it too."""
    generation: int
    """The generation that it belongs to."""
    process: trio.Process
    """Its process."""
    link: Link
    """The supervisor's end of the link; `post` sends over it."""
    since: datetime = field(init=False, factory=lambda: datetime.now(UTC))
    """The time at which it was started."""
    state: State = field(init=False, default="starting")
    """How far it is."""
    started: WorkerStarted | None = field(init=False, default=None)
    """Its first message; None: its process still imports."""
    sets: Sequence[Mapping[str, Any]] = field(init=False, default=())
    """The sets that it served when it became ready."""
    ready_at: float | None = field(init=False, default=None)
    """The time when it became ready, on trio's clock; None: it never was."""
    connections: dict[int, str] = field(init=False, factory=dict)
    """The connections that it was handed and that are open: the name of the listener by the number."""
    calls: int = field(init=False, default=0)
    """The number of calls that hold a place of `max_calls`."""
    has_own_listeners: bool = field(init=False, default=False)
    """Whether it was told to open the listeners that only one worker has."""
    unanswered: int = field(init=False, default=0)
    """The number of checks since it last answered whether it is alive."""
    calls_lost: int = field(init=False, default=0)
    """The number of calls that it had when it ended."""
    killed_because: str = field(init=False, default="")
    """Why the supervisor has killed it; empty: it has not."""
    gone: trio.Event = field(init=False, factory=trio.Event)
    """Set when the process has ended."""
    _to_send: trio.MemorySendChannel[_Queued] = field(init=False)
    _queued: trio.MemoryReceiveChannel[_Queued] = field(init=False)
    _control: int = field(init=False, default=0)
    _unsent: _Queued | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        self._to_send, self._queued = trio.open_memory_channel[_Queued](inf)

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self.process.pid

    @property
    def load(self) -> int:
        """What it is busy with: the calls' connections that are open, and the calls."""
        return len(self.connections) - self._control + self.calls

    def post(self, message: Message, blob: bytes = b"") -> None:
        """Sends a message after those that were posted before; never waits, and is a no-op when it has ended."""
        self._put(message, blob, None)

    def hand(self, number: int, listener: str, peer: str, connection: socket.socket, *, is_control: bool) -> None:
        """Hands a connection over, whose socket is closed here when it was sent."""
        self.connections[number] = listener
        self._control += is_control
        self._put(HandedConnection(number, listener, peer), b"", connection)

    def closed(self, number: int, *, is_control: bool) -> None:
        """Notes that a connection is closed."""
        if self.connections.pop(number, None) is not None:
            self._control -= is_control

    def kill(self, because: str) -> None:
        """Ends the process at once; `because` is for the log."""
        self.killed_because = self.killed_because or because
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)

    async def send_posted(self) -> None:
        """Sends what is posted, until the link is closed."""
        with suppress(LinkClosedError):  # the reader notices it too
            async for message, blob, connection in self._queued:
                descriptor = None if connection is None else connection.fileno()
                try:
                    await self.link.send(message, descriptor=descriptor, blob=blob)
                except LinkClosedError:
                    self._unsent = (message, blob, connection)
                    raise
                if connection is not None:
                    connection.close()

    async def receive(self) -> ReceivedMessage:
        """Returns its next message.

        Raises:
            LinkClosedError: it has ended.

        """
        return await self.link.receive()

    def take_back(self) -> list[tuple[HandedConnection, socket.socket]]:
        """Returns the connections that were not sent yet, when it has ended."""
        queued = [] if self._unsent is None else [self._unsent]
        with suppress(trio.WouldBlock, trio.EndOfChannel):
            while True:
                queued.append(self._queued.receive_nowait())
        return [
            (message, connection)
            for message, _blob, connection in queued
            if connection is not None and isinstance(message, HandedConnection)
        ]

    def _put(self, message: Message, blob: bytes, connection: socket.socket | None) -> None:
        if self.state == "ended":
            if connection is not None:
                connection.close()
            return
        self._to_send.send_nowait((message, blob, connection))
