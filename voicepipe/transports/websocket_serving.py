"""Listening for calls that come over WebSockets, and answering the HTTP requests on the same port.

Theory of operation
===================

A connection is served by one task, in these steps, each of which may be its last:

1. The TLS handshake, if the listener has a certificate, and the request: its head, and its body if it asks for no
   WebSocket. Both together have `REQUEST_S`. A peer that breaks off, stalls or sends garbage is gone then.
2. `WebSocketCalls.authorise`, for every request. Its answer refuses the request; nothing of a call exists yet.
3. A request for no WebSocket gets the answer of `respond`, and the connection is closed.
4. Without room, or while the listener is paused, the request gets 503 with `Retry-After`.
5. The upgrade. From here on the connection counts towards `max_connections`, and belongs to a `CallSocket`, which the
   hub reads: whole messages go to `WebSocketTransport.take_message` synchronously.
6. `WebSocketTransport.answer`, within `START_S`, and the call's handler. When it returns or raises, the transport hangs
   up, and the connection is closed.

Until step 2 nobody knows who is there. At most `UNKNOWN` such connections are kept: with one more, the one that has
been unknown for longest is cut off. A flood of silent connections costs a bounded number of sockets, and does not keep
out a caller, whose request comes with its connection.

A connection that dies is noticed by its FIN or its reset. One that goes silent, because a cable was cut or a machine
stopped, is noticed if the transport wants pings: a peer that is silent for a second gets one, and after another the
call ends. Audio counts as an answer, so a peer that talks is never pinged.

This module imports `websockets` and `h11`; `websocket_listener` imports it when a listener is opened.
"""

from __future__ import annotations

from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote

import trio
from attrs import define, field

from voicepipe.components.requests import CallInfo
from voicepipe.errors import TransportError
from voicepipe.transports.call_socket import CHECK_S, CallSocket
from voicepipe.transports.connections import Connections
from voicepipe.transports.hub import Hub
from voicepipe.transports.protocol import Transport
from voicepipe.transports.tls import ServerTls
from voicepipe.transports.websocket_calls import HttpRequest, HttpResponse, Upgrade, WebSocketCalls
from voicepipe.wire.byte_stream import AcceptedStream, accept_byte_stream
from voicepipe.wire.http_server import BadRequest, HttpConnection, Request
from voicepipe.wire.websocket_server import ServerWebSocket, accept_websocket

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from voicepipe.transports.listener import CallHandler
    from voicepipe.transports.websocket_calls import WebSocketTransport

REQUEST_S: Final = 5.0
"""The time for a TLS handshake and a request, in s."""
START_S: Final = 5.0
"""The time from the upgrade until the other side has said what call it is, in s."""
UNKNOWN: Final = 64
"""The most connections whose request has not been authorised yet."""
MOST_BYTES: Final = 1 << 20
"""The largest message that is accepted, in bytes."""
RETRY_AFTER_S: Final = 1
"""The pause that a refused peer is asked for, in s."""
TRY_AGAIN_LATER: Final = 1013
"""The close code of a call that was refused after its upgrade (IANA's registry of close codes)."""
INTERNAL_ERROR: Final = 1011
"""The close code of a call whose transport could not be made."""
METHODS: Final = frozenset({"GET", "HEAD", "POST"})
"""The methods of requests that are answered."""


