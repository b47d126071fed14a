"""Serves an ASGI application over HTTP/1.1 on trio, with h11 for the protocol.

Theory of operation
===================

`serve_http` accepts connections and runs `serve_connection` for each in a task; a worker runs it for connections that
the supervisor has accepted. `_Connection` couples three things: the byte stream, h11's state machine, and one call of
the application per request:

    bytes -> h11.receive_data -> next_event -> `_receive` -> application
    bytes <- h11.send         <- events     <- `_send_message` <-'

*One request at a time.* `answer` reads a request's head, calls the application, and returns whether the connection can
be used again. h11 decides that: both sides must be DONE. Pipelined requests stay in h11's buffer until their turn.

*No end without a word.* A client that was not told of the end sends its next request over this connection, where nobody
reads it; and it can't know whether a POST was carried out. So an answer that is the last one says `Connection: close`,
and after one that does not, the rest of the request's body is read and dropped. Many requests are answered before their
body was read, or has even arrived: those without a token, or of an unknown path.

*Heads.* The application's head is kept until its first piece of body and sent with it in one segment. A HEAD request
gets the head only. A request that h11 rejects is answered with the status that h11 suggests, and the connection ends.

*Limits.* A client that is slow must not hold resources for ever: `IDLE_S` for a request's head, `SEND_S` for reading an
answer or a piece of one, `MAX_HEAD` bytes, `MAX_CONNECTIONS`. Bodies are limited by the application (`parameters.py`).
An answer may go on for hours, as events for a page do: its application asks `_receive` whether the client is still
there.

*The end of a connection.* Closing a socket with unread input makes the kernel send a reset, which can overtake the last
answer on its way. So `linger` ends only the sending side, and reads for `LINGER_S` what the client still sends.

*Cancellation.* Nothing is shielded from it, so the engine's stop ends every connection at once.

Why not a library's server: hypercorn's trio worker shields the sending of answers, so that a client which does not read
holds up the stop; and `trio.serve_listeners` logs a traceback ten times a second when descriptors run out, where the
caller of `serve_http` is told, and reports it once a minute.
"""

from __future__ import annotations

import logging
import math
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import h11
import trio

from reference_engine.upkeep.shortage import EXHAUSTED, RETRY_S

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, MutableMapping

    from starlette.types import ASGIApp

    from voicepipe import ConnectionSource

IDLE_S = 30.0
"""The time that a client has for the next request's head, in s."""

SEND_S = 30.0
"""The time that a client has to read an answer, in s."""

LINGER_S = 1.0
"""The time for which input is read and dropped after the last answer, in s: a reset could overtake the answer."""

MAX_HEAD = 16 << 10
"""The most bytes of a request's head."""

MAX_CONNECTIONS = 256
"""The most connections at once; further ones are closed."""

MAX_UNREAD = 1 << 16
"""The longest body that is read and dropped, in bytes, for the sake of the next request."""

READ_BYTES = 1 << 16
"""The most bytes that are read at once."""

_log = logging.getLogger("reference_engine.control")


async def serve_http(app: ASGIApp, listening: socket.socket, on_shortage: Callable[[OSError], None]) -> None:
    """Answers requests on a listening socket until it is cancelled; the socket stays the caller's to close.

    Args:
        app: the ASGI application.
        listening: a stream socket; it is made non-blocking.
        on_shortage: called when a connection can't be accepted for lack of descriptors or memory; `accept` is tried
            again after `RETRY_S`.

    """
    accepting = trio.socket.from_stdlib_socket(listening)
    async with trio.open_nursery() as connections:
        while True:
            try:
                accepted, _address = await accepting.accept()
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                on_shortage(error)
                await trio.sleep(RETRY_S)
                continue
            if len(connections.child_tasks) < MAX_CONNECTIONS:
                stream = trio.SocketStream(accepted)
                connections.start_soon(serve_connection, app, stream, client_of(stream))
            else:
                accepted.close()


