"""One request to a worker, and its answer, over a pair of sockets of its own whose other end the worker is handed.

So there is no path, no port and no second access control: the worker serves the socket as it would serve a client's,
and a worker that dies closes it. A pair for each request costs a fifth of a millisecond, which is a small part of any
answer; connections that are kept would have to be one for each client, for a worker decides by the client's address.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

import h11
import trio
from attrs import frozen

from reference_engine.link.link import LinkClosedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable
    from datetime import datetime

READ_BYTES: Final = 1 << 16
"""The most bytes of an answer that are read at once, and thus held for a client that reads slowly."""

_OF_A_HOP: Final = frozenset(
    {b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"expect", b"content-length"}
)
"""Headers of one connection, which are not passed on; those that begin with `proxy-` are not either."""


class AskableWorker(Protocol):
    """A worker, as the gateway needs it."""

    @property
    def number(self) -> int:
        """Its number, which no other living worker has; another may get it after its end."""

    @property
    def key(self) -> Hashable:
        """Another value for each worker that there ever was."""

    @property
    def pid(self) -> int:
        """Its process ID."""

    @property
    def state(self) -> Literal["starting", "ready", "draining"]:
        """`ready`: it takes calls; `draining`: it has only those that are up."""

    @property
    def since(self) -> datetime:
        """The time at which it was started, in UTC."""

    @property
    def load(self) -> int:
        """The connections and calls that it has."""

    async def hand_request(self, door: Door, peer: str, end: socket.socket) -> None:
        """Hands it a connection for its control; the socket stays the caller's to close.

        Args:
            door: the way by which the client came.
            peer: the client's `host:port`; empty for a Unix socket.
            end: the socket.

        Raises:
            LinkClosedError: the worker has ended.

        """


Door = Literal["control", "admin"]
"""The way by which a client came: the Unix socket, whose clients are the owner's, or TCP."""


@frozen
class ClientRequest:
    """A request of a client."""

    door: Door
    """The way by which it came."""
    peer: str
    """The client's `host:port`; empty for a Unix socket."""
    method: str
    """The method."""
    path: str
    """The path, decoded."""
    raw_path: bytes
    """The path as it was sent."""
    query: bytes
    """The query as it was sent, without `?`."""
    headers: Sequence[tuple[bytes, bytes]]
    """The headers, with their names in lower case."""
    body: bytes = b""
    """The body."""

    def header(self, name: str) -> str:
        """Returns the first header of that name; empty without one."""
        return next((value.decode("latin-1") for of, value in self.headers if of == name.encode()), "")


@frozen
class WorkerAnswer:
    """The answer of a worker, read whole."""

    status: int
    """The status."""
    headers: Sequence[tuple[bytes, bytes]]
    """The headers."""
    body: bytes
    """The body."""

    def data(self) -> Any:
        """Returns the JSON of the body."""
        return json.loads(self.body)


class WorkerLostError(Exception):
    """A worker has ended, or closed the connection, before its answer was whole."""

    def __init__(self, worker: AskableWorker) -> None:
        super().__init__(f"worker {worker.number} (process {worker.pid}) ended before it answered")
        self.worker = worker


class Exchange:
    """An answer that is being received."""

    def __init__(self, worker: AskableWorker, stream: trio.SocketStream, http: h11.Connection) -> None:
        self._worker, self._stream, self._http = worker, stream, http
        self.status = 0
        self.headers: Sequence[tuple[bytes, bytes]] = ()

    async def receive_head(self) -> None:
        """Receives the status and the headers.

        Raises:
            WorkerLostError: the worker has ended.

        """
        while not isinstance(head := await self._next_event(), h11.Response):
            pass
        kept = [(name.lower(), value) for name, value in head.headers]
        self.status = head.status_code
        self.headers = [(name, value) for name, value in kept if _goes_on(name) and name != b"date"]
        self.headers += [(name, value) for name, value in kept if name == b"content-length"]

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yields the pieces of the body as they come.

        Raises:
            WorkerLostError: the worker has ended.

        """
        while isinstance(event := await self._next_event(), h11.Data):
            yield bytes(event.data)

    async def _next_event(self) -> Any:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._stream.receive_some(READ_BYTES))
        except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
            raise WorkerLostError(self._worker) from error
        if isinstance(event, h11.ConnectionClosed):
            raise WorkerLostError(self._worker)
        return event


@asynccontextmanager
async def open_exchange(worker: AskableWorker, request: ClientRequest) -> AsyncIterator[Exchange]:
    """Sends a request to a worker, and receives the head of its answer.

    Raises:
        WorkerLostError: the worker has ended.

    """
    ours, theirs = socket.socketpair()
    try:
        ours.setblocking(False)
        async with trio.SocketStream(trio.socket.from_stdlib_socket(ours)) as stream:
            http = h11.Connection(h11.CLIENT)
            try:
                await worker.hand_request(request.door, request.peer, theirs)
                theirs.close()
                await stream.send_all(b"".join(filter(None, map(http.send, _events(request)))))
            except (LinkClosedError, trio.BrokenResourceError) as error:
                raise WorkerLostError(worker) from error
            exchange = Exchange(worker, stream, http)
            await exchange.receive_head()
            yield exchange
    finally:
        theirs.close()


async def ask(worker: AskableWorker, request: ClientRequest) -> WorkerAnswer:
    """Returns the whole answer of a worker.

    Raises:
        WorkerLostError: the worker has ended.

    """
    async with open_exchange(worker, request) as exchange:
        body = bytearray()
        async for chunk in exchange.chunks():
            body += chunk
        return WorkerAnswer(exchange.status, exchange.headers, bytes(body))


def _events(request: ClientRequest) -> list[Any]:
    headers = [(name, value) for name, value in request.headers if _goes_on(name)]
    if not any(name == b"host" for name, _value in headers):  # HTTP/1.0, which no browser speaks
        headers.insert(0, (b"host", b"localhost"))
    headers.append((b"connection", b"close"))
    if request.body or request.method not in {"GET", "HEAD"}:
        headers.append((b"content-length", b"%d" % len(request.body)))
    target = request.raw_path + (b"?" + request.query if request.query else b"")
    head = h11.Request(method=request.method.encode(), target=target, headers=headers)
    return [head, *([h11.Data(data=request.body)] if request.body else []), h11.EndOfMessage()]


def _goes_on(name: bytes) -> bool:
    return name not in _OF_A_HOP and not name.startswith(b"proxy-")
