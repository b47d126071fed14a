"""A nursery that nobody outside can see, and what it takes to take exceptions out of groups."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


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


@asynccontextmanager
async def open_hidden_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery behind somebody's `async with`: the exception of the body comes out as it went in, in no group.

    Exceptions of its tasks come out in a group, as of any nursery.
    """
    body: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            try:
                yield nursery
            except BaseException as error:
                body = error
                raise
    except BaseExceptionGroup as group:
        # Its tasks are cancelled when the body fails, or with it: what they have to say about that is nothing.
        mine = {id(leaf) for leaf in leaves_of(body)}
        if body is None or any(id(leaf) not in mine for leaf in leaves_of(uncancelled(group))):
            raise
        body = uncancelled(body) or body
    else:
        return
    raise body
