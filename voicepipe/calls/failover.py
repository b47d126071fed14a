"""Failover: which component of a role a call uses, and which one it goes on with when that fails.

A role's failover list is configured once and used by many calls. Each opened component has a circuit breaker that all
calls share; what one call learns is kept per call. So there are three lifetimes:

    Breaker        a component, for as long as it is open: does it work for anybody?
    FailoverList   a role in one call: which of its components have refused this call's content, what was used of each?
    Attempts       one piece of work (a reply's text, a reply's speech, a recognition): which components were tried?

The first choice
    `Attempts` takes the first component of the list whose breaker lets it through, those that have refused this call's
    content last. If the breaker is on trial, taking its component makes this piece of work the trial, and the breaker
    lets no other through until `succeeded`, a failure, or the end of the work.

After a failure
    `Attempts.failed` tells the breaker and the observer, and takes the first of these steps that may help:

    1. *retry*: the same component again, up to `on_failure.retries` times, if the failure may pass (`retryable`), was
       quick (a budget that was exceeded has cost the caller enough), and neither the request nor a named pause
       (`Retry-After`) is its cause;
    2. *alternate*: the next component of the list that was not tried for this piece of work. One that works and has
       not refused this call's content comes first, then one that has, then one that only a probe has found working
       while another call tries it;
    3. waiting, for the budget of a connection or of a first token, for a component that is about to be tried again. A
       component that died is opened again in a moment, and the caller hears the reply after a pause instead of an
       apology;
    4. *apology*: nothing is left, so `failed` raises, and the call says that it is sorry.

Whose fault it was
    `ComponentError.fault` decides what is counted. `component`: the breaker counts it, for all calls. `request`: this
    call's content was refused (too long, filtered), which the next request of the conversation will hold too; so the
    list remembers it, the breaker does not, and other calls are not affected. `local`: this machine is short of
    something; nothing is remembered.

After a success
    A recogniser runs for a whole call, so `begin_anew` forgets what was tried at each transcript: ten failures in an
    hour are no reason to give up. It stays with the component that it has. `prefer` goes back to the first that works,
    and is called between utterances, when nothing can be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, Self, TypeAlias, TypeVar

import trio

from voicepipe.calls.usage import StreamUsage, UsageTotal
from voicepipe.components.breaker import pause_asked_s
from voicepipe.errors import ComponentError, without_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.components.boundary import ComponentRef
    from voicepipe.components.breaker import Breaker
    from voicepipe.components.labels import Role
    from voicepipe.pipelines.snapshot import OpenedComponent

    OnFailure: TypeAlias = Callable[[Role, ComponentError], None]
    OnNext: TypeAlias = Callable[[Role, "FailoverStep", str], None]

FailoverStep: TypeAlias = Literal["retry", "alternate", "apology"]
"""The step after a failure: the same component again, the next alternative, or an apology."""

MOMENT_S = 0.2
"""The time by which the streams of a component may notice its death before its breaker does, in s."""

AnyOpened = TypeVar("AnyOpened", bound="OpenedComponent")


class BudgetExceeded(ComponentError):  # noqa: N818 - says what happened, as TooSlowError's hint does
    """A component took longer than its budget. It is not tried again for the same piece of work."""

    @classmethod
    def of(cls, ref: ComponentRef, message: str, key: str) -> BudgetExceeded:
        """Makes the error of a component.

        Args:
            ref: the component.
            message: what has not come, and within which time.
            key: the budget's key, such as `budgets.tts.gap_ms`.

        """
        hint = f"raise {key} if this component may take longer"
        return cls(f"{message} ({key})", component=ref.name, role=ref.role, hint=hint)


class FailoverList(Generic[AnyOpened]):
    """A role's components in failover order, with what one call knows of them.

    Args:
        role: the components' role.
        opened: the components, in order of preference; at least one.
        retries: how often a component that failed quickly is tried again before the next.
        on_failure: called with each failure.
        on_next: called with the step that is taken, and the component's name.

    """

    def __init__(
        self, role: Role, opened: tuple[AnyOpened, ...], retries: int, on_failure: OnFailure, on_next: OnNext
    ) -> None:
        self.role: Role = role
        """The components' role."""
        self._opened, self._retries = opened, retries
        self._on_failure, self._on_next = on_failure, on_next
        self._refusing: set[int] = set()
        self.usage: dict[str, UsageTotal] = {}
        """The use of each component by this call so far, by the component's key."""

    def __len__(self) -> int:
        return len(self._opened)

    async def begin(self, patience_ms: int) -> Attempts[AnyOpened]:
        """Begins one piece of work: a reply's text, a reply's speech, a recognition.

        Args:
            patience_ms: how long to wait, in ms, for a component that is tried again if nothing is left.

        Raises:
            ComponentError: the circuit breakers of all alternatives are open, and stay so.

        """
        attempts = Attempts(self, self._opened, self._retries, patience_ms / 1000)
        if attempts.exhausted:
            self.tell(error := self.all_open_error())
            try:
                await attempts.wait(error)
            finally:
                del error
        return attempts

    async def wait_breaker_change(self) -> None:
        """Waits until the circuit breaker of any alternative opens or closes."""
        change = trio.Event()
        for opened in self._opened:
            opened.breaker.waiters.add(change.set)
        try:
            await change.wait()
        finally:
            for opened in self._opened:
                opened.breaker.waiters.discard(change.set)

    @property
    def first(self) -> AnyOpened:
        """The component that a call begins with: the first that has opened, if any has."""
        return next((opened for opened in self._opened if opened.was_open), self._opened[0])

    def is_refusing(self, index: int) -> bool:
        """True if a component has refused this call's content; it is used again only if nothing else is left.

        The next request of a conversation, or the next audio, holds most of what was refused. That is not so for the
        next text to speak, so voices never count as refusing.
        """
        return index in self._refusing

    def note_refusal(self, index: int, *, refused: bool) -> None:
        """Notes that a component has refused this call's content, or has answered it."""
        if refused and self.role != "tts":
            self._refusing.add(index)
        elif not refused:
            self._refusing.discard(index)

    def tell(self, error: ComponentError) -> None:
        """Reports a failure."""
        self._on_failure(self.role, error)

    def tell_next(self, step: FailoverStep, component: str) -> None:
        """Reports the step that is taken after a failure, and the component that goes on."""
        self._on_next(self.role, step, component)

    def all_open_error(self) -> ComponentError:
        """Returns the error for the case that the breaker of each alternative is open."""
        errors = (opened.breaker.error for opened in self._opened)
        error = next((error for error in errors if error is not None), None)
        if error is None:
            message = "circuit breaker is half open: a trial is running"
            return ComponentError(message, component=self._opened[0].ref.name, role=self.role)
        return ComponentError(
            f"circuit breaker is open after repeated failures; last error: {error.message}",
            component=error.component or self._opened[0].ref.name,
            role=self.role,
            retryable=error.retryable,
            answered=error.answered,
            hint=error.hint,
        )


