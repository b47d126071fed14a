"""HTTP/1.1 for httpx on trio: what a request comes to, and which connections are used again."""

from __future__ import annotations

import gzip
import zlib
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import trio
from patience import LONG_S
from vendors.serving import Fault, VendorServer, open_memory_network, open_vendor

from voicepipe.adapters.openai.client import ResponseBody
from voicepipe.components.tls import tls_context
from voicepipe.wire.http_transport import HttpTransport

KEEP_S = 50
PIECES = [b"one ", b"two ", b"three"]
URL = "http://http.test:80/path?q=1"


class Service(VendorServer):
    """Answers with pieces, a moment after each other."""

    def __init__(self) -> None:
        super().__init__()
        self.headers: dict[str, str] = {}
        self.pause_s = 0.1

    async def answer(self, request, response) -> None:
        await response.start(200, self.headers)
        for piece in PIECES:
            await response.send(piece)
            await trio.sleep(self.pause_s)


@pytest.fixture
async def network(monkeypatch):
    async with open_memory_network(monkeypatch) as opened:
        yield opened


@pytest.fixture
async def server(network):
    service = Service()
    network.listen("http.test", service)
    return service


def ours(**options):
    defaults = {"most_requests": 1000, "most_idle": 100, "keep_alive_s": KEEP_S}
    return HttpTransport(tls_context(), **(defaults | options))


def client(transport, **options):
    timeout = httpx.Timeout(2, connect=1)
    return httpx.AsyncClient(**({"transport": transport, "trust_env": False, "timeout": timeout} | options))


@asynccontextmanager
async def asked(http, url=URL):
    answer = await http.send(http.build_request("POST", url, content=b"{}"), stream=True)
    try:
        yield answer.extensions["body"]
    finally:
        await answer.aclose()


async def whole(body) -> bytes:
    pieces = []
    while (data := await body.read()) is not None:
        pieces.append(data)
    return b"".join(pieces)


# httpx's own transport leaves generators to the collector.
LEAVES = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


# --- As httpx's own transport does ---------------------------------------------------------------------------------

FAULTS = {
    "none": None,
    "drip": Fault("drip"),
    "refuse": Fault("refuse"),
    **{
        f"{kind} after {after}": Fault(kind, after=after)
        for kind in ("stall", "close", "reset", "half_close", "rubbish")
        for after in (-1, 0, 1)
    },
}
RAW = {
    "no length, to the end": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "a head before the head": b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    "trailers": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-end: 1\r\n\r\n",
    "a cut length": b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nhello",
    "a cut chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n50\r\nhello",
    "a chunk of no size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000,
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "gzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\n" + gzip.compress(b"hello"),
    "no gzip": b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\nconnection: close\r\n\r\nhello",
    "a redirect": b"HTTP/1.1 307 Temporary\r\nlocation: /elsewhere\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    "a redirect out of HTTP": b"HTTP/1.1 307 Temporary\r\nlocation: ftp://http.test/\r\ncontent-length: 0\r\n\r\n",
}


async def outcome(transport_of):
    """What a request comes to: status, headers and body, or the exception and its message."""
    async with client(transport_of, follow_redirects=True) if transport_of else _own() as http:
        try:
            answer = await http.post(URL, content=b"{}")
        except httpx.HTTPError as error:
            return type(error), str(error)
        return answer.status_code, answer.reason_phrase, answer.headers.raw, answer.content


def _own():
    return httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(2, connect=1), follow_redirects=True)


@LEAVES
@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
async def test_a_failure_is_the_one_of_httpx(autojump_clock, server, fault):
    server.fault = fault
    assert await outcome(ours()) == await outcome(None)


async def test_a_server_that_takes_no_connection_in_time_is_the_one_of_httpx(autojump_clock, network, server):
    network.latency_s = 100
    assert await outcome(ours()) == await outcome(None)


@LEAVES
@pytest.mark.parametrize("raw", RAW.values(), ids=RAW)
async def test_an_answer_is_the_one_of_httpx(autojump_clock, network, raw):
    async def serve(stream):
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.receive_some()
            await stream.send_all(raw)
            await stream.aclose()

    network.listen("http.test", serve)
    assert await outcome(ours()) == await outcome(None)


@pytest.mark.parametrize("compress", [gzip.compress, zlib.compress], ids=["gzip", "deflate"])
async def test_a_compressed_stream_is_read_as_it_comes(autojump_clock, server, monkeypatch, compress):
    packed = compress(b"one two three")
    monkeypatch.setattr("test_wire_http_transport.PIECES", [packed[at : at + 1] for at in range(len(packed))])
    server.headers = {"content-encoding": "gzip" if compress is gzip.compress else "deflate"}
    async with client(ours()) as http:
        answer = await http.send(http.build_request("POST", URL), stream=True)
        body, found = ResponseBody(answer), b""
        while (data := await body.read(1)) is not None:
            assert data
            found += data
    assert found == b"one two three"


# --- Reading -------------------------------------------------------------------------------------------------------


