"""Starts and cancels tasks as a setting is switched on and off, such as `watch`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class TaskSwitch:
    """A switch for tasks: they run while it is on, and are cancelled when it is set to off.

    Args:
        on: the initial state.

    """

    def __init__(self, on: bool) -> None:
        self._on = trio.Event()
        self._running: set[trio.CancelScope] = set()
        self.set(on)

    def set(self, on: bool) -> None:
        """Starts the tasks that wait in `while_on`, or cancels those that run; no-op if the state is the same."""
        if on:
            self._on.set()
        elif self._on.is_set():
            self._on = trio.Event()
            for scope in self._running:
                scope.cancel()

    async def while_on(self, run: Callable[[], Awaitable[None]]) -> None:
        """Calls `run` whenever the switch is on, and cancels it when it is set to off.

        Returns when `run` returns by itself; an exception of `run` propagates.
        """
        while True:
            await self._on.wait()
            with trio.CancelScope() as scope:
                self._running.add(scope)
                try:
                    await run()
                finally:
                    self._running.discard(scope)
            if not scope.cancelled_caught:
                return
