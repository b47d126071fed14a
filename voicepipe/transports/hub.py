"""The hub: one task that receives for all calls of a listener.

A caller's audio comes 50 times a second. A task of its own that waits for each call's socket would be woken, would
receive, and would ask trio to watch the socket again, for each of these frames: more work than everything that is
done about them. So one task waits until any of the sockets has something, and gives each that has its turn to
receive. What follows, from the frame's header to the end of a reply that it interrupts, happens in that turn,
synchronously; tasks wake for what matters to a conversation only.

Nor is that task woken for each frame: on a line with many calls it would be, thousands of times a second. There turns
are taken every `TURN_S`, at the moments at which the ticker's slots come, and whatever has come meanwhile is received.

Transports whose audio does not come out of a plain socket have a task that delivers to the same sink.
"""

from __future__ import annotations

import selectors
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

import trio

from voicepipe.clock.ticker import SLOT_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket
    from typing import NoReturn

FEW = 4
"""Calls of a listener up to which each frame may wake it."""

AT_ONCE = 64
"""Calls that have their turn before others may do something, such as write a frame that is due: half a ms."""

TURN_S = SLOT_S
"""How often turns come with more of them, in s: a quarter of a frame."""


class Receiver(Protocol):
    """What a socket's audio is for."""

    def receive(self) -> None:
        """Takes what the socket has, quickly and without waiting; there may be nothing after all."""

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what `receive` raised: the hub goes on for the others."""


class Hub:
    """Has receivers receive whenever their sockets have something."""

    def __init__(self, after_turns: Callable[[], None] = lambda: None) -> None:
        """Takes what else is to be done while it is awake."""
        self._selector = selectors.DefaultSelector()
        self._receivers: set[Receiver] = set()
        self._after_turns = after_turns

    def add(self, receiver: Receiver, connection: socket) -> None:
        """Gives a receiver its turns from now on."""
        self._selector.register(connection, selectors.EVENT_READ, receiver)
        self._receivers.add(receiver)

    def remove(self, connection: socket) -> None:
        """Ends that, before the socket is closed; harmless if it was never added."""
        with suppress(KeyError, ValueError):  # a socket that was closed already is found by itself, or was never added
            self._receivers.discard(self._selector.unregister(connection).data)

    async def run(self) -> NoReturn:
        """Gives turns until it is cancelled."""
        while True:
            # The selector is readable itself when any of its sockets is (epoll(7), kqueue(2)).
            await trio.lowlevel.wait_readable(self._selector)
            calls = len(self._receivers)
            while calls > FEW:
                await trio.sleep_until((trio.current_time() // TURN_S + 1) * TURN_S)
                received = await self._take_turns()
                # If all send at the same moment, nothing will come for a while.
                if not received or 2 * received > calls:
                    break
            else:
                await self._take_turns()

    async def _take_turns(self) -> int:
        """Gives each that has something one turn; how many sockets had."""
        ready = self._selector.select(0)
        # The selector is not asked again before all of them had their turn: it would name the same first ones for as
        # long as they go on sending.
        for number, (key, _) in enumerate(ready):
            if number and number % AT_ONCE == 0:
                await trio.lowlevel.checkpoint()
            receiver: Receiver = key.data
            if receiver in self._receivers:  # one may have been removed in the turn of another, or meanwhile
                try:
                    receiver.receive()
                except (Exception, SystemExit) as error:  # noqa: BLE001 - one call's trouble, which ends that call
                    receiver.fail(error)
        self._after_turns()
        return len(ready)

    def close(self) -> None:
        """Frees what it takes of the system; its sockets are their owners'."""
        self._selector.close()
