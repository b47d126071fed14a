"""The alternatives of a role as one call uses them: which one now, and which one when that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, Self, TypeAlias, TypeVar

import trio

from voicepipe.components.breaker import pause_asked_s
from voicepipe.errors import ComponentError, without_frames

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.components.boundary import ComponentRef
    from voicepipe.components.breaker import Breaker
    from voicepipe.components.labels import Role
    from voicepipe.pipelines.snapshot import Opened

    OnFailure: TypeAlias = Callable[[Role, ComponentError], None]
    OnNext: TypeAlias = Callable[[Role, "Rung", str], None]

Rung: TypeAlias = Literal["retry", "alternate", "apology"]
"""What is done about a failure: the same component again, the next alternative, words of regret."""

MOMENT_S = 0.2
"""How much sooner a component's streams may know that it died than its breaker does, in s."""

AnyOpened = TypeVar("AnyOpened", bound="Opened")


class BudgetExceeded(ComponentError):  # noqa: N818 - says what happened, as TooSlowError's hint does
    """A component took longer than its budget: nobody waits for it a second time."""

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


class Alternatives(Generic[AnyOpened]):
    """A role's components in failover order, with what this call knows of them.

    Args:
        role: which one.
        opened: in order of preference; at least one.
        retries: how often one that failed quickly is tried again before the next.
        on_failure: told of each failure.
        on_next: told which rung is taken, and the component's name.

    """

    def __init__(
        self, role: Role, opened: tuple[AnyOpened, ...], retries: int, on_failure: OnFailure, on_next: OnNext
    ) -> None:
        self._role, self._opened, self._retries = role, opened, retries
        self._on_failure, self._on_next = on_failure, on_next
        self._refusing: set[int] = set()

    def __len__(self) -> int:
        return len(self._opened)

    async def begin(self, patience_ms: int) -> Attempts[AnyOpened]:
        """For one piece of work: a reply's text, a reply's speech, a recognition.

        Args:
            patience_ms: how long to wait when nothing is left, for one that is tried again by then.

        Raises:
            ComponentError: all alternatives are being left alone.

        """
        attempts = Attempts(self, self._opened, self._retries, patience_ms / 1000)
        if attempts.exhausted:
            self.tell(error := self.left_alone())
            try:
                await attempts.wait(error)
            finally:
                del error
        return attempts

    async def moved(self) -> None:
        """Returns when calls begin or cease to use one of them."""
        change = trio.Event()
        for one in self._opened:
            one.breaker.waiters.add(change.set)
        try:
            await change.wait()
        finally:
            for one in self._opened:
                one.breaker.waiters.discard(change.set)

    def best(self) -> AnyOpened | None:
        """The first that is worth trying; None: all are being left alone."""
        return next((one for one in self._opened if one.breaker.lets_through), None)

    @property
    def first(self) -> AnyOpened:
        """What a call begins with: the first of those that have opened, if any has."""
        return next((one for one in self._opened if one.was_open), self._opened[0])

    def is_refusing(self, index: int) -> bool:
        """Whether one has refused what this call asked; a call asks it again only if nothing else is left.

        The next request of a conversation, or the next audio, holds most of what was refused. The next text to speak
        is another one.
        """
        return index in self._refusing

    def note_refusal(self, index: int, *, refused: bool) -> None:
        """Takes down whether one refused what this call asked, or answered it."""
        if refused and self._role != "tts":
            self._refusing.add(index)
        elif not refused:
            self._refusing.discard(index)

    def tell(self, error: ComponentError) -> None:
        """Reports a failure."""
        self._on_failure(self._role, error)

    def tell_next(self, rung: Rung, component: str) -> None:
        """Reports what is done about it."""
        self._on_next(self._role, rung, component)

    def left_alone(self) -> ComponentError:
        """Why none of them is tried."""
        error = next((one.breaker.error for one in self._opened if one.breaker.error is not None), None)
        if error is None:
            return ComponentError("is being tried again", component=self._opened[0].ref.name, role=self._role)
        return ComponentError(
            f"is left alone after failures, the last: {error.message}",
            component=error.component or self._opened[0].ref.name,
            role=self._role,
            retryable=error.retryable,
            answered=error.answered,
            hint=error.hint,
        )