@define(eq=False)
class WebSocketListener:
    """An open listening socket; made by `open_websocket_listener`."""

    _connections: Connections[Transport]
    _calls: WebSocketCalls
    """The transport's decisions."""
    _tls: ServerTls | None
    """The certificate, for each connection; None: without TLS."""
    _pings: bool
    """Whether silent peers are pinged."""
    _hub: Hub = field(init=False)
    _unknown: dict[trio.CancelScope, None] = field(init=False, factory=dict)
    """Connections whose request has not been authorised yet, the oldest first."""
    _sockets: set[CallSocket] = field(init=False, factory=set)
    """Connections that were upgraded."""

    @property
    def address(self) -> tuple[str, int]:
        """The host and port that it is bound to; of several addresses, the first."""
        return self._connections.address

    @property
    def is_listening(self) -> bool:
        """Whether a new call would be taken now."""
        return self._connections.is_listening and self._connections.has_room

    @property
    def calls(self) -> int:
        """The number of calls that are up."""
        return len(self._connections.calls)

    async def serve(self, handler: CallHandler) -> None:
        """Runs `handler` for each call; as `Listener.serve`."""
        with closing(Hub()) as self._hub:
            async with trio.open_nursery() as upkeep:
                upkeep.start_soon(self._hub.run)
                if self._pings:
                    upkeep.start_soon(self._check_lives)
                await self._connections.serve(partial(self._prepare, handler))
                upkeep.cancel_scope.cancel()

    def close(self) -> None:
        """Takes no more calls, for good; calls that are up go on."""
        self._connections.close()

    def pause(self) -> None:
        """Refuses new calls with 503 until `resume`; calls that are up go on."""
        self._connections.pause()

    def resume(self) -> None:
        """Takes calls again; no-op if it was not paused, or is closed."""
        self._connections.resume()

    async def _check_lives(self) -> None:
        while True:
            await trio.sleep(CHECK_S)
            for call_socket in tuple(self._sockets):
                call_socket.check_life()

    def _prepare(
        self, handler: CallHandler, connection: socket.socket, peer: str, nursery: trio.Nursery
    ) -> Callable[[], Awaitable[None]]:
        """Takes over a connection; with too many unknown ones, cuts off the oldest."""
        unknown = trio.CancelScope()
        self._unknown[unknown] = None
        if len(self._unknown) > UNKNOWN:
            oldest = next(iter(self._unknown))
            self._forget(oldest)
            oldest.cancel()
        return partial(self._serve_connection, connection, unknown, peer, partial(self._serve_call, handler, nursery))

    def _forget(self, unknown: trio.CancelScope) -> None:
        """Takes a connection off the unknown ones; no-op if it is none of them."""
        self._unknown.pop(unknown, None)

    async def _serve_connection(
        self,
        connection: socket.socket,
        unknown: trio.CancelScope,
        peer: str,
        serve_call: Callable[[AcceptedStream, Request, Upgrade], Awaitable[None]],
    ) -> None:
        stream: AcceptedStream | None = None
        refused: TransportError | None = None
        try:
            admitted: tuple[Request, Upgrade] | None = None
            unknown.deadline = trio.current_time() + REQUEST_S
            with unknown:
                certificate = await self._tls.context() if self._tls is not None else None
                stream = await accept_byte_stream(connection, certificate)
                admitted = await self._admit(HttpConnection(stream), peer, unknown)
            if unknown.cancelled_caught:
                is_late = trio.current_time() >= unknown.deadline
                refused = TransportError(f"no request within {REQUEST_S:g} s" if is_late else _TOO_MANY)
            if admitted is not None and stream is not None:
                await serve_call(stream, *admitted)
        except OSError as error:
            refused = TransportError(f"the connection broke before it was a call: {error.strerror or error}")
        except TransportError as error:
            refused = error
        except Exception as error:  # noqa: BLE001 - the boundary of a call
            self._connections.report_crash(CallInfo(listener=self._connections.name), error)
        finally:
            self._forget(unknown)
            if stream is not None:
                await stream.aclose()
            else:
                connection.close()
            if refused is not None:
                self._connections.report_refused(peer, refused)

    async def _admit(
        self, http: HttpConnection, peer: str, unknown: trio.CancelScope
    ) -> tuple[Request, Upgrade] | None:
        """Receives the request, and answers it unless it may upgrade.

        Raises:
            TransportError: the request was refused.

        """
        try:
            request = await http.receive()
        except BadRequest as error:
            await _answer(http, HttpResponse(error.status, f"{error}\n".encode()))
            raise TransportError(f"the request is not valid: {error}") from error
        if request is None:
            return None
        asked = _described(request, peer)
        refusal = self._calls.authorise(asked)
        if refusal is not None:
            await _answer(http, refusal)
            raise TransportError(f"the request for {_shown(asked)} was refused with {refusal.status}{_reason(refusal)}")
        self._forget(unknown)
        if isinstance(asked, HttpRequest):
            if request.method not in METHODS:
                allow = {"Allow": ", ".join(sorted(METHODS))}
                await _answer(http, HttpResponse(405, f"{request.method} is not supported\n".encode(), headers=allow))
            else:
                await _answer(http, self._calls.respond(asked))
            return None
        if not self._connections.has_room:
            why = self._connections.no_room()
            await _answer(http, HttpResponse(503, f"{why}\n".encode(), headers={"Retry-After": str(RETRY_AFTER_S)}))
            raise why
        return request, asked

    async def _serve_call(
        self, handler: CallHandler, nursery: trio.Nursery, stream: AcceptedStream, request: Request, asked: Upgrade
    ) -> None:
        """Upgrades a connection and conducts its call; raises `TransportError` if that is not possible."""
        self._connections.count()
        counts = True
        try:
            websocket = await accept_websocket(stream, request.head, request.rest, max_size=MOST_BYTES)
            if not isinstance(websocket, ServerWebSocket):
                raise TransportError(f"the WebSocket handshake is not valid: {websocket.body.decode().strip()}")
            call_socket = CallSocket(websocket, stream, self._hub, nursery, asked.peer)
            try:
                transport = self._calls.transport(asked, call_socket)
            except BaseException:
                await call_socket.close(INTERNAL_ERROR)
                raise
            self._sockets.add(call_socket)
            try:
                call_socket.start(transport)
                answer = partial(_answer_call, transport)
                refuse = await self._connections.converse(transport, asked.peer, answer, handler)
                counts = False
                self._connections.discount()
                if refuse:
                    await call_socket.close(TRY_AGAIN_LATER, "the call was refused")
            finally:
                self._sockets.discard(call_socket)
                await self._connections.hang_up(transport)
                await call_socket.aclose()
        finally:
            if counts:
                self._connections.discount()


