"""A circuit breaker, which decides whether calls should try a component. No I/O, and no clock but the times passed in.

Each opened component has one, shared by all calls of the process. Calls report the outcome of each attempt. When too
many attempts fail by the component's own fault, the breaker opens, and calls skip the component until its probe, which
carries no caller's content, succeeds. A component without a probe is tried by one call at a time.
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
"""`closed`: calls use the component. `open`: calls skip it. `half_open`: a probe or one call tries it."""

WINDOW_S = 20.0
"""The length of the window of outcomes that are weighed, in s."""

THRESHOLD = 3
"""The weight of failures in the window that opens the breaker, if they are also half of all outcomes.

A failure weighs 1; one that is not retryable (a refused key, an unknown model) weighs 2."""

PAUSE_S = (1.0, 30.0)
"""The first and the longest pause before a component is tried again, in s; it doubles each time, with jitter."""

LONGEST_WISH_S = 600.0
"""The longest pause at a provider's request, in s: some ask for a day, for a quota that may be raised in a minute."""

TRIAL_S = 10.0
"""The time for which one call tries a component alone, in s; then another call may try it too."""


def pause_asked_s(error: ComponentError) -> float:
    """Returns the pause that a provider asks for, in s, up to `LONGEST_WISH_S`; 0 if it asks for none."""
    asked_s = error.retry_after_s or 0.0
    return min(asked_s, LONGEST_WISH_S) if asked_s > 0 else 0.0


def _notify(listeners: set[Callable[[], None]]) -> None:
    """Calls each listener; an exception of a listener is logged, and affects neither the others nor the call."""
    for listener in tuple(listeners):
        try:
            listener()
        except Exception:  # noqa: BLE001 - a listener is no part of the component, which has other users
            _log.exception("a listener for a component's state failed; nothing else was affected")


class Breaker:
    """The state of a component's circuit breaker, from the outcomes of recent attempts.

    Args:
        jitter: returns a factor for each pause, so that many processes don't retry at the same moment.

    """

    def __init__(self, jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2)) -> None:  # noqa: S311 - no secret
        self.state: BreakerState = "closed"
        """The current state."""
        self.error: ComponentError | None = None
        """The error that opened the breaker, as a copy without tracebacks; None while it is closed."""
        self.retry_at = 0.0
        """The time of the next probe or trial, on the clock of the times passed in."""
        self.watchers: set[Callable[[], None]] = set()
        """Called after each change of state, for probes and reports."""
        self.waiters: set[Callable[[], None]] = set()
        """Called after each change of state or end of a trial, for calls that wait for the component."""
        self.failures = self.successes = 0
        """The total attempts of calls that failed by the component's fault, and that succeeded."""
        self.excused = 0
        """The total attempts that failed for another cause: the request or this machine."""
        self.retries = 0
        """Failed probes and trials since the breaker opened."""
        self._jitter = jitter
        self._outcomes: deque[tuple[float, int]] = deque()  # the time and the weight of a failure, 0 for a success
        self._pauses = 0  # since the last successful call
        self._on_trial = False  # the next outcome opens or closes the breaker
        self._trial_until: float | None = None  # while a call tries it: the time at which another may
        self._trials = 0  # numbers the trials, so that a slow one does not end a later one

    @property
    def lets_through(self) -> bool:
        """Whether a new attempt may use the component; on trial, only one call at a time may."""
        return self._trial_until is None if self._on_trial else self.state == "closed"

    @property
    def is_on_trial(self) -> bool:
        """Whether the next outcome opens or closes the breaker."""
        return self._on_trial

    def begin_trial(self, now: float) -> int | None:
        """Begins an attempt; returns a number for `end_trial` if this call tries the component, else None."""
        if not (self._on_trial and self._trial_until is None):
            return None
        self._trials += 1
        self._trial_until = now + TRIAL_S
        return self._trials

    def end_trial(self, trial: int) -> None:
        """Ends a trial, with or without an outcome; no-op if another trial has replaced it."""
        if self._trial_until is not None and trial == self._trials:
            self._trial_until = None
            self._notify_waiters()

    def limit_trial(self, now: float) -> None:
        """Ends the current trial if it has taken longer than `TRIAL_S`."""
        if self._trial_until is not None and now >= self._trial_until:
            self.end_trial(self._trials)

    def succeeded(self, now: float) -> None:
        """Records that a call got a useful result of the component."""
        self.successes += 1
        if self._on_trial:
            self._on_trial, self._pauses = False, 0
            self.close()
        elif self.state == "closed" and self._outcomes:
            self._record(now, 0)

    def failed(self, error: ComponentError, now: float) -> None:
        """Records a failed attempt; it counts towards opening only if `error.fault` is `component`."""
        if error.fault != "component":
            self.excused += 1
            return
        self.failures += 1
        if self._on_trial:
            self.open(error, now)
        elif self.state == "closed":
            self._record(now, 1 if error.retryable else 2)
            weights = [weight for _, weight in self._outcomes]
            failed = sum(weight > 0 for weight in weights)
            if pause_asked_s(error) or (sum(weights) >= THRESHOLD and 2 * failed >= len(weights)):
                self.open(error, now)

    def open(self, error: ComponentError, now: float, *, retry_at: float | None = None) -> None:
        """Opens the breaker for a pause, which doubles each time, or for as long as the provider asks for.

        Args:
            error: the reason.
            now: the current time.
            retry_at: the time of the next try, if something else schedules it.

        """
        first, longest = PAUSE_S
        pause = min(longest, first * 2**self._pauses) * self._jitter()
        self._pauses = min(self._pauses + 1, 16)
        # The breaker outlives the call, which the original error's traceback would keep in memory.
        self.error = copy_to_keep(error)
        self.retry_at = now + max(pause, pause_asked_s(error)) if retry_at is None else retry_at
        self.retries = 0 if self.state == "closed" else self.retries + 1
        self._outcomes.clear()
        self._on_trial, self._trial_until = False, None
        self._enter("open")

    def try_it(self, *, on_calls: bool = False) -> None:
        """Half-opens the breaker, at the end of a pause.

        Args:
            on_calls: whether the component has no probe, so that the next call tries it.

        """
        self._on_trial, self._trial_until = on_calls, None
        self._enter("half_open")

    def close(self) -> None:
        """Closes the breaker after a successful probe; until a call succeeds too, one failure opens it again."""
        self.error = None
        self._outcomes.clear()
        self._on_trial, self._trial_until = self._pauses > 0, None
        self._enter("closed")

    def _enter(self, state: BreakerState) -> None:
        changed = state != self.state
        self.state = state
        if changed:
            _notify(self.watchers)
        self._notify_waiters()

    def _notify_waiters(self) -> None:
        _notify(self.waiters)

    def _record(self, now: float, weight: int) -> None:
        self._outcomes.append((now, weight))
        while self._outcomes[0][0] < now - WINDOW_S or len(self._outcomes) > 1000:
            self._outcomes.popleft()
