"""The clients of tools that are HTTP requests: one for all that trust the same, while a version has such tools."""

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
"""How long closing the connections of a client may take, in s."""


@define(eq=False)
class SharedClient:
    """A client and those who use it."""

    http: Any
    """An `httpx.AsyncClient`."""
    context: ssl.SSLContext
    """Whom it trusts."""
    holders: int = 0
    """How many have taken it."""
    released: trio.Event = field(factory=trio.Event)
    """Set when none is left."""


class HttpClients:
    """The clients of a process, each closed by a task of its own when nobody holds it any more.

    Args:
        nursery: where those tasks are.
        threads: for what blocks: importing httpx, and reading certificates.

    """

    def __init__(self, nursery: trio.Nursery, threads: trio.CapacityLimiter) -> None:
        self._nursery, self._threads = nursery, threads
        self._clients: dict[ssl.SSLContext, SharedClient] = {}
        self._making = trio.Lock()

    async def acquire(self, ca_file: CaFile | None) -> SharedClient:
        """The client that trusts that file, or this machine's store; give it back with `release`."""
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
        """Gives a client back; the last one to do so closes it."""
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
