"""A nursery that nobody outside can see."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


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
        if body is not None and group.exceptions == (body,):
            raise body from body.__cause__
        raise
