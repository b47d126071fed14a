"""The hub: one task that receives for all calls of a listener.

A caller's audio arrives 50 times a second. If each call had a task that waits for its socket, every frame would cost a
wake-up, a read and a new registration with trio: more than all the work that is done on the frame. So one task waits
until any of the sockets is readable, and calls `receive` of each receiver whose socket is: a turn. Whatever a frame
leads to, from its header to the end of a reply that it interrupts, happens synchronously in that turn; other tasks wake
only for events of the conversation.

With up to `FEW` calls the hub wakes for each frame, which has the lowest latency. With more it would wake thousands of
times a second. Then it sleeps to the next multiple of `TURN_S`, when the ticker's slots are due too, and receives all
that arrived meanwhile in one pass of turns. Frames that are due for playout go out on the way, so that they are not
late and nobody else need wake for them (`clock.ticker`): before the first turn, and after each `BETWEEN_TICKS`. After
`AT_ONCE` turns the hub yields to other tasks.

The hub watches its sockets with a selector of its own, which trio watches: an epoll or kqueue descriptor is readable
itself when one of its sockets is. A receiver that raises is told so by `fail`, and the others go on.

A transport whose audio does not come from a plain socket delivers to its sink from a task of its own.
"""

from __future__ import annotations

import selectors
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import trio

from voicepipe.clock.ticker import EARLY_S, SLOT_S, hub_ticks

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket
    from typing import NoReturn

FEW = 4
"""With at most this many calls the hub wakes for each frame; above it, every `TURN_S`."""

AT_ONCE = 64
"""Turns that are taken before other tasks may run: some ms."""

BETWEEN_TICKS = 16
"""Turns that are taken before frames that are due for playout go out."""

TURN_S = SLOT_S
"""The interval of turns with more than `FEW` calls, in s: a quarter of a frame."""


class Receiver(Protocol):
    """The owner of a socket, such as a transport."""

    def receive(self) -> None:
        """Reads whatever the socket has, which may be nothing; must not block."""

    def fail(self, error: Exception | SystemExit) -> None:
        """Receives what `receive` raised; the hub goes on with the others."""


class Hub:
    """Calls `receive` of each receiver whose socket is readable."""

    def __init__(self, after_turns: Callable[[], None] = lambda: None) -> None:
        """Opens a selector; `close` frees it.

        Args:
            after_turns: called after each pass of turns, for work that should not wake a task of its own.

        """
        self._selector = selectors.DefaultSelector()
        self._receivers: set[Receiver] = set()
        self._after_turns = after_turns
        self._ticks = hub_ticks()

    def add(self, receiver: Receiver, connection: socket) -> None:
        """Adds a receiver and its socket."""
        self._selector.register(connection, selectors.EVENT_READ, receiver)
        self._receivers.add(receiver)
        if len(self._receivers) == 1:
            self._ticks.hubs += 1

    def remove(self, connection: socket) -> None:
        """Removes a socket and its receiver, before the socket is closed; no-op if it was not added."""
        with suppress(KeyError, ValueError):  # ValueError: the socket is closed, and was never added
            self._receivers.remove(self._selector.unregister(connection).data)
            if not self._receivers:
                self._ticks.hubs -= 1

    async def run(self) -> NoReturn:
        """Receives until it is cancelled."""
        while True:
            # The selector is readable itself when any of its sockets is (epoll(7), kqueue(2)).
            await trio.lowlevel.wait_readable(self._selector)
            calls = len(self._receivers)
            while calls > FEW:
                await trio.sleep_until((trio.current_time() // TURN_S + 1) * TURN_S)
                received = await self._take_turns()
                # Most calls sent in this interval: the next frames are not due yet, so wait for the selector again.
                if not received or 2 * received > calls:
                    break
            else:
                self._ticks.received_at = trio.current_time()
                await self._take_turns(EARLY_S)

    async def _take_turns(self, early_s: float = 0.0) -> int:
        """Gives a turn to each receiver whose socket is readable; returns the number of those sockets."""
        self._ticks.serve(trio.current_time() + early_s)
        ready = self._selector.select(0)
        # All of them have a turn before the selector is asked again, which could name the same first ones for as long
        # as they go on sending.
        for number, (key, _) in enumerate(ready):
            if number and number % BETWEEN_TICKS == 0:
                if number % AT_ONCE == 0:
                    await trio.lowlevel.checkpoint()
                self._ticks.serve(trio.current_time())
            receiver: Receiver = key.data
            if receiver in self._receivers:  # another's turn, or a task, may have removed it
                try:
                    receiver.receive()
                except (Exception, SystemExit) as error:  # noqa: BLE001 - a defect of one call, which ends that call
                    receiver.fail(error)
        self._after_turns()
        return len(ready)

    def close(self) -> None:
        """Closes the selector; the sockets stay open."""
        self._selector.close()
        self._ticks.hubs -= bool(self._receivers)
        self._receivers.clear()
