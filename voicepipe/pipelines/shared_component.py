"""One component that versions share: opens it, keeps it open, probes it, and opens it again when it died.

Theory of operation
===================

*Holders.* The runtime has one `SharedComponent` for each key, that is for each adapter with equal options, whichever
pipelines and sets use it. Leases hold it (`Runtime.acquire`, `holders`); the last one that releases it closes it.

*One task.* A component's context may hold nurseries, which have to be left by the task that entered them. So one task
of the runtime's nursery runs `keep_open`: it alone enters and leaves the adapter's context. All other methods return
at once or wait; they only signal that task, by events and by the deadlines of its cancel scopes.

*States.* Calls use a component through `guarded`, which outlives every opening of it, and look at `breaker` first.

              opens              dies
    untried ─────────> open <──────────> not open ─┐ fails, and
       │                        opens      ^  ^    │ pauses
       └───────────── fails ───────────────┘  └────┘

- *untried*: the first attempt is under way, and `attempt` waits for its end. `opened` is not set.
- *open*: `guarded` is up, and `error` is None. Calls use the component, unless their failures have opened its breaker.
- *not open*: `guarded` is down, which has ended the streams that were open; `error` says why. The breaker is open for
  as long as the component is tried again, so that calls use the next alternative of their list.

*Attempts.* The pause before the next attempt doubles from 0.5 s to 30 s (`REOPEN_S`), with a jitter of a fifth, so that
components of one provider don't come back all at once. It begins anew for a component that stayed open for longer
than the longest pause: one that opens and dies at once must not be opened twice a second. `hurry` ends a pause: a
reload, and each new holder, wants the component now.

*Time limits of an attempt.* The first attempt has none: the lease that waits for it has a deadline, and stops waiting.
A component that died has 30 s to open again. One that has never been open may be a large model on a slow disk, so its
limit doubles with each attempt, up to `LONGEST_ATTEMPT_S`.

*Components that have never been open.* A reload that is rejected gives back what did not open, so trying on would be
in vain. Whoever is about to serve a version without the component calls `persist`; only then is it tried again. An
attempt that is still under way goes on, and gets the time limit that it lacked.

*Probes.* While the component is open, `_tend` watches its breaker. When calls' failures have opened the breaker, it
sleeps until the breaker's `retry_at`, and probes the component, outside of any call. Success closes the breaker,
failure opens it again for longer. A component without a probe is tried by calls: the breaker lets one call through at
a time, and `_tend` ends a trial that takes longer than `TRIAL_S`, so that the next call may try.

*Closing.* `close` lets `keep_open` leave the adapter's context, within `CLOSE_S`; an attempt to open is cancelled at
once. The scope is shielded: a component closes in its own time even if everything around it is cancelled.

*Failure.* A `ComponentError` is expected, and kept in `error` without its frames, which would keep calls in memory.
Anything else is a defect of this module: it is logged, ends this component's streams, and the component is opened
again. Nothing that an adapter raises ends the runtime's nursery.

*Events.* trio's events can't be cleared, so each is replaced. `_attempted` is replaced when it is set: whoever waits
for it waits for the attempt that was under way. `_again_moved` and `_breaker_moved` are replaced by the task, after it
has looked and before it waits; there is no checkpoint between the two, so no change is missed.
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
"""The time limit of closing a component, in s; then it is cancelled."""

REOPEN_S = (0.5, 30.0)
"""The first and the longest pause before a component that is not open is tried again, in s."""

REOPEN_DEADLINE_S = 30.0
"""The time limit of opening a component that died, in s; for one that was never open it doubles with each attempt."""

LONGEST_ATTEMPT_S = 300.0
"""The longest time limit of an attempt to open a component that was never open, in s."""

PROBE_S = 10.0
"""The time limit of a probe, in s."""


class SharedComponent:
    """One component, shared by the versions that use it; the head of the module explains how it works.

    Args:
        settings: the settings that it is opened with.
        adapter: the adapter that opens it.
        on_health: called with the component's health whenever its breaker changes; must not raise.

    """

    def __init__(
        self, settings: ComponentSettings, adapter: Adapter[Any], on_health: Callable[[ComponentHealth], None]
    ) -> None:
        self.settings, self.adapter, self._on_health = settings, adapter, on_health
        self.ref = ComponentRef(settings.role, settings.name, settings.secrets.conceal)
        self.guarded = GUARDED[settings.role](self.ref)
        """The component behind the boundary, as calls use it; up while the component is open."""
        self.breaker = Breaker()
        """Decides whether calls should try the component."""
        self.breaker.watchers.add(self._breaker_changed)
        self.cached_speech: WeakValueDictionary[str, CachedSpeech] = WeakValueDictionary()
        """Of a voice: its cached speech by text, for as long as a version holds it."""
        self.holders = 0
        """The number of acquisitions without a release."""
        self.model: str | None = None
        """The model or voice, as its adapter names it; None before the first attempt, or if it has none."""
        self.opened = trio.Event()
        """Set when the first attempt to open it has ended."""
        self.error: ComponentError | None = None
        """The reason why it isn't open: the latest attempt failed, or it died. None while it is open, or untried."""
        self.was_open = False
        """Whether it has ever been open."""
        self._since = inf  # the time since which it is open
        self._attempt_s = REOPEN_DEADLINE_S  # the time limit of the next attempt, if it has one
        self._opening: trio.CancelScope | None = None  # around the attempt that is under way
        self._attempted = trio.Event()  # set when that has ended
        self._persists = False
        self._again_at = inf  # the time of the next attempt
        self._again_moved = trio.Event()  # set when that time has changed
        self._closing = trio.Event()
        self._breaker_moved = trio.Event()  # set when the breaker has changed
        # Shielded, so that it closes in its own time when everything around it is cancelled.
        self._scope = trio.CancelScope(shield=True)

    @property
    def health(self) -> ComponentHealth:
        """The component's health, for all calls of the process."""
        return health_of(self.settings, self.model, self.breaker, was_open=self.was_open)

    @property
    def is_open(self) -> bool:
        """Whether it is open now; its breaker may be open all the same."""
        return self.opened.is_set() and self.error is None

    def close(self) -> None:
        """Begins to close the component, within `CLOSE_S`, or gives up opening it; returns at once."""
        self._closing.set()
        if self.opened.is_set() and self.error is None:
            self._scope.deadline = trio.current_time() + CLOSE_S
        else:
            self._scope.cancel()

    async def attempt(self) -> None:
        """Waits until the component is open, or an attempt to open it has failed: then `error` says why.

        The attempt is the one that is under way, or else one that begins now. Cancellation ends only the waiting.
        """
        if not self.is_open:
            self.hurry()
            await self._attempted.wait()

    def hurry(self) -> None:
        """Begins the next attempt now, if the component is not open and pauses between attempts."""
        self._try_again(-inf)

    def persist(self, error: ComponentError) -> None:
        """Retries a component that has never been open, until it opens or is closed; calls skip it meanwhile.

        Args:
            error: the reason why it is not open, so far: a long attempt may still be under way.

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
        """Opens the component, and opens it again whenever it is not open, until `close`; runs in a task of its own."""
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
                    self._again_at = inf  # until `hurry` or `persist`
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
                self.breaker.watchers.discard(self._breaker_changed)  # a cycle, which only the collector would free

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
        """Opens the component, and leaves its context after `close`."""
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
                self.guarded.down()

    def _go_up(self, component: Any) -> None:
        self.guarded.up(component)
        self.error, self._since, self._attempt_s = None, trio.current_time(), REOPEN_DEADLINE_S
        self.was_open = True
        if self.breaker.state != "closed":
            self.breaker.close()
        self._end_attempt()

    async def _tend(self, component: object) -> NoReturn:
        """Probes the component whenever its breaker is open, or lets calls try it if it has no probe."""
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
        as_component_error(failure, self.ref)  # conceals secrets, for the log
        _log.error("%s %s is opened again after %s", self.ref.role, self.ref.name, failure, exc_info=failure)
        return failure

    def _breaker_changed(self) -> None:
        self._breaker_moved.set()
        self._on_health(self.health)
