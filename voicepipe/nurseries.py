"""A nursery that nobody outside can see, and what it takes to take exceptions out of groups."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, TypeVar, overload

import trio

from voicepipe.errors import without_frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType


AnyError = TypeVar("AnyError", bound=BaseException)


@overload
def leaves_of(error: BaseExceptionGroup[AnyError]) -> Iterator[AnyError]: ...
@overload
def leaves_of(error: BaseException | None) -> Iterator[BaseException]: ...
def leaves_of(error: BaseException | None) -> Iterator[BaseException]:
    """The exceptions of a group, at any depth; anything else as it is."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves_of(inner)
    elif error is not None:
        yield error


def uncancelled(error: BaseException | None) -> BaseException | None:
    """What is raised besides cancellations: the exception itself, what is left of a group, or None."""
    if isinstance(error, BaseExceptionGroup):
        cancelled, rest = error.split(trio.Cancelled)
        return error if cancelled is None else rest
    return None if isinstance(error, trio.Cancelled) else error


def defect_of(error: Exception | SystemExit) -> Exception:
    """What one call raised in a task that all calls share, as an exception that ends that call and no process."""
    if isinstance(error, Exception):
        leaf, *others = leaves_of(error)
        return leaf if not others and isinstance(leaf, Exception) else error
    defect = RuntimeError(f"{type(error).__name__}: {error}")
    defect.__cause__ = error
    return defect


def forget_cancellation() -> AbstractContextManager[None]:
    """Around all that a task of a nursery does: a cancellation that ends it leads to no frames.

    If what cancels it is an exception of the nursery's body, it comes through frames of trio that know the group which
    it will be part of. That circle would keep the task's frames too, and so a call, until the garbage collector comes.
    """
    return _FORGETFUL


class _Forgetful(AbstractContextManager[None]):
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if isinstance(error, trio.Cancelled):
            without_frames(error)


_FORGETFUL = _Forgetful()


def open_hidden_nursery() -> AbstractAsyncContextManager[trio.Nursery]:
    """A nursery behind somebody's `async with`: the exception of the body comes out as it went in, in no group.

    Exceptions of its tasks come out in a group, as of any nursery.
    """
    return _HiddenNursery()


class _HiddenNursery(AbstractAsyncContextManager[trio.Nursery, bool | None]):
    """Every call has some, and a generator would take 1 kB of each."""

    __slots__ = ("_nursery",)

    async def __aenter__(self) -> trio.Nursery:
        self._nursery = trio.open_nursery()
        return await self._nursery.__aenter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, body: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        try:
            return await self._nursery.__aexit__(kind, body, traceback)
        except BaseExceptionGroup as group:
            # Its tasks are cancelled when the body fails, or with it: what they have to say about that is nothing.
            mine = {id(leaf) for leaf in leaves_of(body)}
            if body is None or any(id(leaf) not in mine for leaf in leaves_of(uncancelled(group))):
                raise
        own = uncancelled(body)
        if own is None or own is body:
            return False
        try:
            raise own
        finally:
            del own, body, traceback  # they lead to this frame, which would keep them until the garbage collector comes
