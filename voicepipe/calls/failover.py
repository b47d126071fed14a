"""Failover: which component of a role a call uses, and which one when that fails.

`FailoverList` is a role's failover list as one call knows it, for as long as the call lasts. `Attempts` is one piece of
work (a reply's text, a reply's speech, a recognition) and the components that it was tried with. After a failure,
`Attempts.failed` takes the first of these steps that may help:

1. *retry*: the same component again, if the failure was quick and may pass, up to `on_failure.retries` times;
2. *alternate*: the next component of the list that was not tried for this piece of work. One that works and
   has not refused what this call asked comes first, then one that has, then one that only a probe has found working;
3. waiting, as long as a connection may take, for a component whose breaker is about to be tried again;
4. *apology*: nothing is left, so `failed` raises, and the call says that it is sorry.

Calls share the breakers. What a component refuses for this call's own content counts for this call alone.
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
"""What is done about a failure: the same component again, the next alternative, an apology."""

MOMENT_S = 0.2
"""By how much the streams of a component may know before its breaker that it died, in s."""

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
        """Which of the three."""
        self._opened, self._retries = opened, retries
        self._on_failure, self._on_next = on_failure, on_next
        self._refusing: set[int] = set()
        self.usage: dict[str, UsageTotal] = {}
        """What the call has used of each component so far, by its key."""

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
        """Whether a component has refused what this call asked. It is asked again only if nothing else is left.

        The next request of a conversation, or the next audio, holds most of what was refused. That is not so for the
        next text to speak, so voices never count as refusing.
        """
        return index in self._refusing

    def note_refusal(self, index: int, *, refused: bool) -> None:
        """Notes whether a component has refused what this call asked, or has answered it."""
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
        """Makes the error that says why no alternative is tried."""
        errors = (opened.breaker.error for opened in self._opened)
        error = next((error for error in errors if error is not None), None)
        if error is None:
            trying = "circuit breaker is half open: a trial is running"
            return ComponentError(trying, component=self._opened[0].ref.name, role=self.role)
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
        self._until: float | None = None  # until when this piece of work may wait for a component that is tried again
        self._trial: tuple[Breaker, int] | None = None  # the half-open breaker of the current one, if we are its trial
        self._index: int | None = None
        self._use(self._next())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_trial()

    @property
    def exhausted(self) -> bool:
        """Whether no component is left to use."""
        return self._index is None

    @property
    def current(self) -> AnyOpened:
        """The component in use; there must be one."""
        assert self._index is not None  # noqa: S101 - else one of the methods here has raised
        return self._opened[self._index]

    def begin_stream(self) -> StreamUsage:
        """Counts one more stream of the current one; gives what its use is added to."""
        opened = self.current
        usage = self._alternatives.usage
        key = opened.settings.key
        if key not in usage:
            usage[key] = UsageTotal(self._alternatives.role, opened.label)
        return StreamUsage(usage[key])

    @property
    def has_other(self) -> bool:
        """Whether there is another component to go on with."""
        return self._next(besides=self._index) is not None

    @property
    def has_better(self) -> bool:
        """Whether a component that is preferred to the current one works again."""
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
        """Notes that the current component gave something useful."""
        self.current.breaker.succeeded(trio.current_time())
        self._end_trial()
        if self._index is not None:
            self._alternatives.note_refusal(self._index, refused=False)

    def begin_anew(self) -> None:
        """Begins another piece of work, with the current component."""
        self._tried.clear()
        self._again, self._until = self._retries, None

    def tell_again(self, error: ComponentError) -> None:
        """Reports that the current component refused a request, and is asked again in another way."""
        self.current.breaker.failed(error, trio.current_time())
        self._alternatives.tell(error)
        self._alternatives.tell_next("retry", self.current.ref.name)

    async def failed(self, error: ComponentError, *, persistent: bool = False) -> None:
        """Goes on to the component that is to be tried after the current one's failure.

        Args:
            error: why it failed.
            persistent: whether a component that was too slow is tried again if there is no other.

        Raises:
            ComponentError: that error; nothing is left.

        """
        opened = self.current
        without_frames(error)  # the adapter or an observer may keep it
        opened.breaker.failed(error, trio.current_time())
        if error.fault == "request" and self._index is not None:
            self._alternatives.note_refusal(self._index, refused=True)
        self._alternatives.tell(error)
        slow = isinstance(error, BudgetExceeded) and not (persistent and not self.has_other)
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
        """Whether the breaker lets this call use the current component again."""
        state = self.current.breaker.state
        return state == "closed" or (state == "half_open" and self._trial is not None)

    async def wait(self, error: ComponentError) -> None:
        """Waits for a component whose breaker is open, if it is tried again soon enough; nothing else is left.

        A component that died is opened again in a moment, and the caller hears the reply after a pause instead of
        an apology.

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
        """The index of the component to try next: one that works, else one that has refused, else one after a probe."""
        left = [index for index in range(len(self._opened)) if index not in self._tried and index != besides]
        free = [index for index in left if self._opened[index].breaker.lets_through]
        willing = [index for index in free if not self._alternatives.is_refusing(index)]
        # A probe has closed these breakers. That a call's trial is still running is no reason to do without them.
        probed = [index for index in left if self._opened[index].breaker.state == "closed"]
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
