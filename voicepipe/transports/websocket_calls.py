"""The contract of transports on a WebSocket: what `open_websocket_listener` needs of one, and what it gives. No I/O.

The listener accepts connections, reads requests, and upgrades those that `authorise` lets through. Each upgraded
connection is a `CallSocket`, over which one `WebSocketTransport` sends and receives whole messages.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Protocol

from attrs import field, frozen

from voicepipe.components.trace_context import TraceContext
from voicepipe.transports.call_socket import CallSocket, MessageSink
from voicepipe.transports.protocol import Transport


@frozen(kw_only=True)
class Upgrade:
    """A request for a WebSocket."""

    target: str
    """The path and the query as they came: `/media/4711?caller=%2B15551234`."""
    path: str
    """The path, decoded: `/media/4711`."""
    query: Mapping[str, str]
    """The parameters of the query, decoded; of a repeated one, the last."""
    headers: Mapping[str, str] = field(repr=False)
    """The headers, their names in lower case; a repeated one is joined by `, `."""
    peer: str
    """The `host:port` that it came from."""

    @property
    def trace(self) -> TraceContext | None:
        """The span that the call is made for, from the headers `traceparent` and `tracestate`, for `CallInfo.trace`."""
        return TraceContext.of_headers(self.headers)


@frozen(kw_only=True)
class HttpRequest(Upgrade):
    """A request for anything else, such as a page, or a document that tells a carrier where to connect."""

    method: str
    """`GET`, `HEAD` or `POST`; the listener answers all others with 405."""
    body: bytes = field(default=b"", repr=False)
    """The body, at most 64 KiB."""


@frozen
class HttpResponse:
    """The answer to a request."""

    status: int
    """The status code: 200."""
    body: bytes = field(default=b"", repr=False)
    """The body; it is left out of the answer to HEAD."""
    content_type: str = "text/plain; charset=utf-8"
    """The header `Content-Type`."""
    headers: Mapping[str, str] = field(factory=dict)
    """Further headers."""


class WebSocketTransport(Transport, MessageSink, Protocol):
    """The transport of a call on one `CallSocket`.

    `answer` is called once; then, if it returned True, the call's handler, which calls `run`; `hang_up` in any case.
    Messages come from the time the transport was made. `Delivery` keeps what they bring until `run`.
    """

    async def answer(self) -> bool:
        """Waits until the other side has said what call it is; False if it closed without becoming one.

        The listener cancels it when it takes too long, and refuses the connection.

        Raises:
            TransportError: the other side is none that this transport knows, or its audio can't be used.

        """


class WebSocketCalls(Protocol):
    """A transport's decisions about the requests that a listener gets."""

    def authorise(self, request: Upgrade | HttpRequest) -> HttpResponse | None:
        """Returns None if the request may proceed, or the answer that refuses it.

        It is called for every request, before anything else. Secrets are compared in constant time.
        """

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Answers a request that is not for a WebSocket."""

    def transport(self, request: Upgrade, socket: CallSocket) -> WebSocketTransport:
        """Makes the transport of a connection that was upgraded."""


@frozen
class BearerCalls:
    """The `WebSocketCalls` of a transport whose callers send a token, and which has nothing to serve but calls."""

    token: str | None = field(repr=False)
    """The token that requests must have, as `Authorization: Bearer ...`; None: none."""
    make: Callable[[Upgrade, CallSocket], WebSocketTransport]
    """Makes the transport of a connection."""

    def authorise(self, request: Upgrade | HttpRequest) -> HttpResponse | None:
        """Refuses a request without the token."""
        given, wanted = request.headers.get("authorization", ""), f"Bearer {self.token}"
        if self.token is None or hmac.compare_digest(given.encode(), wanted.encode()):
            return None
        return HttpResponse(401, b"wrong token\n", headers={"WWW-Authenticate": "Bearer"})

    def respond(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - there is nothing to be had
        """Answers 404."""
        return HttpResponse(404, b"calls come here, by WebSocket\n")

    def transport(self, request: Upgrade, socket: CallSocket) -> WebSocketTransport:
        """Makes the transport of a connection."""
        return self.make(request, socket)
