"""A circuit breaker: whether calls should try a component at all. No I/O, and no clock but the times passed in.

One for each opened component, shared by all calls of the process. Each call says what became of its attempt; when
too many fail by the component's own fault, calls leave it alone until a probe of its own, which carries nothing of any
caller, has found it working again. A component without a probe is tried by one call at a time.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from typing import TYPE_CHECKING, Literal

from voicepipe.errors import copy_to_keep

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.errors import ComponentError

_log = logging.getLogger("voicepipe")

BreakerState = Literal["closed", "open", "half_open"]
"""`closed`: calls use the component. `open`: they leave it alone. `half_open`: it is being tried."""

WINDOW_S = 20.0
"""Over which time outcomes are weighed, in s."""

THRESHOLD = 3
"""The weight of failures in the window that opens the breaker, if they are also half of all outcomes.

A failure weighs 1; one that won't mend by itself (a refused key, a model that is not there) weighs 2."""

PAUSE_S = (1.0, 30.0)
"""The first and the longest pause before a component is tried again; doubled each time, with jitter."""

LONGEST_WISH_S = 600.0
"""The longest pause, in s, that a provider is given because it asks for it: some ask for a day, and mean a quota that
somebody may raise in a minute."""

TRIAL_S = 10.0
"""How long a call that tries a component may take to find out, in s; then another call may try it besides."""


def pause_asked_s(error: ComponentError) -> float:
    """The pause that a provider asks for, in s; 0: none. A wish of 0 s, or until a moment gone by, is none."""
    asked_s = error.retry_after_s or 0.0
    return min(asked_s, LONGEST_WISH_S) if asked_s > 0 else 0.0


def _tell(listeners: set[Callable[[], None]]) -> None:
    """Calls them all: what one raises is logged, and keeps none of the others, nor the call that is under way."""
    for listener in tuple(listeners):
        try:
            listener()
        except Exception:  # noqa: BLE001 - who is told is no part of the component, and it has other users
            _log.exception("whoever is told of a component's state failed; nothing else was affected")


class Breaker:
    """Whether a component is worth trying, from what became of the latest attempts.

    Args:
        jitter: a factor for each pause, so that many processes don't come back at the same moment.

    """

    def __init__(self, jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2)) -> None:  # noqa: S311 - no secret
        self.state: BreakerState = "closed"
        """What it is now."""
        self.error: ComponentError | None = None
        """What opened it, as a copy that leads to no call; None while it is closed."""
        self.retry_at = 0.0
        """When the component is to be tried again, on the clock of the times passed in."""
        self.watchers: set[Callable[[], None]] = set()
        """Called after each change of state: who probes and reports."""
        self.waiters: set[Callable[[], None]] = set()
        """Called then, and when a trial ends without a verdict: calls that have nothing else left."""
        self.failures = self.successes = 0
        """How many attempts of calls failed by its fault, and succeeded, ever."""
        self.excused = 0
        """How many failed for no fault of its own."""
        self.retries = 0
        """How often it was tried again in vain since calls leave it alone."""
        self._jitter = jitter
        self._outcomes: deque[tuple[float, int]] = deque()  # when, and what a failure weighs; 0 for a success
        self._pauses = 0  # since a call last found it working
        self._on_trial = False  # the next outcome decides
        self._trial_until: float | None = None  # a call tries it, and need not have found out before then
        self._trials = 0  # so far: one that took too long does not end the next

    @property
    def lets_through(self) -> bool:
        """Whether a call should begin to use the component: of one that is on trial, one call at a time."""
        return self._trial_until is None if self._on_trial else self.state == "closed"

    @property
    def is_on_trial(self) -> bool:
        """Whether the next outcome decides."""
        return self._on_trial

    def begin_trial(self, now: float) -> int | None:
        """A call begins to use the component: a number for `end_trial` if this call is the one that tries it."""
        if not (self._on_trial and self._trial_until is None):
            return None
        self._trials += 1
        self._trial_until = now + TRIAL_S
        return self._trials

    def end_trial(self, trial: int) -> None:
        """The call that tried the component is done, whether it found out anything or not."""
        if self._trial_until is not None and trial == self._trials:
            self._trial_until = None
            self._tell_waiters()

    def limit_trial(self, now: float) -> None:
        """Lets another call try the component if the one that does takes too long."""
        if self._trial_until is not None and now >= self._trial_until:
            self.end_trial(self._trials)

    def succeeded(self, now: float) -> None:
        """A call got something useful out of the component."""
        self.successes += 1
        if self._on_trial:
            self._on_trial, self._pauses = False, 0
            self.close()
        elif self.state == "closed" and self._outcomes:
            self._note(now, 0)

    def failed(self, error: ComponentError, now: float) -> None:
        """A call's attempt failed; it counts if that is the component's fault."""
        if error.fault != "component":
            self.excused += 1
            return
        self.failures += 1
        if self._on_trial:
            self.open(error, now)
        elif self.state == "closed":
            self._note(now, 1 if error.retryable else 2)
            weights = [weight for _, weight in self._outcomes]
            failed = sum(weight > 0 for weight in weights)
            if pause_asked_s(error) or (sum(weights) >= THRESHOLD and 2 * failed >= len(weights)):
                self.open(error, now)

    def open(self, error: ComponentError, now: float, *, retry_at: float | None = None) -> None:
        """Has calls leave the component alone: for a pause that doubles, or as long as its provider asks for.

        Args:
            error: why.
            now: the time.
            retry_at: when it is tried again, if somebody else sees to that.

        """
        first, longest = PAUSE_S
        pause = min(longest, first * 2**self._pauses) * self._jitter()
        self._pauses = min(self._pauses + 1, 16)
        # A breaker outlives the calls whose errors it keeps.
        self.error = copy_to_keep(error)
        self.retry_at = now + max(pause, pause_asked_s(error)) if retry_at is None else retry_at
        self.retries = 0 if self.state == "closed" else self.retries + 1
        self._outcomes.clear()
        self._on_trial, self._trial_until = False, None
        self._enter("open")

    def try_it(self, *, on_calls: bool = False) -> None:
        """The pause is over: the component is being probed.

        Args:
            on_calls: it has no probe of its own, so the next call is one.

        """
        self._on_trial, self._trial_until = on_calls, None
        self._enter("half_open")

    def close(self) -> None:
        """The component works, as far as a probe can tell; until a call finds so too, one failure opens it again."""
        self.error = None
        self._outcomes.clear()
        self._on_trial, self._trial_until = self._pauses > 0, None
        self._enter("closed")

    def _enter(self, state: BreakerState) -> None:
        changed = state != self.state
        self.state = state
        if changed:
            _tell(self.watchers)
        self._tell_waiters()

    def _tell_waiters(self) -> None:
        _tell(self.waiters)

    def _note(self, now: float, weight: int) -> None:
        self._outcomes.append((now, weight))
        while self._outcomes[0][0] < now - WINDOW_S or len(self._outcomes) > 1000:
            self._outcomes.popleft()