async def serve_handed_http(app: ASGIApp, source: ConnectionSource, *, has_clients: bool) -> None:
    """Answers requests on connections that another process has accepted, until it is cancelled.

    Args:
        app: the ASGI application.
        source: gives the connections.
        has_clients: whether requests are told the client's address, which the source knows; False: they come from
            the owner of a Unix socket.

    """
    async with trio.open_nursery() as connections:
        while True:
            accepted, client = await source.accept()
            if len(connections.child_tasks) < MAX_CONNECTIONS:
                connections.start_soon(_serve_handed, app, source, accepted, client if has_clients else None)
            else:
                accepted.close()
                source.release(accepted)


async def _serve_handed(
    app: ASGIApp, source: ConnectionSource, accepted: socket.socket, client: tuple[str, int] | None
) -> None:
    try:
        await serve_connection(app, trio.SocketStream(trio.socket.from_stdlib_socket(accepted)), client)
    finally:
        source.release(accepted)


async def serve_connection(app: ASGIApp, stream: trio.SocketStream, client: tuple[str, int] | None) -> None:
    """Serves one connection, from its first request to its end.

    Args:
        app: the ASGI application.
        stream: the connection, which is closed at the end.
        client: the address of the client; None: it came by a Unix socket, whose clients are its owner's.

    """
    async with stream:
        with suppress(trio.BrokenResourceError, trio.TooSlowError, OSError):
            connection = _Connection(app, stream, client)
            while await connection.answer():
                pass
            await connection.linger()


