"""The listeners of an engine of several workers that can't be handed connections, and so run in one of the workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from attrs import define, field

from reference_engine.calls.answering import CallAnswerer
from reference_engine.calls.listeners import listeners_to_hand_to, open_listeners
from reference_engine.settings.settings import EngineSettings
from voicepipe import Listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@define(eq=False)
class OwnListeners:
    """Listeners that connect by themselves, such as ARI's, or whose transport binds by itself.

    They are opened in the worker that the supervisor tells to, and in another one when that has died.
    """

    _settings: EngineSettings
    _answerer: CallAnswerer
    _listeners: dict[str, Listener]
    """Gets the listeners."""
    _on_open: Callable[[Mapping[str, tuple[str, int]]], None]
    """Called with their addresses when they are open."""
    _wanted: trio.Event = field(init=False, factory=trio.Event)
    _waiting: trio.CancelScope = field(init=False, factory=trio.CancelScope)

    def open(self) -> None:
        """Has them opened; no-op if they are, or if `close` was called."""
        self._wanted.set()

    def close(self) -> None:
        """Opens none from now on; those that are open are closed by themselves."""
        self._waiting.cancel()

    async def serve(self) -> None:
        """Waits for `open`, and then serves until the listeners are closed and their calls have ended.

        Raises:
            EngineError: an address is taken, or is not an address of this machine.

        """
        with self._waiting:
            await self._wanted.wait()
        if self._waiting.cancel_called:
            return
        async with self._opened() as own, trio.open_nursery() as nursery:
            for listener in own.values():
                nursery.start_soon(listener.serve, self._answerer.answer)

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[dict[str, Listener]]:
        handed = {listener.name for listener in listeners_to_hand_to(self._settings)}
        names = {listener.name for listener in self._settings.listeners} - handed
        async with open_listeners(self._settings, self._answerer, self._listeners, names=names):
            own = {name: self._listeners[name] for name in names}
            if self._waiting.cancel_called:
                for listener in own.values():
                    listener.close()
            self._on_open({name: listener.address for name, listener in own.items()})
            yield own
