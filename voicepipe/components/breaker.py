"""A circuit breaker, which decides whether calls should try a component. No I/O, and no clock but the times passed in.

Each opened component has one breaker, which all calls of the process share. Calls report the outcome of each attempt.
When too many attempts fail by the component's own fault, the breaker opens, and calls skip the component until
something else has found it working. That is its probe, which carries no caller's content, or, for a component without
a probe, one call at a time.

The conditions
    Logs, metrics and `status` know three states. Two of these have two meanings each, so the breaker itself has five
    conditions. On trial means that one call at a time uses the component, and that its outcome decides.

    ===========  ============  ===============  ===============  ===============
    condition    reported as   used by          a success        a failure
    ===========  ============  ===============  ===============  ===============
    CLOSED       `closed`      every call       is weighed       is weighed
    OPEN         `open`        nobody           changes nothing  changes nothing
    PROBING      `half_open`   its probe        changes nothing  changes nothing
    TRYING       `half_open`   a call on trial  -> CLOSED        -> OPEN
    CONFIRMING   `closed`      a call on trial  -> CLOSED        -> OPEN
    ===========  ============  ===============  ===============  ===============

    The outcomes that change nothing are those of calls that began before the breaker opened. `successes`, `failures`
    and `excused` count them all the same.

The transitions
    - CLOSED -> OPEN: too many failures.
    - OPEN -> PROBING: the pause is over, and the component has a probe.
    - OPEN -> TRYING: the pause is over, and the component has no probe.
    - PROBING -> OPEN: the probe failed. PROBING -> CONFIRMING: it succeeded.
    - TRYING, CONFIRMING -> OPEN: a call failed. TRYING, CONFIRMING -> CLOSED: a call succeeded.
    - Any -> OPEN: the component died. OPEN -> CONFIRMING: it was opened again.

    A probe can't know all that a call needs: a provider may list its models and refuse to use them. So a successful
    probe does not make the breaker CLOSED. Calls may use the component again, one at a time, and the first outcome
    confirms the probe or opens the breaker, for a pause that is twice as long.

    The breaker has no task. The task that holds the component open (`pipelines/shared_component.py`) ends pauses by
    `try_it`, reports probes by `open` and `close`, and ends trials that take too long by `limit_trial`.

What opens it
    Failures of the last `WINDOW_S` that weigh `THRESHOLD` or more and are at least half of all outcomes: a busy
    component with an error now and then stays in use. A provider that names a pause (`Retry-After`) opens it at once,
    because it has said itself that it serves nobody before. A failure whose cause is the request, or this machine, says
    nothing about the component, so it opens nothing.

Trials
    On trial, a call that is about to use the component takes a number by `begin_trial`, and gives it back by
    `end_trial`, whatever came of it: the caller may have hung up, or asked for something that is refused. A call whose
    trial took longer than `TRIAL_S` has lost its place, and its number ends no later trial.

Listeners
    `watchers` are called when the reported state changes, for logs and for the task above. `waiters` are called then,
    and also when a trial ends or the condition changes, for calls with nothing else to use.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, Literal

from voicepipe.errors import copy_to_keep

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.errors import ComponentError

_log = logging.getLogger("voicepipe")

BreakerState = Literal["closed", "open", "half_open"]
"""`closed`: calls use the component. `open`: calls skip it. `half_open`: a probe or one call tries it."""


class _Condition(Enum):
    """The condition of a breaker; the module's docstring has the table."""

    CLOSED = "closed"
    OPEN = "open"
    PROBING = "half open, a probe tries it"
    TRYING = "half open, one call at a time tries it"
    CONFIRMING = "closed by a probe, and a call is to confirm it"


_REPORTED: dict[_Condition, BreakerState] = {
    _Condition.CLOSED: "closed",
    _Condition.OPEN: "open",
    _Condition.PROBING: "half_open",
    _Condition.TRYING: "half_open",
    _Condition.CONFIRMING: "closed",
}
_ON_TRIAL = {_Condition.TRYING, _Condition.CONFIRMING}

WINDOW_S = 20.0
"""The length of the window of outcomes that are weighed, in s."""

THRESHOLD = 3
"""The weight of failures in the window that opens the breaker, if they are also half of all outcomes.

A failure weighs 1; one that is not retryable (a refused key, an unknown model) weighs 2."""

PAUSE_S = (1.0, 30.0)
"""The first and the longest pause before a component is tried again, in s; it doubles each time, with jitter."""

LONGEST_WISH_S = 600.0
"""The longest pause at a provider's request, in s: some ask for a day, for a quota that may be raised in a minute."""

