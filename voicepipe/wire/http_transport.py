"""HTTP/1.1 on byte streams for `httpx.AsyncClient`, with bodies that can be read by `receive` itself.

    transport = HttpTransport(tls_context(), most_requests=1000, most_idle=100, keep_alive_s=50)
    client = httpx.AsyncClient(transport=transport, ...)
    answer = await client.send(request, stream=True)
    body = answer.extensions["body"]
    while (data := await body.read(timeout_s)) is not None: ...

This module imports httpx and h11, so an adapter loads it with `import_module` when it opens.

httpx's own transport, httpcore, hands a body through six asynchronous generators. A cancelled read ends them all, so
that an adapter needs a task and a queue to give its stream a `receive` that can be cancelled, and each piece of a reply
wakes two tasks. It makes two scopes and three context managers a piece besides, and looks for an idle connection by
comparing each connection with all others. Here a body is an object with a `read` that can be cancelled and called
again, and idle connections are a stack: the warmest is used first, the others are closed when their time is over.

Redirects, cookies, credentials and URLs are httpx's, the protocol is h11's. Exceptions are httpx's, with the messages
that its own transport gives them.
"""

from __future__ import annotations

from collections import deque
from math import inf
from typing import TYPE_CHECKING

import h11
import httpx
import trio

from voicepipe.wire.byte_stream import open_byte_stream

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

    from voicepipe.wire.byte_stream import ByteStream

WRITE_SIZE = 65536
"""How much is handed to a connection before it is waited for, in bytes: a stream keeps no more than 1 MiB."""

MOST_HEAD = 100 * 1024
"""The most bytes of a response's head, as httpcore has it."""


