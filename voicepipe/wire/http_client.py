"""Opens an HTTP client on trio, whose answers can be read as they come."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import trio

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

CLOSE_S = 1.0
"""The time limit of closing the connections, in s."""


@asynccontextmanager
async def open_http_client(
    tls: ssl.SSLContext,
    *,
    timeout_s: float,
    connect_timeout_s: float,
    most_requests: int = 100,
    most_idle: int = 8,
    keep_alive_s: float = 50.0,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[Any]:
    """Opens an `httpx.AsyncClient` with voicepipe's connections; proxies of the environment are not used.

        answer = await client.send(client.build_request("POST", url, content=body), stream=True)
        body = answer.extensions["body"]
        while (data := await body.read(timeout_s)) is not None: ...

    A `read` that is cancelled loses nothing and may be called again. The first use in a process imports httpx in a
    thread, which takes some 0.2 s.

    Args:
        tls: whom addresses with https are to be trusted by, such as `tls_context()`.
        timeout_s: the longest wait for the next piece of an answer, in s, unless a `read` says another.
        connect_timeout_s: the longest wait for a connection, in s.
        most_requests: the most requests at once; more wait for their turn.
        most_idle: the most connections that are kept for later requests.
        keep_alive_s: how long such a connection is kept, in s.
        headers: headers of each request.

    """
    httpx: Any = await trio.to_thread.run_sync(import_module, "httpx")
    transport = import_module("voicepipe.wire.http_transport").HttpTransport(
        tls, most_requests=most_requests, most_idle=most_idle, keep_alive_s=keep_alive_s
    )
    client = httpx.AsyncClient(
        transport=transport,
        headers=headers,
        trust_env=False,
        timeout=httpx.Timeout(timeout_s, connect=connect_timeout_s),
        follow_redirects=False,
    )
    try:
        yield client
    finally:
        with trio.move_on_after(CLOSE_S, shield=True):
            await client.aclose()
