"""HTTP clients for tools, shared by all versions whose tools trust an equal set of certificates."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import trio
from attrs import define, field

from voicepipe.components.tls import tls_context
from voicepipe.tools.http import open_client

if TYPE_CHECKING:
    from voicepipe.components.values import CaFile

CLOSE_S = 1.0
"""The time limit of closing the connections of a client, in s."""


@define(eq=False)
class SharedClient:
    """A client and the number of its users."""

    http: Any
    """An `httpx.AsyncClient`."""
    context: ssl.SSLContext
    """The certificates that it trusts."""
    holders: int = 0
    """The number of `acquire`s without a `release`."""
    released: trio.Event = field(factory=trio.Event)
    """Set when `holders` is back at 0."""


class HttpClients:
    """The clients of a process; each is closed by a task of its own after its last `release`.

    Args:
        nursery: runs these tasks.
        threads: limits the threads that import httpx and read certificates.

    """

    def __init__(self, nursery: trio.Nursery, threads: trio.CapacityLimiter) -> None:
        self._nursery, self._threads = nursery, threads
        self._clients: dict[ssl.SSLContext, SharedClient] = {}
        self._making = trio.Lock()

    async def acquire(self, ca_file: CaFile | None) -> SharedClient:
        """Returns the client that trusts a CA file, or this machine's store for None; `release` it after use.

        Cancellation leaves no client acquired.
        """
        threads = self._threads
        context = await trio.to_thread.run_sync(tls_context, ca_file, abandon_on_cancel=True, limiter=threads)
        async with self._making:
            shared = self._clients.get(context)
            if shared is None:
                http = await trio.to_thread.run_sync(open_client, context, limiter=threads)
                shared = self._clients[context] = SharedClient(http, context)
                self._nursery.start_soon(self._keep, shared)
            shared.holders += 1
        return shared

    def release(self, shared: SharedClient) -> None:
        """Releases a client; the last release closes it."""
        shared.holders -= 1
        if shared.holders == 0:
            del self._clients[shared.context]
            shared.released.set()

    async def _keep(self, shared: SharedClient) -> None:
        try:
            await shared.released.wait()
        finally:
            with trio.move_on_after(CLOSE_S, shield=True):
                await shared.http.aclose()
