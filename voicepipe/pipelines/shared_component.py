"""One component that versions share: opened, opened again when it dies, probed when calls have had to leave it alone.

It is in one of three states:

- *untried*: the first attempt to open it is under way, and whoever holds it waits for that;
- *open*: calls use it, unless its breaker is open;
- *not open*: an attempt failed, or it died. Its breaker is open then, and calls go on to the next in their list.

A component that is not open is tried again with backoff for as long as a version holds it. One that was never open
needs `persist` for that: whoever is about to serve it says so, and a reload that is rejected just gives it back. When
it opens, its breaker closes and calls use it; no version changes.
"""

from __future__ import annotations

import logging
import random
from math import inf
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import trio

from voicepipe.components.boundary import ComponentRef, as_component_error, await_guarded, call_guarded
from voicepipe.components.breaker import TRIAL_S, Breaker
from voicepipe.components.guards import GUARDED, GuardedContext
from voicepipe.components.protocols import Probing, Resources
from voicepipe.errors import ComponentError, without_frames
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.pipelines.health import ComponentHealth, health_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from voicepipe.components.registry import Adapter
    from voicepipe.config.settings import ComponentSettings
    from voicepipe.pipelines.snapshot import CachedSpeech

_log = logging.getLogger("voicepipe")

CLOSE_S = 5.0
"""How long a component may take to close before it is cancelled."""

REOPEN_S = (0.5, 30.0)
"""The first and the longest pause before a component that is not open is tried again; doubled each time, with jitter.

It is the first again for one that stayed open for longer than the longest."""

REOPEN_DEADLINE_S = 30.0
"""How long a component that died may take to open again before the next attempt.

One that was never open has twice as long with each attempt, up to `LONGEST_ATTEMPT_S`: a large model may need it."""