class Attempts(Generic[AnyOpened]):
    """One piece of work and the components that it was tried with; a context manager, left when the work is over."""

    def __init__(
        self, alternatives: FailoverList[AnyOpened], opened: tuple[AnyOpened, ...], retries: int, patience_s: float
    ) -> None:
        self._alternatives, self._opened, self._retries = alternatives, opened, retries
        self._patience_s = patience_s
        self._tried: set[int] = set()
        self._again = retries
        self._until: float | None = None  # the deadline for waiting, once this piece of work has had to wait
        self._trial: tuple[Breaker, int] | None = None  # the current component's breaker, if this work is its trial
        self._index: int | None = None
        self._use(self._next())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_trial()

    @property
    def exhausted(self) -> bool:
        """True if no component is left to use."""
        return self._index is None

    @property
    def current(self) -> AnyOpened:
        """The component in use; there must be one."""
        assert self._index is not None  # noqa: S101 - else one of the methods here has raised
        return self._opened[self._index]

    def begin_stream(self) -> StreamUsage:
        """Counts one more stream of the current component, and returns the counter of its use."""
        opened = self.current
        usage = self._alternatives.usage
        key = opened.settings.key
        if key not in usage:
            usage[key] = UsageTotal(self._alternatives.role, opened.label)
        return StreamUsage(usage[key])

    @property
    def has_other(self) -> bool:
        """True if there is another component to go on with."""
        return self._next(besides=self._index) is not None

    @property
    def has_better(self) -> bool:
        """True if a component that is preferred to the current one works again."""
        return any(
            opened.breaker.lets_through and not self._alternatives.is_refusing(index)
            for index, opened in enumerate(self._opened[: self._index])
        )

    def prefer(self) -> None:
        """Begins another piece of work, with the most preferred component that works."""
        self.begin_anew()
        if (index := self._next()) is not None:
            self._use(index)

    def succeeded(self) -> None:
        """Notes that the current component gave a useful result: the end of its trial, if it was one."""
        self.current.breaker.succeeded(trio.current_time())
        self._end_trial()
        if self._index is not None:
            self._alternatives.note_refusal(self._index, refused=False)

    def begin_anew(self) -> None:
        """Begins another piece of work, with the current component."""
        self._tried.clear()
        self._again, self._until = self._retries, None

    def tell_again(self, error: ComponentError) -> None:
        """Reports that the current component refused a request, and gets a shorter one instead."""
        self.current.breaker.failed(error, trio.current_time())
        self._alternatives.tell(error)
        self._alternatives.tell_next("retry", self.current.ref.name)

    async def failed(self, error: ComponentError, *, retry_slow: bool = False) -> None:
        """Goes on to the component that is used after the current one's failure; may wait for one.

        Args:
            error: why it failed.
            retry_slow: whether a component that was too slow is tried again if there is no other.

        Raises:
            ComponentError: `error`; nothing is left.

        """
        opened = self.current
        without_frames(error)  # the adapter or an observer may keep it
        opened.breaker.failed(error, trio.current_time())
        if error.fault == "request" and self._index is not None:
            self._alternatives.note_refusal(self._index, refused=True)
        self._alternatives.tell(error)
        slow = isinstance(error, BudgetExceeded) and not (retry_slow and not self.has_other)
        may_pass = error.retryable and error.fault != "request" and not pause_asked_s(error) and not slow
        if may_pass and self._again > 0 and self._may_go_on:
            self._again -= 1
            self._alternatives.tell_next("retry", opened.ref.name)
            return
        self.skip()
        if self._index is not None:
            self._alternatives.tell_next("alternate", self.current.ref.name)
            return
        try:
            await self.wait(error)
        finally:
            del error  # it leads to this frame, which would keep it until the garbage collector comes

    @property
    def _may_go_on(self) -> bool:
        """True if the breaker lets this call use the current component again."""
        state = self.current.breaker.state
        return state == "closed" or (state == "half_open" and self._trial is not None)

    async def wait(self, error: ComponentError) -> None:
        """Waits for a component whose breaker is open, if that is tried again soon enough; nothing else is left.

        Raises:
            ComponentError: `error`; there is no such component, or it does not work yet.

        """
        self._end_trial()
        self._until = self._until or trio.current_time() + self._patience_s
        with trio.move_on_at(self._until):
            await trio.sleep(MOMENT_S)
            open_ones = [index for index, opened in enumerate(self._opened) if not opened.breaker.lets_through]
            while any(self._opened[index].breaker.retry_at < self._until for index in open_ones):
                await self._alternatives.wait_breaker_change()
                for index in open_ones:
                    if self._opened[index].breaker.lets_through:
                        self._use(index)
                        self._again = 0
                        self._alternatives.tell_next("retry", self.current.ref.name)
                        return
        try:
            raise error
        finally:
            del error

    def skip(self) -> None:
        """Goes on to the next component without blaming the current one; afterwards there may be none."""
        assert self._index is not None  # noqa: S101
        self._tried.add(self._index)
        self._again = self._retries
        self._use(self._next())

    def _next(self, besides: int | None = None) -> int | None:
        """Returns the index of the component to use next; None: none is left."""
        untried = [index for index in range(len(self._opened)) if index not in self._tried and index != besides]
        free = [index for index in untried if self._opened[index].breaker.lets_through]
        willing = [index for index in free if not self._alternatives.is_refusing(index)]
        # A probe has closed these breakers. That a call's trial is still running is no reason to do without them.
        probed = [index for index in untried if self._opened[index].breaker.state == "closed"]
        return next(iter(willing or free or probed), None)

    def _use(self, index: int | None) -> None:
        if index == self._index and self._trial is not None:
            return
        self._end_trial()
        self._index = index
        if index is not None:
            breaker = self._opened[index].breaker
            trial = breaker.begin_trial(trio.current_time())
            self._trial = None if trial is None else (breaker, trial)

    def _end_trial(self) -> None:
        if self._trial is not None:
            (breaker, trial), self._trial = self._trial, None
            breaker.end_trial(trial)