class HttpTransport(httpx.AsyncBaseTransport):
    """The connections of one client.

    Args:
        tls: for addresses with https.
        most_requests: how many requests may be under way at once; more wait for their turn.
        most_idle: how many connections are kept that nobody uses.
        keep_alive_s: how long a connection that nobody uses is kept, in s.

    """

    def __init__(self, tls: ssl.SSLContext, *, most_requests: int, most_idle: int, keep_alive_s: float) -> None:
        self._tls, self._most_idle, self._keep_alive_s = tls, most_idle, keep_alive_s
        self._turns = trio.Semaphore(most_requests)
        self._idle: deque[_Idle] = deque()  # the last that was used is the last

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Sends a request, and returns its response when the head has come.

        Raises:
            httpx.TransportError: it could not be sent, or was not answered.

        """
        timeouts: Mapping[str, float | None] = request.extensions.get("timeout", {})
        await self._take_turn(timeouts.get("pool"))
        exchange = None
        try:
            await self._close_old()
            origin = _origin_of(request.url)
            stream = await self._kept(origin) or await self._connect(*origin, timeouts.get("connect"))
            exchange = HttpExchange(self, origin, stream, timeouts.get("read"))
            await exchange.send(request, timeouts.get("write"))
            return await exchange.read_head()
        except BaseException:
            if exchange is None:
                self._turns.release()
            else:
                await exchange.aclose()
            raise

    async def aclose(self) -> None:
        """Closes the idle connections."""
        while self._idle:
            await _close(self._idle.pop().stream)

    async def release(self, origin: _Origin, stream: ByteStream | None) -> None:
        """Ends a request; its connection is kept, unless it is None."""
        self._turns.release()
        if stream is not None:
            self._idle.append(_Idle(origin, stream, trio.current_time() + self._keep_alive_s))
            await self._close_old()

    async def _take_turn(self, timeout_s: float | None) -> None:
        try:
            self._turns.acquire_nowait()
        except trio.WouldBlock:
            try:
                with trio.fail_after(inf if timeout_s is None else timeout_s):
                    await self._turns.acquire()
            except trio.TooSlowError as error:
                raise httpx.PoolTimeout("") from error

    async def _close_old(self) -> None:
        """Closes connections whose time is over, and those that are too many: the oldest are the first."""
        idle, now = self._idle, trio.current_time()
        while idle and (len(idle) > self._most_idle or idle[0].until <= now):
            await _close(idle.popleft().stream)

    async def _kept(self, origin: _Origin) -> ByteStream | None:
        """The idle connection that was used last, of those that the server has not closed."""
        for kept in reversed(list(self._idle)):
            if kept.origin == origin and kept in self._idle:
                self._idle.remove(kept)
                if _is_open(kept.stream):
                    return kept.stream
                await _close(kept.stream)
        return None

    async def _connect(self, scheme: str, host: str, port: int, timeout_s: float | None) -> ByteStream:
        try:
            with trio.fail_after(inf if timeout_s is None else timeout_s):
                return await open_byte_stream(host, port, self._tls if scheme == "https" else None)
        except trio.TooSlowError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, trio.BrokenResourceError) as error:  # the latter is of streams in memory
            raise httpx.ConnectError(str(error)) from error


_Origin = tuple[str, str, int]


class _Idle:
    """A connection that is kept."""

    __slots__ = ("origin", "stream", "until")

    def __init__(self, origin: _Origin, stream: ByteStream, until: float) -> None:
        self.origin, self.stream, self.until = origin, stream, until


def _origin_of(url: httpx.URL) -> _Origin:
    if url.scheme not in {"http", "https"}:
        raise httpx.UnsupportedProtocol(f"Request URL has an unsupported protocol '{url.scheme}://'.")
    return url.scheme, url.raw_host.decode("ascii"), url.port or (443 if url.scheme == "https" else 80)


async def _close(stream: ByteStream) -> None:
    """Closes a connection at once; nothing that is done beside it is lost by a cancellation."""
    with trio.CancelScope(shield=True):
        await stream.aclose()


def _is_open(stream: ByteStream) -> bool:
    """Whether the server has not closed an idle connection, nor sent what nobody asked for."""
    try:
        return stream.read_nowait() is None
    except OSError:
        return False


class HttpExchange(httpx.AsyncByteStream):
    """A request under way on a connection of its own; the body of its response.

    Args:
        transport: gets the connection back when the body has been read to its end.
        origin: of the connection.
        stream: the connection.
        timeout_s: how long the next bytes of the response may take, in s; None: for ever.

    """

    def __init__(self, transport: HttpTransport, origin: _Origin, stream: ByteStream, timeout_s: float | None) -> None:
        self._transport, self._origin, self._stream = transport, origin, stream
        self._timeout_s = inf if timeout_s is None else timeout_s
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MOST_HEAD)
        self._over = False
        self._failure: httpx.RemoteProtocolError | None = None

    async def send(self, request: httpx.Request, timeout_s: float | None) -> None:
        """Sends the request, its body included."""
        try:
            head = h11.Request(
                method=request.method.encode("ascii"), target=request.url.raw_path, headers=request.headers.raw
            )
            whole = h11.Data(data=b"".join([data async for data in request.stream]))  # type: ignore[union-attr]
            parts = [self._protocol.send(event) or b"" for event in (head, whole, h11.EndOfMessage())]
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        try:
            with trio.fail_after(inf if timeout_s is None else timeout_s):
                message = b"".join(parts)
                for at in range(0, len(message), WRITE_SIZE):
                    self._stream.write_nowait(message[at : at + WRITE_SIZE])
                    await self._stream.flush()
        except trio.TooSlowError as error:
            raise httpx.WriteTimeout(str(error)) from error
        except OSError:
            pass  # the server may have refused the request before it had read all of it: its answer tells

    async def read_head(self) -> httpx.Response:
        """The response, without its body."""
        while True:
            event = self._next_event()
            if event is h11.NEED_DATA:
                await self._receive(self._timeout_s)
            elif isinstance(event, h11.Response):
                extensions = {"http_version": b"HTTP/" + event.http_version, "reason_phrase": event.reason}
                return httpx.Response(
                    event.status_code,
                    headers=event.headers.raw_items(),
                    stream=self,
                    extensions={**extensions, "body": self},
                )

    async def read(self, timeout_s: float | None = None) -> bytes | None:
        """The next bytes of the body, all that have come; None at its end. A cancelled `read` loses nothing.

        Args:
            timeout_s: how long they may take, in s; None: as long as the request said.

        Raises:
            httpx.TransportError: they did not come, or are no HTTP; `ReadTimeout` may be followed by another `read`.

        """
        if self._failure is not None:
            raise self._failure
        parts: list[bytes] = []
        while not self._over:
            try:
                event = self._next_event()
            except httpx.RemoteProtocolError as error:
                if not parts:
                    raise
                self._failure = error
                break
            if event is h11.NEED_DATA:
                if parts:
                    break
                await self._receive(self._timeout_s if timeout_s is None else timeout_s)
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                await self._end()
        return b"".join(parts) if parts else None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (data := await self.read()) is not None:
            yield data

    async def aclose(self) -> None:
        """Closes the connection, unless the body was read to its end."""
        if not self._over:
            self._over = True
            await self._transport.release(self._origin, None)
            await _close(self._stream)

    def _next_event(self) -> object:
        try:
            return self._protocol.next_event()
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error

    async def _receive(self, timeout_s: float) -> None:
        try:
            with trio.fail_after(timeout_s):
                data = await self._stream.read()
        except trio.TooSlowError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error
        if not data and self._protocol.their_state is h11.SEND_RESPONSE:
            raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
        self._protocol.receive_data(data)

    async def _end(self) -> None:
        """Gives the connection back, if the server keeps it open."""
        protocol = self._protocol
        again = protocol.our_state is h11.DONE and protocol.their_state is h11.DONE and not protocol.trailing_data[0]
        self._over = True
        await self._transport.release(self._origin, self._stream if again else None)
        if not again:
            await _close(self._stream)