class Attempts(Generic[AnyOpened]):
    """One piece of work and the components that it was tried with; a context manager, left when the work is over."""

    def __init__(
        self, alternatives: Alternatives[AnyOpened], opened: tuple[AnyOpened, ...], retries: int, patience_s: float
    ) -> None:
        self._alternatives, self._opened, self._retries = alternatives, opened, retries
        self._patience_s = patience_s
        self._tried: set[int] = set()
        self._again = retries
        self._until: float | None = None  # how long this piece of work may wait for one that is tried again
        self._trial: tuple[Breaker, int] | None = None  # of the current one, if this is the call that tries it
        self._index: int | None = None
        self._use(self._next())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_trial()

    @property
    def exhausted(self) -> bool:
        """Whether there is nothing to use."""
        return self._index is None

    @property
    def current(self) -> AnyOpened:
        """What is in use."""
        assert self._index is not None  # noqa: S101 - else one of the methods here has raised
        return self._opened[self._index]

    @property
    def has_other(self) -> bool:
        """Whether there is another one to go to."""
        return self._next(besides=self._index) is not None

    @property
    def has_better(self) -> bool:
        """Whether one that is preferred to the current one is worth trying by now."""
        return any(
            one.breaker.lets_through and not self._alternatives.is_refusing(index)
            for index, one in enumerate(self._opened[: self._index])
        )

    def prefer(self) -> None:
        """Starts again from the first that is worth trying."""
        self.begin_anew()
        if (index := self._next()) is not None:
            self._use(index)

    def succeeded(self) -> None:
        """The current one gave something useful."""
        self.current.breaker.succeeded(trio.current_time())
        self._end_trial()
        if self._index is not None:
            self._alternatives.note_refusal(self._index, refused=False)

    def begin_anew(self) -> None:
        """What comes next is another piece of work, begun with the current one."""
        self._tried.clear()
        self._again, self._until = self._retries, None

    def tell_again(self, error: ComponentError) -> None:
        """Reports that the current one refused a request, and is asked again in another way."""
        self.current.breaker.failed(error, trio.current_time())
        self._alternatives.tell(error)
        self._alternatives.tell_next("retry", self.current.ref.name)

    async def failed(self, error: ComponentError, *, persistent: bool = False) -> None:
        """Goes on to what is to be tried after the current one's failure.

        Args:
            error: why it failed.
            persistent: try one that was too slow again if there is no other.

        Raises:
            ComponentError: that error; nothing is left.

        """
        opened = self.current
        without_frames(error)  # whoever raised it, or was told of it, may keep it
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
        self.pass_over()
        if self._index is not None:
            self._alternatives.tell_next("alternate", self.current.ref.name)
            return
        try:
            await self.wait(error)
        finally:
            del error  # it leads to this frame, which would keep it until the garbage collector comes

    @property
    def _may_go_on(self) -> bool:
        """Whether the breaker lets this call use the current one again."""
        state = self.current.breaker.state
        return state == "closed" or (state == "half_open" and self._trial is not None)

    async def wait(self, error: ComponentError) -> None:
        """Nothing is left: waits for one that calls leave alone, if it is tried again soon enough.

        A component that died is opened again in a moment, and the caller hears the reply after a pause instead of
        an apology.

        Raises:
            ComponentError: that error; there is none, or it does not work yet.

        """
        self._end_trial()
        self._until = self._until or trio.current_time() + self._patience_s
        with trio.move_on_at(self._until):
            await trio.sleep(MOMENT_S)
            left_alone = [index for index, one in enumerate(self._opened) if not one.breaker.lets_through]
            while any(self._opened[index].breaker.retry_at < self._until for index in left_alone):
                await self._alternatives.moved()
                for index in left_alone:
                    if self._opened[index].breaker.lets_through:
                        self._use(index)
                        self._again = 0
                        self._alternatives.tell_next("retry", self.current.ref.name)
                        return
        try:
            raise error
        finally:
            del error

    def pass_over(self) -> None:
        """Goes on to the next without blaming the current one; afterwards there may be none."""
        assert self._index is not None  # noqa: S101
        self._tried.add(self._index)
        self._again = self._retries
        self._use(self._next())

    def _next(self, besides: int | None = None) -> int | None:
        """The best that is left: one that works, else one that has refused what this call asks, else one on trial."""
        left = [index for index in range(len(self._opened)) if index not in self._tried and index != besides]
        free = [index for index in left if self._opened[index].breaker.lets_through]
        willing = [index for index in free if not self._alternatives.is_refusing(index)]
        # A probe found those working; that a call has still to find so too is no reason to do without.
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
