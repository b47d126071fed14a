"""What outlives a call and is shared in a process: opened components and the clock."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.clock.clock import Clock
from voicepipe.components.observers import ObserverReports
from voicepipe.components.protocols import Resources
from voicepipe.components.secrets import RecentSecrets
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.reading_template import ReadingTemplate
from voicepipe.pipelines.shared_component import CLOSE_S, SharedComponent
from voicepipe.tools.http_clients import HttpClients

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from voicepipe.components.labels import Role
    from voicepipe.components.registry import Adapter
    from voicepipe.config.settings import ComponentSettings
    from voicepipe.pipelines.health import ComponentHealth

THREADS = 16
"""How many threads all components of a process may use at once."""


class Runtime:
    """Components, shared by equal keys among all pipeline sets of a process, and the clock of all its calls.

    Each component is entered and left by a task of its own in the runtime's nursery, so that nothing a set or a
    call does can close contexts out of order.
    """

    def __init__(self, nursery: trio.Nursery, observer: Callable[[ComponentHealth], None] | None = None) -> None:
        self.clock = Clock()
        """The clock of all calls."""
        self.reports = ObserverReports()
        """What observers raise, be they of calls, of sets or of components."""
        self._nursery = nursery
        self._tell = self.reports.guard(observer or (lambda _health: None))
        self._threads = trio.CapacityLimiter(THREADS)
        self._components: dict[str, SharedComponent] = {}
        self._running: set[SharedComponent] = set()
        self._idle = trio.Event()
        self.http_clients = HttpClients(nursery, self._threads)
        """The clients of tools that are requests."""
        self.reading_template = ReadingTemplate(nursery)
        """Reads the files of all sets while calls are up."""
        self._secrets = RecentSecrets()
        self._past: dict[tuple[Role, str], tuple[int, int, int]] = {}  # attempts at components that are closed

    @property
    def components(self) -> tuple[ComponentHealth, ...]:
        """How every component does that is open or tried again, by role and name."""
        health = (shared.health for shared in self._components.values() if shared.opened.is_set())
        return tuple(sorted(health, key=lambda component: (component.role, component.name)))

    @property
    def attempts(self) -> dict[tuple[Role, str], tuple[int, int, int]]:
        """How many attempts of calls succeeded, failed, and failed for no fault of the component's, by role and name.

        Components that are closed by now count too.
        """
        attempts = dict(self._past)
        for shared in self._running:
            _add_attempts(attempts, shared)
        return attempts

    def conceal(self, text: str) -> str:
        """The text without the secrets of configurations that are being opened, or were lately.

        What libraries say while a version opens, or closes, is seen by no set that serves.
        """
        return self._secrets.conceal(text)

    def acquire(self, settings: ComponentSettings, adapter: Adapter[Any]) -> SharedComponent:
        """The component of those settings, which begins to open if nobody has it yet; give it back with `release`."""
        self._secrets.add(settings.secrets)
        shared = self._components.get(settings.key)
        if shared is None:
            shared = self._components[settings.key] = SharedComponent(settings, adapter, self._tell)
            self._running.add(shared)
            self._nursery.start_soon(self._run, shared, name=f"{settings.role} {settings.name}")
        shared.holders += 1
        return shared

    def release(self, shared: SharedComponent) -> None:
        """Gives a component back; the last one to do so closes it."""
        shared.holders -= 1
        if shared.holders == 0:
            if self._components.get(shared.settings.key) is shared:
                del self._components[shared.settings.key]
            shared.close()

    async def _run(self, shared: SharedComponent) -> None:
        try:
            await shared.keep_open(Resources(component=shared.settings.name, threads=self._threads))
        finally:
            self._running.discard(shared)
            _add_attempts(self._past, shared)
            # A new holder of the same key must get a new attempt, not this corpse.
            if self._components.get(shared.settings.key) is shared:
                del self._components[shared.settings.key]
            if not self._running:
                self._idle.set()

    async def _close(self) -> None:
        """Closes everything, whoever holds it, within `CLOSE_S`."""
        for shared in self._running:
            shared.close()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + CLOSE_S):
            while self._running:
                self._idle = trio.Event()
                await self._idle.wait()


def _add_attempts(attempts: dict[tuple[Role, str], tuple[int, int, int]], shared: SharedComponent) -> None:
    of, breaker = (shared.settings.role, shared.settings.name), shared.breaker
    succeeded, failed, excused = attempts.get(of, (0, 0, 0))
    attempts[of] = succeeded + breaker.successes, failed + breaker.failures, excused + breaker.excused


@asynccontextmanager
async def open_runtime(observer: Callable[[ComponentHealth], None] | None = None) -> AsyncIterator[Runtime]:
    """A runtime for all pipeline sets of this process; leaving it closes what is still open.

    Args:
        observer: told, synchronously, whenever calls begin or cease to leave a component alone; what it raises is
            logged once, as "voicepipe.observers".

    """
    async with open_hidden_nursery() as nursery:
        runtime = Runtime(nursery, observer)
        nursery.start_soon(runtime.clock.run)
        try:
            yield runtime
        finally:
            await runtime._close()  # noqa: SLF001 - its other half
            nursery.cancel_scope.cancel()
