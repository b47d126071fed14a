"""Opens a vendor's client in a thread, and closes it within a time limit."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from voicepipe.components.protocols import Resources

CLOSE_S = 1.0
"""The time limit for closing a client's connections, in s."""


class Closeable(Protocol):
    """A client that keeps connections."""

    async def close(self) -> None:
        """Closes the connections."""


C = TypeVar("C", bound=Closeable)


@asynccontextmanager
async def open_vendor_client(make: Callable[[], C], resources: Resources) -> AsyncIterator[C]:
    """Makes a client in a thread, and closes it when the context is left.

    `make` imports a vendor's library, which takes up to half a second. A cancellation does not wait for that thread.
    Closing takes at most `CLOSE_S`, and is not cancelled.
    """
    client = await trio.to_thread.run_sync(make, abandon_on_cancel=True, limiter=resources.threads)
    try:
        yield client
    finally:
        with trio.move_on_after(CLOSE_S, shield=True):
            await client.close()