MOST_OUTCOMES = 1000
"""The most outcomes that are weighed, however many come in the window."""

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
    """A component's circuit breaker, which the outcomes of attempts open and close.

    Args:
        jitter: returns a factor for each pause, so that many processes don't retry at the same moment.

    """

    def __init__(self, jitter: Callable[[], float] = lambda: random.uniform(0.8, 1.2)) -> None:  # noqa: S311 - no secret
        self.error: ComponentError | None = None
        """The error that opened the breaker, as a copy without tracebacks; None while it is closed."""
        self.retry_at = 0.0
        """The time of the next probe or trial, on the clock of the times passed in."""
        self.watchers: set[Callable[[], None]] = set()
        """Called after each change of `state`, for probes and reports."""
        self.waiters: set[Callable[[], None]] = set()
        """Called after each transition or end of a trial, for calls that wait for the component."""
        self.failures = self.successes = 0
        """The total attempts of calls that failed by the component's fault, and that succeeded."""
        self.excused = 0
        """The total attempts that failed for another cause: the request or this machine."""
        self.retries = 0
        """Failed probes and trials since the breaker opened."""
        self._jitter = jitter
        self._condition = _Condition.CLOSED
        self._outcomes: deque[tuple[float, int]] = deque()  # the time and the weight of a failure, 0 for a success
        self._pauses = 0  # since the last call that confirmed that the component works
        self._trial_until: float | None = None  # while a call is on trial: the time at which another may begin
        self._trials = 0  # numbers the trials, so that a slow one does not end a later one

    @property
    def state(self) -> BreakerState:
        """The state as it is reported."""
        return _REPORTED[self._condition]

    @property
    def is_on_trial(self) -> bool:
        """True if one call at a time may use the component, and its outcome opens or closes the breaker."""
        return self._condition in _ON_TRIAL

    @property
    def lets_through(self) -> bool:
        """True if a new attempt may use the component."""
        return self._condition is _Condition.CLOSED or (self.is_on_trial and self._trial_until is None)

    def begin_trial(self, now: float) -> int | None:
        """Begins an attempt; returns a number for `end_trial` if it is a trial, else None."""
        if not (self.is_on_trial and self._trial_until is None):
            return None
        self._trials += 1
        self._trial_until = now + TRIAL_S
        return self._trials

    def end_trial(self, trial: int) -> None:
        """Ends a trial, with or without an outcome; no-op if another trial has replaced it."""
        if self._trial_until is not None and trial == self._trials:
            self._trial_until = None
            _notify(self.waiters)

    def limit_trial(self, now: float) -> None:
        """Ends the current trial if it has taken longer than `TRIAL_S`."""
        if self._trial_until is not None and now >= self._trial_until:
            self.end_trial(self._trials)

    def succeeded(self, now: float) -> None:
        """Records that a call got a useful result of the component."""
        self.successes += 1
        if self.is_on_trial:
            self._pauses = 0
            self._enter(_Condition.CLOSED, None)
        elif self._condition is _Condition.CLOSED and self._outcomes:  # successes alone open nothing
            self._record(now, 0)

    def failed(self, error: ComponentError, now: float) -> None:
        """Records a failed attempt; it counts towards opening only if `error.fault` is `component`."""
        if error.fault != "component":
            self.excused += 1
            return
        self.failures += 1
        if self.is_on_trial:
            self.open(error, now)
        elif self._condition is _Condition.CLOSED:
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
        self.retry_at = now + max(pause, pause_asked_s(error)) if retry_at is None else retry_at
        self.retries = 0 if self.state == "closed" else self.retries + 1
        # The breaker outlives the call, which the original error's traceback would keep in memory.
        self._enter(_Condition.OPEN, copy_to_keep(error))

    def try_it(self, *, on_calls: bool = False) -> None:
        """Half-opens the breaker, at the end of a pause.

        Args:
            on_calls: whether the component has no probe, so that the next call tries it.

        """
        self._enter(_Condition.TRYING if on_calls else _Condition.PROBING, self.error)

    def close(self) -> None:
        """Closes the breaker after a successful probe; until a call succeeds too, one failure opens it again."""
        self._enter(_Condition.CONFIRMING if self._pauses else _Condition.CLOSED, None)

    def _enter(self, condition: _Condition, error: ComponentError | None) -> None:
        """Makes a transition; `error` is the reason why the breaker is not closed."""
        before = self.state
        self._condition, self.error = condition, error
        self._outcomes.clear()
        self._trial_until = None
        if self.state != before:
            _notify(self.watchers)
        _notify(self.waiters)

    def _record(self, now: float, weight: int) -> None:
        self._outcomes.append((now, weight))
        while self._outcomes[0][0] < now - WINDOW_S or len(self._outcomes) > MOST_OUTCOMES:
            self._outcomes.popleft()