LONGEST_ATTEMPT_S = 300.0
"""The longest that an attempt to open a component may take while nobody waits for it, in s."""

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
        self.ref = ComponentRef(settings.role, settings.name, settings.secrets.conceal)
        self.edge = GUARDED[settings.role](self.ref)
        self.breaker = Breaker()
        """Whether calls should try it."""
        self.breaker.watchers.add(self._breaker_changed)
        self.cached_speech: WeakValueDictionary[str, CachedSpeech] = WeakValueDictionary()
        """Of a voice: texts that it has spoken beforehand, for as long as a version holds them."""
        self.holders = 0
        self.model: str | None = None
        """The model or voice, as its adapter names it."""
        self.opened = trio.Event()
        """Set when the first attempt to open it has ended."""
        self.error: ComponentError | None = None
        """Why it isn't open: the latest attempt failed, or it died and is being reopened."""
        self.was_open = False
        """Whether it has ever been open."""
        self._since = inf
        self._attempt_s = REOPEN_DEADLINE_S
        self._opening: trio.CancelScope | None = None  # around the attempt that is under way
        self._attempted = trio.Event()  # set when that has ended
        self._persists = False
        self._again_at = inf
        self._again_moved = trio.Event()
        self._closing = trio.Event()
        self._breaker_moved = trio.Event()
        # Shielded, so that it closes in its own time when everything around it is cancelled.
        self._scope = trio.CancelScope(shield=True)

    @property
    def health(self) -> ComponentHealth:
        """How it does."""
        return health_of(self.settings, self.model, self.breaker, was_open=self.was_open)

    @property
    def is_open(self) -> bool:
        """Whether it is open now; calls may leave it alone all the same."""
        return self.opened.is_set() and self.error is None

    def close(self) -> None:
        """Has its task close the component, within `CLOSE_S`, or give up opening it; returns at once."""
        self._closing.set()
        if self.opened.is_set() and self.error is None:
            self._scope.deadline = trio.current_time() + CLOSE_S
        else:
            self._scope.cancel()

    async def attempt(self) -> None:
        """Returns when it is open, or when the attempt under way or one begun now has failed: see `error`."""
        if not self.is_open:
            self.hurry()
            await self._attempted.wait()

    def hurry(self) -> None:
        """Has it tried at once, if it is not open and waits for the next attempt."""
        self._try_again(-inf)

    def persist(self, error: ComponentError) -> None:
        """Has it tried again with backoff until it is open or closed; calls leave it alone meanwhile.

        Args:
            error: why it is not open, as far as is known: an attempt that takes long may still be under way.

        """
        if self._persists or self.is_open:
            return
        self._persists = True
        self.error = self.error or error
        self.opened.set()
        now = trio.current_time()
        again_at = now + REOPEN_S[0]
        if self._opening is not None:
            again_at = self._opening.deadline = now + self._attempt_s
        self.breaker.open(self.error, now, retry_at=again_at)
        self._try_again(again_at)

    async def keep_open(self, resources: Resources) -> None:
        """Opens it and keeps it open until it is closed; when it is not open, tries again with backoff."""
        first, longest = REOPEN_S
        pause = first
        with self._scope:
            try:
                while True:
                    try:
                        await self._stay_open(resources)
                    except ComponentError as error:
                        self.error = without_frames(error)
                    except Exception as error:  # noqa: BLE001 - a defect costs this component's streams, no process
                        self.error = self._by_defect(error)
                    if self._closing.is_set():
                        break
                    if trio.current_time() - self._since > longest:
                        pause = first
                    self._again_at = inf  # until somebody wants it in spite of that
                    if self.was_open or self._persists:
                        jitter = random.uniform(0.8, 1.2)  # noqa: S311 - no secret
                        self._again_at = trio.current_time() + pause * jitter
                        if self.error is not None:
                            self.breaker.open(self.error, trio.current_time(), retry_at=self._again_at)
                    self._end_attempt()
                    await self._wait_for_next_attempt()
                    pause = min(longest, pause * 2)
            finally:
                self._end_attempt()
                self.breaker.watchers.discard(self._breaker_changed)  # a circle, which only the collector would find

    def _end_attempt(self) -> None:
        attempted, self._attempted = self._attempted, trio.Event()
        self.opened.set()
        attempted.set()

    def _try_again(self, at: float) -> None:
        self._again_at = at
        self._again_moved.set()

    async def _wait_for_next_attempt(self) -> None:
        while trio.current_time() < self._again_at:
            self._again_moved = trio.Event()
            with trio.move_on_at(self._again_at):
                await self._again_moved.wait()

    async def _stay_open(self, resources: Resources) -> None:
        self._since = inf
        began, limit_s = trio.current_time(), self._attempt_s
        with trio.CancelScope() as opening:
            if self.opened.is_set():
                opening.deadline = trio.current_time() + limit_s
            if not self.was_open:
                self._attempt_s = min(LONGEST_ATTEMPT_S, 2 * limit_s)
            self._opening = opening
            try:
                await self._open(resources)
            finally:
                self._opening = None
        if opening.cancelled_caught:
            message = f"did not open within {trio.current_time() - began:.0f} s"
            raise ComponentError(message, component=self.ref.name, role=self.ref.role)

    async def _open(self, resources: Resources) -> None:
        """Opens it, and closes it when `close` was called."""
        label = call_guarded(self.ref, lambda: self.adapter.label(self.settings.options))
        self.model = None if label is None else self.ref.conceal(label)
        async with GuardedContext(
            self.ref, lambda: self.adapter.open(self.settings.options, resources), lambda opened: opened
        ) as component:
            if isinstance(component, Probing):
                await await_guarded(self.ref, component.probe)
            if self._opening is not None:
                self._opening.deadline, self._opening = inf, None
            self._go_up(component)
            try:
                async with open_hidden_nursery() as nursery:
                    nursery.start_soon(self._tend, component)
                    await self._closing.wait()
                    nursery.cancel_scope.cancel()
            finally:
                self.edge.down()

    def _go_up(self, component: Any) -> None:
        self.edge.up(component)
        self.error, self._since, self._attempt_s = None, trio.current_time(), REOPEN_DEADLINE_S
        self.was_open = True
        if self.breaker.state != "closed":
            self.breaker.close()
        self._end_attempt()

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
                    await await_guarded(self.ref, component.probe)
            except (ComponentError, trio.TooSlowError) as error:
                breaker.open(self._as_failure(error), trio.current_time())
            else:
                breaker.close()

    def _as_failure(self, error: ComponentError | trio.TooSlowError) -> ComponentError:
        if isinstance(error, ComponentError):
            return error
        return ComponentError(f"the probe took over {PROBE_S:g} s", component=self.ref.name, role=self.ref.role)

    def _by_defect(self, error: Exception) -> ComponentError:
        failure = ComponentError(f"a defect of ours: {type(error).__name__}: {error}")
        failure.__cause__ = error
        as_component_error(failure, self.ref)  # so that the log quotes no secret
        _log.error("%s %s is opened again after %s", self.ref.role, self.ref.name, failure, exc_info=failure)
        return failure

    def _breaker_changed(self) -> None:
        self._breaker_moved.set()
        self._on_health(self.health)
