"""A listener for WebSockets: requests, upgrades, messages both ways, and each way a connection ends."""

from __future__ import annotations

import socket
import struct
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import define, field
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.trio.client import connect

from voicepipe.audio import AudioFormat
from voicepipe.components.requests import CallInfo
from voicepipe.errors import CallRefused, TransportError
from voicepipe.transports import call_socket, websocket_serving
from voicepipe.transports.delivery import Delivery
from voicepipe.transports.listener import ListenerContext
from voicepipe.transports.websocket_listener import (
    HttpRequest,
    HttpResponse,
    Upgrade,
    open_websocket_listener,
)


class Plain:
    """A transport of binary messages that are audio, and text: `start`, a key, or `defect`."""

    pacing = "ours"
    can = frozenset()
    audio = AudioFormat(8000)

    def __init__(self, request: Upgrade, call: call_socket.CallSocket) -> None:
        self.info = CallInfo(listener="plain", called=request.query.get("did", ""))
        self._socket, self._delivery, self._started = call, Delivery(), trio.Event()
        self.closed_with: list[str] = []

    async def answer(self) -> bool:
        await self._started.wait()
        self._delivery.raise_failure()
        return not self._delivery.is_over

    def take_message(self, message: bytes | str) -> None:
        if isinstance(message, bytes):
            self._delivery.sink.audio(message)
        elif message == "start":
            self._started.set()
        elif message == "defect":
            raise ValueError("a defect of one call")
        elif message == "nonsense":
            raise TransportError("this is nonsense")
        else:
            self._delivery.sink.dtmf(message)

    def closed(self, reason: str) -> None:
        self.closed_with.append(reason)
        self._delivery.end(reason)
        self._started.set()

    def fail(self, error: Exception | SystemExit) -> None:
        self._delivery.fail(error)
        self._started.set()

    async def run(self, sink) -> None:
        await self._delivery.run(sink)

    def write(self, audio: bytes) -> bool:
        return self._socket.send_nowait(audio)

    async def wait_writable(self) -> None:
        await self._socket.wait_writable()

    async def hang_up(self) -> None:
        self._delivery.stop()
        await self._socket.close()


class Calls:
    def authorise(self, request: Upgrade | HttpRequest) -> HttpResponse | None:
        return None if request.headers.get("authorization") == "Bearer open" else HttpResponse(401, b"no token\n")

    def respond(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, f"{request.method} {request.path} {request.body.decode()}".encode(), "text/html")

    def transport(self, request: Upgrade, call: call_socket.CallSocket) -> Plain:
        return Plain(request, call)


@define
class Heard:
    """A sink that keeps what it is given."""

    items: list = field(factory=list)
    came: trio.Event = field(factory=trio.Event)

    def audio(self, audio: bytes) -> None:
        self.items.append(bytes(audio))
        self.came.set()

    def dtmf(self, digit: str) -> None:
        self.items.append(digit)
        self.came.set()

    def hung_up(self, reason: str) -> None:
        self.items.append(("hung up", reason))


@define
class Site:
    """A listener that is served, and what became of its calls."""

    listener: websocket_serving.WebSocketListener
    refused: list[str]
    crashed: list[Exception]
    heard: list[Heard] = field(factory=list)
    ended: trio.Event = field(factory=trio.Event)

    async def echo(self, transport: Plain) -> None:
        """Sends audio back, and hangs up on the key `#`; refuses calls for `refuse`."""
        if transport.info.called == "refuse":
            raise CallRefused("closed today")
        heard = Heard()
        self.heard.append(heard)
        try:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def run() -> None:
                    await transport.run(heard)
                    nursery.cancel_scope.cancel()

                while True:
                    await heard.came.wait()
                    heard.came = trio.Event()
                    if heard.items[-1] == "#":
                        nursery.cancel_scope.cancel()
                    elif isinstance(heard.items[-1], bytes):
                        assert transport.write(heard.items[-1])
        finally:
            self.ended.set()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.listener.address[1]}/media?did=4711"


@asynccontextmanager
async def open_site(ping: bool = False, **options):
    refused, crashed = [], []
    context = ListenerContext(
        name="plain",
        on_refused=lambda _, error: refused.append(str(error)),
        on_crash=lambda _, error: crashed.append(error),
        **options,
    )
    async with (
        open_websocket_listener("127.0.0.1", 0, Calls(), context, ping=ping) as listener,
        trio.open_nursery() as nursery,
    ):
        site = Site(listener, refused, crashed)
        nursery.start_soon(listener.serve, site.echo)
        yield site
        listener.close()
        with trio.fail_after(10):
            while listener.calls:  # noqa: ASYNC110 - it has no event for that
                await trio.sleep(0.01)
        nursery.cancel_scope.cancel()


def call(site: Site, url: str = "", token: str = "open"):
    return connect(url or site.url, additional_headers={"Authorization": f"Bearer {token}"})


