"""Opens listeners for calls that come over WebSockets; see `websocket_calls` for what a transport gives to one.

The libraries for it, `websockets` and `h11`, are imported when a listener is opened.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from voicepipe.components.distribution import DISTRIBUTION
from voicepipe.errors import Location, Problem
from voicepipe.transports.connections import Connections, open_listening_sockets
from voicepipe.transports.tls import ServerTls
from voicepipe.transports.websocket_calls import (
    BearerCalls,
    HttpRequest,
    HttpResponse,
    Upgrade,
    WebSocketCalls,
    WebSocketTransport,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from voicepipe.transports.listener import ListenerContext
    from voicepipe.transports.protocol import Transport
    from voicepipe.transports.tls import TlsFiles
    from voicepipe.transports.websocket_serving import WebSocketListener

__all__ = [
    "BearerCalls",
    "HttpRequest",
    "HttpResponse",
    "Upgrade",
    "WebSocketCalls",
    "WebSocketTransport",
    "check_websockets_installed",
    "open_websocket_listener",
]


@asynccontextmanager
async def open_websocket_listener(
    host: str,
    port: int,
    calls: WebSocketCalls,
    context: ListenerContext,
    *,
    tls: TlsFiles | None = None,
    ping: bool = False,
) -> AsyncIterator[WebSocketListener]:
    """Opens a listener that is bound but does not `serve` yet, and closes it on exit.

    Args:
        host: a name or an address; all of its addresses are listened on.
        port: 0 chooses a free one.
        calls: the transport's decisions.
        context: the name, the limits, who is told of refusals and crashes, and where connections come from, if another
            process listens.
        tls: the certificate and its key, which are read again when they change; None: without TLS.
        ping: whether a peer that is silent is pinged, and taken for dead within 2 s if it does not answer.

    Raises:
        OSError: the address can't be listened on, or the certificate can't be used.

    """
    serving = import_module("voicepipe.transports.websocket_serving")
    certificate = None if tls is None else ServerTls(tls)
    if certificate is not None:
        await certificate.context()
    async with open_listening_sockets(
        host, port, ipv6_only=context.ipv6_only, connections=context.connections
    ) as listening_sockets:
        connections: Connections[Transport] = Connections(
            listening_sockets,
            name=context.name,
            max_connections=context.max_connections,
            on_refused=context.on_refused,
            on_crash=context.on_crash,
        )
        listener: WebSocketListener = serving.WebSocketListener(connections, calls, certificate, ping)
        yield listener


def check_websockets_installed() -> Iterator[Problem]:
    """Yields the libraries that this machine lacks for a WebSocket listener, for `TransportType.check_installed`."""
    for library in ("websockets", "h11"):
        if find_spec(library) is None:
            hint = f"pip install '{DISTRIBUTION}[websocket]'"
            yield Problem(Location(""), "type", f"{library} is not installed", hint)
