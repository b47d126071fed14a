"""Listening for Asterisk's chan_websocket connections, each of which is a call."""

from __future__ import annotations

import base64
import binascii
import hmac
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from attrs import Attribute, field, frozen
from attrs.validators import min_len, optional

from voicepipe.components.values import Secret
from voicepipe.errors import Location, Problem
from voicepipe.transports.asterisk_websocket.caller_details import DetailNames, UseQuery
from voicepipe.transports.asterisk_websocket.transport import AsteriskWebSocketTransport
from voicepipe.transports.bind_options import host_field, is_loopback, port_field
from voicepipe.transports.listener import ListenerContext, TransportType
from voicepipe.transports.tls import TlsFiles, check_tls
from voicepipe.transports.websocket_calls import HttpRequest, HttpResponse, Upgrade
from voicepipe.transports.websocket_listener import check_websockets_installed, open_websocket_listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from voicepipe.transports.call_socket import CallSocket
    from voicepipe.transports.websocket_serving import WebSocketListener

__all__ = ["AsteriskWebSocketOptions", "asterisk_websocket", "open_asterisk_websocket_listener"]

_PARAMETER: Final = "token"
_REALM: Final = {"WWW-Authenticate": 'Basic realm="voicepipe"'}


def _is_path(_instance: Any, _field: Attribute[str], path: str) -> None:
    if path and (not path.startswith("/") or "?" in path or "#" in path):
        raise ValueError("must begin with / and have no query, as in uri = ws://engine:9094/media")


@frozen(kw_only=True)
class AsteriskWebSocketOptions:
    """Asterisk's `chan_websocket`: calls by `Dial(WebSocket/...)`, and external media of ARI over a WebSocket."""

    host: str = host_field()
    """The address to bind to. An address beyond this machine needs a `password` or a `token`."""
    port: int = port_field(9094)
    """Port to bind to; 0 takes a free one, which `engine.ready` tells."""
    tls: TlsFiles | None = None
    """The certificate for `wss://`; null: connections are not encrypted."""
    path: str = field(default="", validator=_is_path)
    """The only path that is answered, as in the `uri` of websocket_client.conf: `/media`. Empty: any."""
    username: str = ""
    """The `username` of websocket_client.conf, together with `password`."""
    password: Secret | None = field(default=None, validator=optional(min_len(8)))
    """The `password` of websocket_client.conf. Null: connections need none."""
    token: Secret | None = field(default=None, validator=optional(min_len(16)))
    """A token instead of a password, for `uri = ws://engine:9094/media?token=...`."""
    caller: tuple[str, ...] = DetailNames().caller
    """The variables that may have the caller's number; the first that is there counts."""
    called: tuple[str, ...] = DetailNames().called
    """The variables that may have the number that was dialled."""
    call: tuple[str, ...] = DetailNames().call
    """The variables that may have the dialplan's ID of the call, for `GET /calls/ID`; without one, the WebSocket
    channel's own ID."""
    query: UseQuery = "auto"
    """When parameters of the URL's query become variables. `auto`: in calls whose channel has no variable of `caller`,
    `called` or `call`, for Asterisk may repeat the query of an earlier call. `always`: those that are not among the
    channel's variables. `never`: not at all."""

    @property
    def names(self) -> DetailNames:
        """Where the call's numbers are."""
        return DetailNames(self.caller, self.called, self.call, self.query)


@frozen
class _AsteriskCalls:
    """What is decided about a request: who may connect, and which transport it gets."""

    options: AsteriskWebSocketOptions
    listener: str

    def authorise(self, request: Upgrade | HttpRequest) -> HttpResponse | None:
        """Refuses other paths and what has neither the password nor the token."""
        options = self.options
        # All of it is compared, whatever differs: the time of the answer tells nothing.
        allowed = options.password is None and options.token is None
        if options.password is not None:
            given = _basic(request.headers.get("authorization", ""))
            allowed |= _is_same(given, f"{options.username}:{options.password}")
        if options.token is not None:
            allowed |= _is_same(request.query.get(_PARAMETER, ""), options.token)
        if not allowed:
            return HttpResponse(401, b"wrong username, password or token\n", headers=_REALM)
        if options.path and request.path.rstrip("/") != options.path.rstrip("/"):
            return HttpResponse(404, f"{options.path} is the only path here\n".encode())
        return None

    def respond(self, request: HttpRequest) -> HttpResponse:  # noqa: ARG002 - there is nothing to be had
        """Says that this is no website."""
        return HttpResponse(426, b"Asterisk connects here, by Dial(WebSocket/...)\n", headers={"Upgrade": "websocket"})

    def transport(self, request: Upgrade, socket: CallSocket) -> AsteriskWebSocketTransport:
        """Makes the transport of a connection."""
        query = {name: value for name, value in request.query.items() if name != _PARAMETER}
        return AsteriskWebSocketTransport(
            socket, listener=self.listener, query=query, names=self.options.names, trace=request.trace
        )


def _basic(authorization: str) -> str:
    """The `username:password` of a header `Authorization: Basic ...`; empty if it is none."""
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _is_same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), str(expected).encode())


@asynccontextmanager
async def open_asterisk_websocket_listener(
    options: AsteriskWebSocketOptions, context: ListenerContext
) -> AsyncIterator[WebSocketListener]:
    """Opens a listener that is bound but does not `serve` yet, and closes it on exit.

    Raises:
        OSError: the address can't be listened on.

    """
    calls = _AsteriskCalls(options, context.name)
    async with open_websocket_listener(
        options.host, options.port, calls, context, tls=options.tls, ping=True
    ) as listener:
        yield listener


def _check(options: AsteriskWebSocketOptions) -> Iterator[Problem]:
    yield from check_tls(options.tls)
    if options.username and options.password is None:
        hint = "add password: ${ASTERISK_PASSWORD}, or leave out username"
        yield Problem(Location(""), "username", "is given without a password, so nobody is asked for either", hint)
    if options.password is not None and not options.username:
        hint = "add the username that websocket_client.conf has"
        yield Problem(Location(""), "password", "is given without a username", hint)
    if options.password is None and options.token is None and not is_loopback(options.host):
        hint = "set username and password as in websocket_client.conf, or a token"
        yield Problem(
            Location(""), "host", f"{options.host} can be reached by others, so calls need a password or a token", hint
        )
    if ":" in options.username:
        hint = "Basic authentication separates the two by a colon"
        yield Problem(Location(""), "username", "must not have a colon", hint)


asterisk_websocket: Final = TransportType(
    name="asterisk_websocket",
    options=AsteriskWebSocketOptions,
    open=open_asterisk_websocket_listener,
    check=_check,
    check_installed=check_websockets_installed,
    takes_connections=True,
)
"""Asterisk's `Dial(WebSocket/...)`, and its external media over a WebSocket."""
