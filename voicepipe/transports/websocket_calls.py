"""The contract of transports on a WebSocket: what `open_websocket_listener` needs of one, and what it gives. No I/O.

The listener accepts connections, reads requests, and upgrades those that `authorise` lets through. Each upgraded
connection is a `CallSocket`, over which one `WebSocketTransport` sends and receives whole messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from attrs import field, frozen

from voicepipe.transports.call_socket import MessageSink
from voicepipe.transports.protocol import Transport

if TYPE_CHECKING:
    from voicepipe.transports.call_socket import CallSocket


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
