"""The client of a vendor: opened in a thread, closed within a bound."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, TypeVar

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from voicepipe.components.protocols import Resources

CLOSE_S = 1.0
"""How long closing the connections that a client keeps may take, in s."""


class Closeable(Protocol):
    """A client that keeps connections."""

    async def close(self) -> None:
        """Closes the connections."""


C = TypeVar("C", bound=Closeable)


@asynccontextmanager
async def open_vendor_client(make: Callable[[], C], resources: Resources) -> AsyncIterator[C]:
    """The client that `make` gives, for as long as the context lasts.

    `make` imports a vendor's library, which takes up to half a second, so it runs in a thread. A cancellation does not
    wait for that thread. Closing takes at most `CLOSE_S`, even when cancelled.
    """
    client = await trio.to_thread.run_sync(make, abandon_on_cancel=True, limiter=resources.threads)
    try:
        yield client
    finally:
        with trio.move_on_after(CLOSE_S, shield=True):
            await client.close()
