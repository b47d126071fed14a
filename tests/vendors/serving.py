"""A vendor's server as the tests need it: HTTP/1.1 and WebSocket over any trio stream, misbehaving when told to.

A vendor's server is a `VendorServer` whose `answer` speaks the vendor's HTTP and whose `converse` its WebSocket.
It runs on real TCP (`open_vendor`) or on a network in memory (`open_memory_network`) that every client on trio
uses without knowing, so that a whole call with its provider runs on the autojump clock.

What goes wrong is a `Fault`, and is done here, below the vendor's format: handlers don't know of it.
"""

from __future__ import annotations

import errno
import json
import os
from collections import deque
from collections.abc import Mapping
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import h11
import trio
import trio.testing
from attrs import define, field, frozen
from websockets.frames import Opcode
from websockets.server import ServerProtocol

BEFORE_HEAD = -1
"""`Fault.after` for what happens before a single byte is answered."""


@frozen
class Fault:
    """How a server goes wrong in one exchange: an HTTP request, or a WebSocket with all its messages."""

    kind: Literal["refuse", "status", "stall", "close", "reset", "half_close", "rubbish", "empty", "drip"]
    """`refuse`: no connection is taken. `status`: `status` with `headers` and `body` instead of an answer. `stall`:
    nothing more comes, the connection stays. `close`, `reset`, `half_close`: the connection ends, in good order below
    the protocol, with a reset, or for one direction only. `rubbish`: bytes that mean nothing instead of the next
    message, then the end. `empty`: success, but no message. `drip`: everything comes, a byte at a time."""
    after: int = BEFORE_HEAD
    """How many messages (pieces of an HTTP body, or WebSocket messages) still come properly; `BEFORE_HEAD`: not even
    the answer's head, or the handshake."""
    status: int = 500
    """For `status`."""
    headers: Mapping[str, str] = field(factory=dict)
    """For `status`: `{"retry-after": "2"}`."""
    body: Any = b""
    """For `status`: bytes, text, or something for JSON."""
    pause_s: float = 0.0
    """For `drip`: between two bytes."""


def patience_s(fault: Fault | None) -> float:
    """How long a client of a server with that fault should wait: briefly where nothing comes, else for any machine.

    Where the fault is told, and nothing is to be waited for, it is long enough for the kit to see that one waits.
    """
    return {"stall": 0.4, "half_close": 1.0, "empty": 1.0}.get(fault.kind, 60.0) if fault is not None else 60.0


@frozen
class Request:
    """What a client asked for."""

    method: str
    path: str
    """Without the query."""
    query: tuple[tuple[str, str], ...]
    """As it came, in order, decoded."""
    headers: Mapping[str, str]
    """By lower-case name."""
    body: bytes = field(default=b"", repr=False)

    @property
    def json(self) -> Any:
        """The body, from JSON."""
        return json.loads(self.body)


class _Cut(Exception):  # noqa: N818 - not an error: the exchange is to end here
    """The fault has happened: nothing more of this exchange is sent."""


@define
class _Wire:
    """One connection's way out, with its fault of the moment."""

    stream: Any
    fault: Fault | None = None
    sent: int = 0
    lock: trio.Lock = field(factory=trio.Lock)
    reading: trio.Lock = field(factory=trio.Lock)

    async def read(self) -> bytes:
        """What comes next; while a fault forgets what comes, nothing does."""
        async with self.reading:
            return await self.stream.receive_some()

    async def write(self, data: bytes) -> None:
        async with self.lock:
            await self._write(data)

    async def _write(self, data: bytes) -> None:
        if self.fault is not None and self.fault.kind == "drip":
            for byte in data:
                await self.stream.send_all(bytes([byte]))
                await trio.sleep(self.fault.pause_s)
        elif data:
            await self.stream.send_all(data)

    async def before_head(self) -> None:
        if (
            self.fault is not None
            and self.fault.after == BEFORE_HEAD
            and self.fault.kind not in {"status", "empty", "drip"}
        ):
            await self.go_wrong()

    async def before_message(self) -> bool:
        """Whether the next message is to be sent; goes wrong instead when it is time to."""
        fault = self.fault
        if fault is not None and fault.kind not in {"drip", "status"} and self.sent >= max(0, fault.after):
            if fault.kind == "empty":
                return False
            await self.go_wrong()
        self.sent += 1
        return True

    async def go_wrong(self) -> None:
        fault = self.fault
        assert fault is not None
        # Another task of the conversation may be in the middle of sending, or of receiving.
        async with self.lock:
            if fault.kind == "rubbish":
                await self.stream.send_all(Random(5).randbytes(200))
            if fault.kind == "half_close":
                await self.stream.send_eof()
            if fault.kind == "reset":
                await _reset(self.stream)
        if fault.kind in {"stall", "half_close"}:
            await self._until_gone()
        raise _Cut

    async def _until_gone(self) -> None:
        """Takes and forgets what the client sends, until it goes away."""
        async with self.reading:
            while await self.stream.receive_some():
                pass