async def request(site: Site, head: str, body: bytes = b"") -> bytes:
    stream = await trio.open_tcp_stream("127.0.0.1", site.listener.address[1])
    async with stream:
        await stream.send_all(head.replace("\n", "\r\n").encode() + body)
        return b"".join([data async for data in stream])


async def test_audio_goes_in_and_out_and_the_caller_hangs_up():
    async with open_site() as site:
        async with call(site) as caller:
            await caller.send(b"early")
            await caller.send("start")
            assert await caller.recv() == b"early"
            for number in range(5):
                await caller.send(bytes([number]) * 320)
                assert await caller.recv() == bytes([number]) * 320
        await site.ended.wait()
        assert site.heard[0].items[-1] == ("hung up", "the other side closed with code 1000")
    assert site.refused == []
    assert site.crashed == []


async def test_this_side_hangs_up_after_all_that_was_sent():
    async with open_site() as site, call(site) as caller:
        await caller.send("start")
        await caller.send(b"x" * 70_000)
        assert await caller.recv() == b"x" * 70_000
        await caller.send("#")
        with pytest.raises(ConnectionClosed) as closed:
            await caller.recv()
        assert closed.value.rcvd.code == 1000
        await site.ended.wait()
        assert site.heard[0].items[-1] == "#"  # no end: this side made it


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_a_connection_that_dies_ends_the_call(how):
    async with open_site() as site:
        async with call(site) as caller:
            await caller.send("start")
            await caller.send(b"a")
            await caller.recv()
            raw = caller.stream.socket
            if how == "reset":
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                await trio.aclose_forcefully(caller.stream)
            else:
                raw.shutdown(socket.SHUT_WR)
            with trio.fail_after(5):
                await site.ended.wait()
        kind, reason = site.heard[0].items[-1]
        assert kind == "hung up"
        assert (
            reason
            == {
                "fin": "the connection ended without a Close frame",
                "reset": "the connection broke: Connection reset by peer",
            }[how]
        )


async def test_a_peer_that_answers_no_ping_is_dead(monkeypatch):
    monkeypatch.setattr(websocket_serving, "CHECK_S", 0.05)
    async with open_site(ping=True) as site:
        stream = await trio.open_tcp_stream("127.0.0.1", site.listener.address[1])
        async with stream, call(site) as answering:
            await answering.send("start")
            await stream.send_all(UPGRADE + frame(0x81, b"start"))
            await site.ended.wait()
            await answering.send(b"still there")
            assert await answering.recv() == b"still there"
        ends = [heard.items[-1:] for heard in site.heard]
        assert [("hung up", "the other side does not answer pings")] in ends


def frame(kind: int, payload: bytes) -> bytes:
    assert len(payload) < 126
    return bytes([kind, 0x80 | len(payload), 0, 0, 0, 0]) + payload


UPGRADE = (
    b"GET /media HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer open\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def test_frames_may_come_with_the_request_in_pieces_and_in_fragments():
    sent = UPGRADE + frame(0x81, b"start") + frame(0x02, b"one") + frame(0x89, b"?") + frame(0x80, b"two")
    sent += frame(0x82, b"three") + frame(0x88, b"\x03\xe8")
    async with open_site() as site:
        stream = await trio.open_tcp_stream("127.0.0.1", site.listener.address[1])
        async with stream:
            for piece in (sent[:-40], *(bytes([byte]) for byte in sent[-40:])):
                await stream.send_all(piece)
            received = b"".join([data async for data in stream])
        await site.ended.wait()
        assert site.heard[0].items == [b"onetwo", b"three", ("hung up", "the other side closed with code 1000")]
        assert b"\x8a\x01?" in received


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x82\x05hello", 1002),  # not masked
        (frame(0xC2, b"x"), 1002),  # a reserved bit
        (frame(0x81, b"\xff"), 1007),
        (b"\x82\xff" + (1 << 21).to_bytes(8, "big") + bytes(4), 1009),
        (frame(0x80, b"x"), 1002),  # a continuation of nothing
    ],
)
async def test_a_faulty_frame_closes_its_call_only(sent, code):
    async with open_site() as site, call(site) as other:
        await other.send("start")
        stream = await trio.open_tcp_stream("127.0.0.1", site.listener.address[1])
        async with stream:
            await stream.send_all(UPGRADE + frame(0x81, b"start") + sent)
            received = b"".join([data async for data in stream])
        assert code.to_bytes(2, "big") in received.partition(b"\r\n\r\n")[2]
        await other.send(b"here")
        assert await other.recv() == b"here"