_TOO_MANY: Final = f"{UNKNOWN} newer connections had not sent a request either"


async def _answer_call(transport: WebSocketTransport) -> bool:
    with trio.move_on_after(START_S):
        return await transport.answer()
    raise TransportError(f"the other side did not say within {START_S:g} s what call it is")


async def _answer(http: HttpConnection, response: HttpResponse) -> None:
    await http.answer(response.status, response.body, response.content_type, response.headers)


def _described(request: Request, peer: str) -> Upgrade | HttpRequest:
    path, _, query = request.target.partition("?")
    upgrade = Upgrade(
        target=request.target,
        path=unquote(path),
        query=dict(parse_qsl(query, keep_blank_values=True)),
        headers=request.headers,
        peer=peer,
    )
    if request.is_upgrade:
        return upgrade
    return HttpRequest(
        target=upgrade.target,
        path=upgrade.path,
        query=upgrade.query,
        headers=upgrade.headers,
        peer=peer,
        method=request.method,
        body=request.body,
    )


def _shown(request: Upgrade) -> str:
    """The path of a request for the log: what follows its first two parts may be a token."""
    parts = request.path.split("/", 3)
    return "/".join(parts[:3]) + ("/..." if len(parts) > 3 else "")


def _reason(response: HttpResponse) -> str:
    """The first line of a refusal's text, for the log."""
    if not response.content_type.startswith("text/plain"):
        return ""
    first = response.body.decode("utf-8", "replace").strip().partition("\n")[0]
    return f": {first[:120]}" if first else ""