async def _reset(stream: Any) -> None:
    if type(stream) is MemoryStream:
        stream.reset()
        return
    stream.setsockopt(*_LINGER_NOT)
    await trio.aclose_forcefully(stream)


class Response:
    """The answer to one HTTP request, sent in pieces; each piece is a message that a fault may count."""

    def __init__(self, wire: _Wire, connection: h11.Connection) -> None:
        self._wire, self._connection = wire, connection
        self.started = False

    async def start(self, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """Sends the head; without a content-length the body is chunked."""
        await self._wire.before_head()
        self.started = True
        fields = [(name.encode(), str(value).encode()) for name, value in (headers or {}).items()]
        await self._wire.write(self._connection.send(h11.Response(status_code=status, headers=fields)))

    async def send(self, data: bytes | str) -> None:
        """Sends the next piece of the body."""
        if await self._wire.before_message():
            data = data.encode() if isinstance(data, str) else data
            await self._wire.write(self._connection.send(h11.Data(data=data)))

    async def finish(self) -> None:
        """Ends the answer properly."""
        await self._wire.write(self._connection.send(h11.EndOfMessage()))

    async def json(self, value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        """The whole answer at once: JSON."""
        await self.start(status, {"content-type": "application/json", **(headers or {})})
        await self.send(json.dumps(value))


class Socket:
    """A WebSocket's server side."""

    def __init__(self, wire: _Wire, protocol: ServerProtocol) -> None:
        self._wire, self._protocol = wire, protocol
        self._messages: deque[str | bytes] = deque()
        self._over = False

    async def send(self, message: str | bytes | Mapping[str, Any]) -> None:
        """Sends a message: text, bytes, or something for JSON."""
        if not await self._wire.before_message():
            return
        if isinstance(message, bytes):
            self._protocol.send_binary(message)
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            self._protocol.send_text(text.encode())
        await self._flush()

    async def receive(self) -> str | bytes | None:
        """The client's next message; None when it has closed or gone."""
        while not self._messages:
            if self._over:
                return None
            data = await self._wire.read()
            if data:
                self._protocol.receive_data(data)
            else:
                self._protocol.receive_eof()
            frames = self._protocol.events_received()
            await self._flush()
            for frame in frames:
                if frame.opcode is Opcode.TEXT:
                    self._messages.append(bytes(frame.data).decode())
                elif frame.opcode is Opcode.BINARY:
                    self._messages.append(bytes(frame.data))
                elif frame.opcode is Opcode.CLOSE:
                    self._over = True
                else:
                    assert frame.opcode in {Opcode.PING, Opcode.PONG}
            if not data:
                self._over = True
        return self._messages.popleft()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Ends the conversation in the WebSocket's own way."""
        if self._protocol.state.name == "OPEN":
            self._protocol.send_close(code, reason)
            await self._flush()

    async def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                await self._wire.write(data)


class VendorServer:
    """A vendor's service. A subclass answers; faults come from `faults`, one for each exchange, else from `fault`."""

    def __init__(self) -> None:
        self.faults: deque[Fault | None] = deque()
        """For the next exchanges, one each; None: that one goes well."""
        self.fault: Fault | None = None
        """For all exchanges when `faults` is empty."""
        self.requests: list[Request] = []
        """What was asked, WebSocket handshakes included."""
        self.connections = 0
        """How many there were."""
        self.open = 0
        """How many there are."""

    async def answer(self, request: Request, response: Response) -> None:
        """Answers an HTTP request."""
        await response.json({"error": "not found"}, 404)

    async def greet(self, request: Request) -> tuple[int, Mapping[str, str], bytes] | Mapping[str, str]:
        """What a WebSocket handshake gets: headers to accept it with, or (status, headers, body) to refuse it."""
        return {}

    async def converse(self, request: Request, socket: Socket) -> None:
        """Talks over a WebSocket until it returns, which closes it properly."""

    def refuses(self) -> bool:
        """Whether the next connection is refused."""
        fault = self.faults[0] if self.faults else self.fault
        if fault is None or fault.kind != "refuse":
            return False
        if self.faults:
            self.faults.popleft()
        return True

    async def serve(self, stream: Any) -> None:
        """Serves one connection until it ends."""
        self.connections += 1
        self.open += 1
        try:
            async with stream:
                if type(stream) is not MemoryStream and self.refuses():
                    await _reset(stream)
                    return
                await self._serve(_Wire(stream))
        except* (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError, _Cut):
            pass  # the client went away, or the fault had it so
        finally:
            self.open -= 1

    async def _serve(self, wire: _Wire) -> None:
        connection = h11.Connection(h11.SERVER)
        while True:
            asked = await _next_request(wire.stream, connection)
            if asked is None:
                return
            request, raw = asked
            self.requests.append(request)
            wire.fault, wire.sent = self.faults.popleft() if self.faults else self.fault, 0
            if request.headers.get("upgrade", "").lower() == "websocket":
                await self._serve_socket(wire, request, raw)
                return
            response = Response(wire, connection)
            if wire.fault is not None and wire.fault.kind == "status":
                await _answer_status(response, wire.fault)
            else:
                await self.answer(request, response)
            await response.finish()
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()

    async def _serve_socket(self, wire: _Wire, request: Request, raw: bytes) -> None:
        protocol = ServerProtocol(max_size=None)
        protocol.receive_data(raw)
        (handshake,) = protocol.events_received()
        accepted = await self.greet(request)
        if wire.fault is not None and wire.fault.kind == "status":
            accepted = wire.fault.status, wire.fault.headers, _body(wire.fault.body)
        await wire.before_head()
        if isinstance(accepted, tuple):
            status, headers, body = accepted
            answer = protocol.reject(status, body.decode())
            for name, value in headers.items():
                if name in answer.headers:
                    del answer.headers[name]
                answer.headers[name] = value
        else:
            answer = protocol.accept(handshake)
            for name, value in accepted.items():
                answer.headers[name] = value
        protocol.send_response(answer)
        socket = Socket(wire, protocol)
        await socket._flush()
        if not isinstance(accepted, tuple):
            await self.converse(request, socket)
            await socket.close()
            while await socket.receive() is not None:
                pass


async def _next_request(stream: Any, connection: h11.Connection) -> tuple[Request, bytes] | None:
    """The next request with its body, and the bytes that it came in; None when the client is done."""
    raw, head, body = b"", None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await stream.send_all(connection.send(go_on))
            data = await stream.receive_some()
            raw += data
            connection.receive_data(data)
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            assert head is not None
            url = urlsplit(head.target.decode())
            headers = {name.decode().lower(): value.decode() for name, value in head.headers}
            query = tuple(parse_qsl(url.query, keep_blank_values=True))
            return Request(head.method.decode(), url.path, query, headers, body), raw
        elif isinstance(event, h11.ConnectionClosed) or event is h11.PAUSED:
            return None


async def _answer_status(response: Response, fault: Fault) -> None:
    kind = "text/plain" if isinstance(fault.body, (str, bytes)) else "application/json"
    response._wire.fault = None  # this is the fault
    body = _body(fault.body)
    await response.start(fault.status, {"content-type": kind, "content-length": str(len(body)), **fault.headers})
    if body:
        await response.send(body)


def _body(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


# --- On real TCP ---------------------------------------------------------------------------------------------------

_LINGER_NOT = (trio.socket.SOL_SOCKET, trio.socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@frozen
class Address:
    """Where a server is."""

    host: str
    port: int

    @property
    def http(self) -> str:
        """`http://127.0.0.1:4711`."""
        return f"http://{self.host}:{self.port}"

    @property
    def https(self) -> str:
        """`https://127.0.0.1:4711`."""
        return f"https://{self.host}:{self.port}"

    @property
    def ws(self) -> str:
        """`ws://127.0.0.1:4711`."""
        return f"ws://{self.host}:{self.port}"


@asynccontextmanager
async def open_vendor(serve, tls=None):
    """Serves on a port of loopback; gives its `Address`.

    Args:
        serve: a `VendorServer`, or an async function of a stream for what is not HTTP.
        tls: the `ssl.SSLContext` of a server that speaks TLS.

    """
    handler = serve.serve if isinstance(serve, VendorServer) else serve
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    if tls is not None:
        listeners = [trio.SSLListener(listener, tls, https_compatible=True) for listener in listeners]
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handler, listeners)
        yield Address("127.0.0.1", port)
        nursery.cancel_scope.cancel()


# --- In memory -----------------------------------------------------------------------------------------------------


class _NoSocket:
    """As much of a socket as HTTP and WebSocket clients look at."""

    def __init__(self, stream: MemoryStream) -> None:
        self._stream = stream

    def is_readable(self) -> bool:
        return self._stream.arrived > 0 or self._stream.ended

    def getsockname(self) -> tuple[str, int]:
        return "127.0.0.1", 1

    def getpeername(self) -> tuple[str, int]:
        return "127.0.0.1", 2

    def fileno(self) -> int:
        return -1


class MemoryStream(trio.abc.HalfCloseableStream):
    """One end of a connection in memory."""

    # httpcore asks for no other kind of stream before it uses a connection again, and trio's can't be subclassed.
    __class__ = trio.SocketStream  # type: ignore[assignment]

    def __init__(self, limit: int = 1 << 16) -> None:
        self.socket: Any = _NoSocket(self)
        self.peer: MemoryStream
        self._incoming: deque[bytes] = deque()
        self._limit = limit
        self.arrived = 0
        self.ended = self._broken = self._closed = self._sent_eof = False
        self._parking = trio.lowlevel.ParkingLot()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        await trio.lowlevel.checkpoint()
        if self._sent_eof:
            raise trio.ClosedResourceError
        while not self._closed and not self._broken and not self.peer._closed and self.peer.arrived >= self._limit:
            await self._parking.park()
        if self._closed:
            raise trio.ClosedResourceError
        if self._broken or self.peer._closed:
            raise trio.BrokenResourceError
        if data:
            self.peer._incoming.append(bytes(data))
            self.peer.arrived += len(data)
            self.peer._parking.unpark_all()

    async def wait_send_all_might_not_block(self) -> None:
        await trio.lowlevel.checkpoint()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        await trio.lowlevel.checkpoint()
        while not self._incoming and not self.ended and not self._broken and not self._closed:
            await self._parking.park()
        if self._closed:
            raise trio.ClosedResourceError
        if self._broken:
            raise trio.BrokenResourceError
        if not self._incoming:
            return b""
        data = self._incoming.popleft()
        if max_bytes is not None and len(data) > max_bytes:
            self._incoming.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        self.arrived -= len(data)
        self.peer._parking.unpark_all()
        return data

    async def send_eof(self) -> None:
        await trio.lowlevel.checkpoint()
        self._sent_eof = self.peer.ended = True
        self.peer._parking.unpark_all()

    async def aclose(self) -> None:
        self._closed = self.peer.ended = True
        self._parking.unpark_all()
        self.peer._parking.unpark_all()
        await trio.lowlevel.checkpoint()

    def reset(self) -> None:
        """Ends both directions at once."""
        self._closed = self.peer._broken = True
        self._parking.unpark_all()
        self.peer._parking.unpark_all()

    def setsockopt(self, *_option: Any) -> None:
        pass


class MemoryNetwork:
    """Names and ports that answer in memory; nothing else can be reached."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self._nursery = nursery
        self._servers: dict[tuple[str, int], Any] = {}
        self.latency_s = 0.0
        """How long a connection takes."""

    def listen(self, host: str, server: Any, port: int = 80) -> Address:
        """Has a `VendorServer`, or an async function of a stream, answer under a name."""
        self._servers[host, port] = server
        return Address(host, port)

    async def connect(self, host: str | bytes, port: int, **_options: Any) -> MemoryStream:
        """As `trio.open_tcp_stream`."""
        await trio.sleep(self.latency_s)
        server = self._servers.get((host if isinstance(host, str) else host.decode(), port))
        if server is None or (isinstance(server, VendorServer) and server.refuses()):
            raise OSError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED))
        ours, theirs = MemoryStream(), MemoryStream()
        ours.peer, theirs.peer = theirs, ours
        self._nursery.start_soon(server.serve if isinstance(server, VendorServer) else server, theirs)
        return ours


@asynccontextmanager
async def open_memory_network(monkeypatch):
    """A `MemoryNetwork` that every client on trio uses while it is open."""
    async with trio.open_nursery() as nursery:
        network = MemoryNetwork(nursery)
        with monkeypatch.context() as patch:
            patch.setattr(trio, "open_tcp_stream", network.connect)
            yield network
        nursery.cancel_scope.cancel()