@pytest.mark.parametrize(("word", "refused", "crashed"), [("defect", 0, 1), ("nonsense", 1, 0)])
async def test_a_defect_ends_its_call_only(word, refused, crashed):
    async with open_site() as site, call(site) as other, call(site) as caller:
        await other.send("start")
        await caller.send("start")
        await caller.send(word)
        with pytest.raises(ConnectionClosed):
            await caller.recv()
        assert (len(site.refused), len(site.crashed)) == (refused, crashed)
        await other.send(b"here")
        assert await other.recv() == b"here"


async def test_a_handler_refuses_a_call():
    async with open_site() as site, call(site, site.url.replace("4711", "refuse")) as caller:
        await caller.send("start")
        with pytest.raises(ConnectionClosed) as closed:
            await caller.recv()
        assert closed.value.rcvd.code == 1013
    assert site.crashed == []


async def test_who_is_not_authorised_gets_no_call():
    async with open_site() as site:
        with pytest.raises(InvalidStatus) as refused:
            async with call(site, token="wrong"):
                pass
        assert refused.value.response.status_code == 401
        assert site.heard == []
        assert site.refused == ["the request for /media was refused with 401: no token"]


@pytest.mark.parametrize("full", [True, False])
async def test_without_room_and_while_paused_calls_get_503(full):
    async with open_site(max_connections=1) as site, call(site) as first:
        await first.send("start")
        if not full:
            await first.send("#")
            await site.ended.wait()
            site.listener.pause()
        assert not site.listener.is_listening
        with pytest.raises(InvalidStatus) as refused:
            async with call(site):
                pass
        assert refused.value.response.status_code == 503
        assert refused.value.response.headers["Retry-After"] == "1"
        assert ("1 connections are up already" in site.refused[0]) == full
        assert ("paused" in site.refused[0]) != full
        site.listener.resume()


@pytest.mark.parametrize(
    ("head", "body", "status", "answer"),
    [
        ("GET /voice?x=1 HTTP/1.1\nHost: x\nAuthorization: Bearer open\n\n", b"", 200, b"GET /voice "),
        ("HEAD /voice HTTP/1.1\nHost: x\nAuthorization: Bearer open\n\n", b"", 200, b""),
        (
            "POST /a%20b HTTP/1.1\nHost: x\nAuthorization: Bearer open\nContent-Length: 3\n\n",
            b"a=b",
            200,
            b"POST /a b a=b",
        ),
        ("PUT / HTTP/1.1\nHost: x\nAuthorization: Bearer open\n\n", b"", 405, b"PUT is not supported\n"),
        ("GET / HTTP/1.1\nHost: x\n\n", b"", 401, b"no token\n"),
        ("nonsense\n\n", b"", 400, None),
        (f"GET /{'x' * 40_000} HTTP/1.1\nHost: x\n\n", b"", 431, None),
        ("POST / HTTP/1.1\nHost: x\nContent-Length: 70000\n\n", b"", 413, None),  # before any of it has come
        ("POST / HTTP/1.1\nHost: x\nTransfer-Encoding: chunked\n\n", b"11170\r\n" + bytes(70_000), 413, None),
    ],
)
async def test_requests_are_answered(head, body, status, answer):
    async with open_site() as site:
        response = await request(site, head, body)
        got, _, content = response.partition(b"\r\n\r\n")
        assert got.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"connection: close" in got.lower()
        assert answer is None or content == answer


async def test_silent_connections_are_bounded_and_keep_nobody_out(monkeypatch):
    monkeypatch.setattr(websocket_serving, "UNKNOWN", 3)
    async with open_site() as site:
        silent = [await trio.open_tcp_stream("127.0.0.1", site.listener.address[1]) for _ in range(6)]
        async with call(site) as caller:
            await caller.send("start")
            await caller.send(b"here")
            assert await caller.recv() == b"here"
        for stream in silent[:3]:
            assert await stream.receive_some() == b""
        for stream in silent:
            await stream.aclose()


class Backlog:
    """A stream of which some is not received yet, and whose socket is none."""

    is_flushed, socket = False, None

    def __init__(self, *sizes):
        self._sizes = iter(sizes)

    @property
    def unsent_bytes(self):
        return next(self._sizes)

    def shut_down(self):
        """Does nothing."""


class Nothing:
    """A hub, a WebSocket or a transport that does nothing."""

    has_ended = False

    def __getattr__(self, _name):
        return lambda *_: None


@pytest.mark.parametrize(
    ("sizes", "checks"), [((900, 800, 700, 600, 500, 400, 300, 200), None), ((900,) * 8, 4), ((0,) * 8, 4)]
)
def test_a_peer_that_still_takes_what_waits_is_alive(sizes, checks):
    ended = []
    transport = Nothing()
    transport.closed = ended.append
    silent = call_socket.CallSocket(Nothing(), Backlog(*sizes), Nothing(), None, "peer:1")
    silent._transport = transport
    lived = 0
    for _ in sizes:
        silent.check_life()
        if not ended:
            lived += 1
    assert lived == (len(sizes) if checks is None else checks - 1)
