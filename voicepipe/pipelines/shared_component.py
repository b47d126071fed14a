"""One opened component: kept open, opened again when it dies, probed when calls have had to leave it alone."""

from __future__ import annotations

import logging
import random
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.breaker import TRIAL_S, Breaker
from voicepipe.components import Probing, Resources
from voicepipe.edge import EDGES, Edge, Who, at_edge, at_edge_sync, settle
from voicepipe.errors import ComponentError
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.health import ComponentHealth, health_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from voicepipe.config.settings import ComponentSettings
    from voicepipe.pipelines.snapshot import Recorded
    from voicepipe.registry import Adapter

_log = logging.getLogger("voicepipe")

CLOSE_S = 5.0
"""How long a component may take to close before it is cancelled."""

REOPEN_S = (0.5, 30.0)
"""The first and the longest pause before a component that died is opened again; doubled each time, with jitter.

It is the first again for one that stayed open for longer than the longest."""

REOPEN_DEADLINE_S = 30.0
"""How long a component that died may take to open again before the next attempt."""

PROBE_S = 10.0
"""How long a probe may take."""


class SharedComponent:
    """One opened component, held by the snapshots that use it.

    Args:
        settings: what it is opened with.
        adapter: what opens it.
        on_health: told whenever its breaker changes.

    """

    def __init__(
        self, settings: ComponentSettings, adapter: Adapter[Any], on_health: Callable[[ComponentHealth], None]
    ) -> None:
        self.settings, self.adapter, self._on_health = settings, adapter, on_health
        self.who = Who(settings.role, settings.name, settings.secrets.conceal)
        self.edge = EDGES[settings.role](self.who)
        self.breaker = Breaker()
        """Whether calls should try it."""
        self.breaker.watchers.add(self._breaker_changed)
        self.recordings: dict[str, Recorded] = {}
        """Of a voice: texts that it has spoken beforehand, while it is open."""
        self.holders = 0
        self.model: str | None = None
        """The model or voice, as its adapter names it."""
        self.opened = trio.Event()
        """Set when the first attempt to open it has ended."""
        self.error: ComponentError | None = None
        """Why it isn't open: the first attempt failed, or it died and is being reopened."""
        self._since = inf
        self._released = trio.Event()
        self._breaker_moved = trio.Event()
        # Shielded, so that it closes in its own time when everything around it is cancelled.
        self._scope = trio.CancelScope(shield=True)

    @property
    def health(self) -> ComponentHealth:
        """How it does."""
        return health_of(self.settings, self.model, self.breaker)

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
                except Exception as error:  # noqa: BLE001 - a defect here costs this component's streams, no process
                    self.error = self._by_defect(error)
                if self._released.is_set() or not self.opened.is_set():
                    break  # closed as it should, or never open: whoever asked for it decides
                if trio.current_time() - self._since > longest:
                    pause = first
                again_at = trio.current_time() + pause * random.uniform(0.8, 1.2)  # noqa: S311 - jitter, not a secret
                if self.error is not None:
                    self.breaker.open(self.error, trio.current_time(), retry_at=again_at)
                await trio.sleep_until(again_at)
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
                if self.breaker.state != "closed":
                    self.breaker.close()
                self.opened.set()
                try:
                    async with open_hidden_nursery() as nursery:
                        nursery.start_soon(self._tend, component)
                        await self._released.wait()
                        nursery.cancel_scope.cancel()
                finally:
                    self.edge.down()
        if opening.cancelled_caught:
            message = f"did not open within {REOPEN_DEADLINE_S:g} s"
            raise ComponentError(message, component=self.who.name, role=self.who.role)

    async def _tend(self, component: object) -> NoReturn:
        """While calls leave the component alone, finds out when it works again: one probe at a time, with backoff."""
        breaker = self.breaker
        while True:
            while breaker.state != "open":
                self._breaker_moved = trio.Event()
                with trio.move_on_after(TRIAL_S / 2 if breaker.is_on_trial else inf):
                    await self._breaker_moved.wait()
                breaker.limit_trial(trio.current_time())
            await trio.sleep_until(breaker.retry_at)
            if not isinstance(component, Probing):
                breaker.try_it(on_calls=True)
                continue
            breaker.try_it()
            try:
                with trio.fail_after(PROBE_S):
                    await at_edge(self.who, component.probe)
            except (ComponentError, trio.TooSlowError) as error:
                breaker.open(self._as_failure(error), trio.current_time())
            else:
                breaker.close()

    def _as_failure(self, error: ComponentError | trio.TooSlowError) -> ComponentError:
        if isinstance(error, ComponentError):
            return error
        return ComponentError(f"the probe took over {PROBE_S:g} s", component=self.who.name, role=self.who.role)

    def _by_defect(self, error: Exception) -> ComponentError:
        failure = ComponentError(f"a defect of ours: {type(error).__name__}: {error}")
        failure.__cause__ = error
        settle(failure, self.who)  # so that the log quotes no secret
        _log.error("%s %s is opened again after %s", self.who.role, self.who.name, failure, exc_info=failure)
        return failure

    def _breaker_changed(self) -> None:
        self._breaker_moved.set()
        self._on_health(self.health)