async def test_a_cancelled_read_loses_nothing(autojump_clock, server):
    server.fault = Fault("drip", pause_s=0.01)
    pieces = []
    async with client(ours()) as http, asked(http) as body:
        for tries in range(1000):
            with trio.move_on_after(0.003 + 0.002 * (tries % 3)):
                if (data := await body.read()) is None:
                    break
                pieces.append(data)
    assert b"".join(pieces) == b"one two three"
    assert tries > len(pieces) > 3


async def test_a_read_that_was_too_late_can_be_tried_again(autojump_clock, server):
    async with client(ours()) as http, asked(http) as body:
        assert await body.read() == b"one "
        with pytest.raises(httpx.ReadTimeout):
            await body.read(0.05)
        assert await whole(body) == b"two three"


async def test_what_has_come_is_given_at_once_and_a_failure_behind_it_afterwards(autojump_clock, network):
    async def serve(stream):
        await stream.receive_some()
        head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
        await stream.send_all(head + b"3\r\none\r\n3\r\ntwo\r\nzz\r\n")
        await trio.sleep_forever()

    network.listen("http.test", serve)
    async with client(ours()) as http, asked(http) as body:
        assert await body.read() == b"onetwo"
        for _ in range(2):
            with pytest.raises(httpx.RemoteProtocolError):
                await body.read()


# --- Connections ---------------------------------------------------------------------------------------------------


async def test_a_connection_is_used_again_while_it_is_kept(autojump_clock, server):
    async with client(ours()) as http:
        for pause_s in (0, KEEP_S - 1, KEEP_S + 1):
            await trio.sleep(pause_s)
            async with asked(http) as body:
                await whole(body)
    assert server.connections == 2
    await trio.sleep(0.01)
    assert server.open == 0


async def test_the_one_that_was_used_last_is_used_first_and_the_others_end(autojump_clock, server):
    async with client(ours()) as http, trio.open_nursery() as nursery:

        async def ask() -> None:
            async with asked(http) as body:
                await whole(body)

        for _ in range(5):
            nursery.start_soon(ask)
        await trio.sleep(1)
        for _ in range(3):
            await trio.sleep(KEEP_S / 2)
            await ask()
        assert (server.connections, server.open) == (5, 1)


async def test_no_more_are_kept_than_may_be(autojump_clock, server):
    async with client(ours(most_idle=2)) as http:
        async with trio.open_nursery() as nursery:

            async def ask() -> None:
                async with asked(http) as body:
                    await whole(body)

            for _ in range(5):
                nursery.start_soon(ask)
        await trio.sleep(0.01)
        assert server.open == 2


async def test_a_request_waits_for_its_turn_and_not_for_ever(autojump_clock, server):
    async with client(ours(most_requests=1)) as http, asked(http) as body:
        with pytest.raises(httpx.PoolTimeout):
            await http.get(URL)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(http.get, URL)
            await trio.sleep(1)
            assert server.connections == 1
            await whole(body)
    assert server.connections == 1


async def test_a_connection_is_not_used_again_if_the_server_says_so(autojump_clock, server):
    server.headers = {"connection": "close"}
    async with client(ours()) as http:
        for _ in range(2):
            async with asked(http) as body:
                await whole(body)
    assert server.connections == 2


async def test_a_connection_that_the_server_has_closed_is_not_used_again():
    """On a socket: streams in memory tell it only when they are read."""
    closed = [trio.Event(), trio.Event()]

    async def serve(stream):
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
        await stream.aclose()
        next(event for event in closed if not event.is_set()).set()

    async with open_vendor(serve) as address, client(ours(), timeout=LONG_S) as http:
        for event in closed:
            async with asked(http, address.http) as body:
                assert await whole(body) == b"hello"
            await event.wait()


async def test_a_request_may_be_large():
    """Larger than what a connection takes at once, and than what a stream keeps."""
    server, large = Service(), b"x" * (5 << 20)
    async with open_vendor(server) as address, client(ours(), timeout=LONG_S) as http:
        await http.post(address.http, content=large)
    assert server.requests[0].body == large


async def test_a_connection_on_a_socket_is_used_again():
    server = Service()
    server.pause_s = 0.0
    async with open_vendor(server) as address, client(ours(), timeout=LONG_S) as http:
        for _ in range(3):
            async with asked(http, address.http) as body:
                assert await whole(body) == b"one two three"
    assert server.connections == 1


async def test_an_answer_that_is_left_early_ends_its_connection(autojump_clock, server):
    async with client(ours(most_requests=1)) as http:
        for _ in range(3):
            async with asked(http) as body:
                await body.read()
        await trio.sleep(0.2)
        assert (server.connections, server.open) == (3, 0)


async def test_nothing_is_lost_or_left_when_a_request_is_cancelled_anywhere(
    autojump_clock, server, cancel_at_every_step
):
    server.pause_s, server.headers = 0.0, {"connection": "close"}
    async with client(ours(most_requests=1)) as http:

        async def scenario() -> None:
            async with asked(http) as body:
                assert await whole(body) == b"one two three"

        steps = await cancel_at_every_step(scenario, lambda: None)
        assert steps > 4
        await scenario()  # each gave its turn back
    await trio.sleep(0.01)
    assert server.open == 0
