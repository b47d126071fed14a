"""Nurseries inside context managers, and exceptions taken out of the groups that nurseries make."""

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
    """Yields the exceptions of a group at any depth, or the error itself if it is no group; nothing for None."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves_of(inner)
    elif error is not None:
        yield error


def uncancelled(error: BaseException | None) -> BaseException | None:
    """Returns the error without its cancellations: a group is filtered, and a bare `trio.Cancelled` gives None."""
    if isinstance(error, BaseExceptionGroup):
        cancelled, rest = error.split(trio.Cancelled)
        return error if cancelled is None else rest
    return None if isinstance(error, trio.Cancelled) else error


def defect_of(error: Exception | SystemExit) -> Exception:
    """Returns what one call raised in a shared task, as an exception that ends only that call.

    A group of a single exception is unwrapped, and `SystemExit` becomes a `RuntimeError`, so no call ends the process.
    """
    if isinstance(error, Exception):
        leaf, *others = leaves_of(error)
        return leaf if not others and isinstance(leaf, Exception) else error
    defect = RuntimeError(f"{type(error).__name__}: {error}")
    defect.__cause__ = error
    return defect


def forget_cancellation() -> AbstractContextManager[None]:
    """Returns a context manager for the whole of a nursery's task: a cancellation leaves it without its traceback.

    When an exception of the nursery's body cancels the task, the traceback passes through frames of trio that refer to
    the exception group which will hold it. Without this, that reference cycle keeps the task's frames, and so the call,
    in memory until the garbage collector runs.
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
    """Like `trio.open_nursery()`, but an exception raised by the body alone propagates unwrapped.

    It is in no ExceptionGroup then; exceptions of its tasks still are. For context managers whose nursery is an
    implementation detail.
    """
    return _HiddenNursery()


class _HiddenNursery(AbstractAsyncContextManager[trio.Nursery, bool | None]):
    """A class and no generator with `@asynccontextmanager`: that takes 1 kB more, and each call has several."""

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
            # A body that fails cancels the tasks: their `Cancelled` adds nothing to the body's own exception.
            of_body = {id(leaf) for leaf in leaves_of(body)}
            if body is None or any(id(leaf) not in of_body for leaf in leaves_of(uncancelled(group))):
                raise
        unwrapped = uncancelled(body)
        if unwrapped is None or unwrapped is body:
            return False
        try:
            raise unwrapped
        finally:
            del unwrapped, body, traceback  # their tracebacks refer to this frame: a cycle only the collector would end
