"""Something that goes on for as long as it is wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Switch:
    """On or off, with what goes on while it is on."""

    def __init__(self, on: bool) -> None:
        self._on = trio.Event()
        self._running: set[trio.CancelScope] = set()
        self.turn(on)

    def turn(self, on: bool) -> None:
        """Lets what depends on it begin, or cancels it."""
        if on:
            self._on.set()
        elif self._on.is_set():
            self._on = trio.Event()
            for scope in self._running:
                scope.cancel()

    async def while_on(self, run: Callable[[], Awaitable[None]]) -> None:
        """Runs something whenever this is on; returns when that has returned by itself."""
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