class _Connection:
    """A connection: its stream, h11's state of it, and the request that is being answered."""

    def __init__(self, app: ASGIApp, stream: trio.SocketStream, client: tuple[str, int] | None) -> None:
        self._app, self._stream, self._client = app, stream, client
        self._http = h11.Connection(h11.SERVER, MAX_HEAD)
        self._head: h11.Response | None = None  # the head of the answer, until the first piece of its body
        self._answered = trio.Event()
        self._bodiless = False
        self._length = 0.0
        self._cut = False  # the client has gone or was refused, or an answer could not be sent to its end

    async def answer(self) -> bool:
        """Answers the next request; returns whether another one may follow."""
        try:
            request = await self._next_request()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)
            return False
        if request is None:
            return False
        self._answered, self._bodiless = trio.Event(), request.method == b"HEAD"
        self._length = _length_of(request)
        try:
            await self._app(_scope(request, self._client), self._receive, self._send_message)
        except Exception:  # noqa: BLE001 - the boundary of a request; Starlette has answered 500 already
            if self._cut:
                return False
            _log.exception("%s %s failed", request.method.decode(), request.target.decode("latin-1"))
        if self._http.our_state is h11.DONE:
            await self._drop_body()
        if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
            return False
        self._http.start_next_cycle()
        return True

    async def linger(self) -> None:
        """Ends the sending side, then reads and drops input for `LINGER_S`."""
        await self._stream.send_eof()
        with trio.move_on_after(LINGER_S):
            while await self._stream.receive_some(READ_BYTES):
                pass

    async def _next_request(self) -> h11.Request | None:
        """Returns the head of the next request; None if the client has closed, or sends none within `IDLE_S`."""
        with trio.move_on_after(IDLE_S):
            request = await self._next_event()
            if not isinstance(request, h11.Request):
                return None
            # h11's limit applies only to heads that are incomplete
            if len(request.target) + sum(len(name) + len(value) for name, value in request.headers) > MAX_HEAD:
                raise h11.RemoteProtocolError("the head is too long", HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            return request
        return None

    async def _next_event(self) -> Any:
        while (event := self._http.next_event()) is h11.NEED_DATA:
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=HTTPStatus.CONTINUE, headers=[]))
            self._http.receive_data(await self._read())
        return event

    async def _read(self) -> bytes:
        try:
            return await self._stream.receive_some(READ_BYTES)
        except trio.BrokenResourceError:
            self._cut = True
            raise

    def _can_drop_body(self) -> bool:
        """Whether what was not read yet of the request's body, if anything, is little and sure to come."""
        if self._http.their_state is not h11.SEND_BODY:
            return True
        # A client that waits to be asked for its body need not send it once it has its answer.
        return self._length <= MAX_UNREAD and not self._http.they_are_waiting_for_100_continue

    async def _drop_body(self) -> None:
        """Reads what the application has not read of a request's body, for at most `IDLE_S`."""
        with suppress(h11.RemoteProtocolError), trio.move_on_after(IDLE_S):
            while self._http.their_state is h11.SEND_BODY:
                await self._next_event()

    async def _receive(self) -> MutableMapping[str, Any]:
        """ASGI's `receive`: returns the body in pieces; after it, waits for the answer and returns a disconnect."""
        event: Any = None
        try:
            if self._http.their_state is h11.SEND_BODY:
                event = await self._next_event()
        except h11.RemoteProtocolError as error:
            await self._refuse(error.error_status_hint)
            self._cut = True
            return {"type": "http.disconnect"}
        match event:
            case h11.Data():
                return {"type": "http.request", "body": bytes(event.data), "more_body": True}
            case h11.EndOfMessage():
                return {"type": "http.request", "body": b"", "more_body": False}
            case _:
                await self._until_gone()
                return {"type": "http.disconnect"}

    async def _until_gone(self) -> None:
        """Returns when the request was answered, or its client has closed; what it sends meanwhile is kept for later.

        Only an application that answers for long asks for this. It takes the end of what the client sends for the end
        of the client.
        """
        async with trio.open_nursery() as nursery:

            async def answered() -> None:
                await self._answered.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(answered)
            kept = 0
            with suppress(trio.BrokenResourceError):
                while kept < MAX_HEAD and (data := await self._read()):
                    self._http.receive_data(data)
                    kept += len(data)
            if kept < MAX_HEAD:
                nursery.cancel_scope.cancel()

    async def _send_message(self, message: MutableMapping[str, Any]) -> None:
        """ASGI's `send`: keeps the head, and sends it with the first piece of the body."""
        if self._cut:
            return
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"date", formatdate(usegmt=True).encode())]
            if message["status"] == HTTPStatus.REQUEST_TIMEOUT or not self._can_drop_body():
                headers.append((b"connection", b"close"))
            self._head = h11.Response(status_code=message["status"], headers=headers)
        elif message["type"] == "http.response.body":
            events: list[Any] = [self._head] if self._head else []
            self._head = None
            if message.get("body") and not self._bodiless:
                events.append(h11.Data(data=message["body"]))
            if not message.get("more_body"):
                events.append(h11.EndOfMessage())
            await self._send(*events)
            if not message.get("more_body"):
                self._answered.set()

    async def _refuse(self, status: int) -> None:
        """Answers bytes that are not a valid request, or the body of one."""
        if self._http.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            head = h11.Response(status_code=status, headers=[("content-length", "0"), ("connection", "close")])
            await self._send(head, h11.EndOfMessage())

    async def _send(self, *events: Any) -> None:
        data = b"".join(filter(None, map(self._http.send, events)))
        try:
            with trio.fail_after(SEND_S):
                await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.TooSlowError):
            self._cut = True
            raise


def client_of(stream: trio.SocketStream) -> tuple[str, int] | None:
    """Returns the address of a client on TCP; None on a Unix socket, whose clients are its owner's."""
    if stream.socket.family == trio.socket.AF_UNIX:
        return None
    with suppress(OSError):
        host, port, *_ = stream.socket.getpeername()
        return host, port
    return "", 0


def _length_of(request: h11.Request) -> float:
    """Returns the length of the body of a request, in bytes; infinite if it comes in chunks."""
    headers = dict(request.headers)
    return math.inf if b"transfer-encoding" in headers else int(headers.get(b"content-length", 0))


def _scope(request: h11.Request, client: tuple[str, int] | None) -> dict[str, Any]:
    """Returns the ASGI scope of a request."""
    path, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": request.http_version.decode(),
        "method": request.method.decode().upper(),
        "scheme": "http",
        "path": unquote(path.decode("latin-1"), errors="surrogateescape"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers],
        "client": client,
        "server": None,
    }
