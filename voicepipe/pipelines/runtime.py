"""What outlives a call and is shared in a process: opened components and the playout clock."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.components import Probing, Resources
from voicepipe.edge import EDGES, Edge, Who, at_edge, at_edge_sync
from voicepipe.errors import ComponentError
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.ticker import Ticker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.config.settings import ComponentSettings
    from voicepipe.registry import Adapter

CLOSE_S = 5.0
"""How long a component may take to close before it is cancelled."""

REOPEN_S = (0.5, 30.0)
"""The first and the longest pause before a component that died is opened again; doubled each time, with jitter.

It is the first again for one that stayed open for longer than the longest."""

REOPEN_DEADLINE_S = 30.0
"""How long a component that died may take to open again before the next attempt."""

THREADS = 16
"""How many threads all components of a process may use at once."""


class SharedComponent:
    """One opened component, held by the snapshots that use it."""

    def __init__(self, settings: ComponentSettings, adapter: Adapter[Any]) -> None:
        self.settings, self.adapter = settings, adapter
        self.who = Who(settings.role, settings.name, settings.secrets.conceal)
        self.edge = EDGES[settings.role](self.who)
        self.holders = 0
        self.model: str | None = None
        """The model or voice, as its adapter names it."""
        self.opened = trio.Event()
        """Set when the first attempt to open it has ended."""
        self.error: ComponentError | None = None
        """Why it isn't open: the first attempt failed, or it died and is being reopened."""
        self._since = inf
        self._released = trio.Event()
        # Shielded, so that it closes in its own time when everything around it is cancelled.
        self._scope = trio.CancelScope(shield=True)

    def release(self) -> None:
        """Closes it, in its own task and time."""
        self._released.set()
        if self.opened.is_set() and self.error is None:
            self._scope.deadline = trio.current_time() + CLOSE_S
        else:
            self._scope.cancel()

    async def keep_open(self, resources: Resources) -> None:
        """Opens it, keeps it open until it is released, and reopens it with backoff when it dies."""
        first, longest = REOPEN_S
        pause = first
        with self._scope:
            while True:
                try:
                    await self._stay_open(resources)
                except ComponentError as error:
                    self.error = error
                if self._released.is_set() or not self.opened.is_set():
                    break  # closed as it should, or never open: whoever asked for it decides
                if trio.current_time() - self._since > longest:
                    pause = first
                await trio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 - jitter, not a secret
                pause = min(longest, pause * 2)

    async def _stay_open(self, resources: Resources) -> None:
        self._since = inf
        with trio.CancelScope() as opening:
            if self.opened.is_set():
                opening.deadline = trio.current_time() + REOPEN_DEADLINE_S
            async with Edge(
                self.who, lambda: self.adapter.open(self.settings.options, resources), lambda opened: opened
            ) as component:
                label = at_edge_sync(self.who, lambda: self.adapter.label(self.settings.options))
                self.model = None if label is None else self.who.conceal(label)
                if isinstance(component, Probing):
                    await at_edge(self.who, component.probe)
                opening.deadline = inf
                self.edge.up(component)
                self.error, self._since = None, trio.current_time()
                self.opened.set()
                try:
                    await self._released.wait()
                finally:
                    self.edge.down()
        if opening.cancelled_caught:
            message = f"did not open within {REOPEN_DEADLINE_S:g} s"
            raise ComponentError(message, component=self.who.name, role=self.who.role)


class Runtime:
    """Components, shared by equal keys among all pipeline sets of a process, and the clock of all its calls.

    Each component is entered and left by a task of its own in the runtime's nursery, so that nothing a set or a
    call does can close contexts out of order.
    """

    def __init__(self, nursery: trio.Nursery) -> None:
        self.ticker = Ticker()
        """The clock of all calls' playout."""
        self._nursery = nursery
        self._threads = trio.CapacityLimiter(THREADS)
        self._components: dict[str, SharedComponent] = {}
        self._running: set[SharedComponent] = set()
        self._idle = trio.Event()

    async def hold(self, settings: ComponentSettings, adapter: Adapter[Any]) -> SharedComponent:
        """The component of those settings, opened if nobody holds it yet; give it back with `let_go`.

        Raises:
            ComponentError: it can't be opened.

        """
        shared = self._components.get(settings.key)
        if shared is None:
            shared = self._components[settings.key] = SharedComponent(settings, adapter)
            self._running.add(shared)
            self._nursery.start_soon(self._run, shared, name=f"{settings.role} {settings.name}")
        shared.holders += 1
        try:
            await shared.opened.wait()
        except trio.Cancelled:
            self.let_go(shared)
            raise
        if shared not in self._running:
            self.let_go(shared)
            raise shared.error or ComponentError("was closed", component=settings.name, role=settings.role)
        return shared

    def let_go(self, shared: SharedComponent) -> None:
        """Gives a component back; the last one to do so closes it."""
        shared.holders -= 1
        if shared.holders == 0:
            if self._components.get(shared.settings.key) is shared:
                del self._components[shared.settings.key]
            shared.release()

    async def _run(self, shared: SharedComponent) -> None:
        try:
            await shared.keep_open(Resources(component=shared.settings.name, threads=self._threads))
        finally:
            self._running.discard(shared)
            shared.opened.set()
            # A new holder of the same key must get a new attempt, not this corpse.
            if self._components.get(shared.settings.key) is shared:
                del self._components[shared.settings.key]
            if not self._running:
                self._idle.set()

    async def _close(self) -> None:
        """Closes everything, whoever holds it, within `CLOSE_S`."""
        for shared in self._running:
            shared.release()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
            while self._running:
                self._idle = trio.Event()
                await self._idle.wait()


@asynccontextmanager
async def open_runtime() -> AsyncIterator[Runtime]:
    """A runtime for all pipeline sets of this process; leaving it closes what is still open."""
    async with open_hidden_nursery() as nursery:
        runtime = Runtime(nursery)
        nursery.start_soon(runtime.ticker.run)
        try:
            yield runtime
        finally:
            await runtime._close()  # noqa: SLF001 - its other half
            nursery.cancel_scope.cancel()
