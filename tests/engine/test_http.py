"""HTTP of the control, byte by byte: pipelining, old versions, limits, clients that do not read."""

from __future__ import annotations

import errno
import socket
from contextlib import suppress

import pytest
import trio
import trio.testing
from patience import LONG_S
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from reference_engine.control import http
from reference_engine.control.http import serve_http

BIG = "x" * (8 << 20)


async def echo(request):
    return JSONResponse({"path": request.url.path, "length": len(await request.body())})


async def big(_request):
    return PlainTextResponse(BIG)


async def unread(_request):
    return PlainTextResponse("no body was read", 413)


async def slow(_request):
    return PlainTextResponse("the body did not arrive", 408)


async def broken(_request):
    raise RuntimeError("a defect")


APP = Starlette(
    routes=[
        Route("/echo/{name:path}", echo, methods=["GET", "POST"]),
        Route("/big", big),
        Route("/unread", unread, methods=["POST"]),
        Route("/broken", broken, methods=["GET", "POST"]),
        Route("/slow", slow, methods=["POST"]),
    ]
)


@pytest.fixture
async def address(nursery):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nursery.start_soon(serve_http, APP, listening, [].append)
        yield listening.getsockname()
        nursery.cancel_scope.cancel()


async def talk(address, sent):
    """All that is answered to some bytes until the server ends the connection."""
    answered = b""
    with trio.fail_after(LONG_S):
        async with await trio.open_tcp_stream(*address) as stream:
            await stream.send_all(sent)
            while data := await stream.receive_some():
                answered += data
    return answered


def get(path, *headers, version="1.1"):
    return "\r\n".join([f"GET {path} HTTP/{version}", *headers, "", ""]).encode()


def post(path, length, *headers):
    """The head of a request that has a body."""
    lengths = [] if length is None else [f"Content-Length: {length}"]
    return "\r\n".join([f"POST {path} HTTP/1.1", *dict.fromkeys([HOST, *headers]), *lengths, "", ""]).encode()


HOST = "Host: localhost"
CHUNKED = "Transfer-Encoding: chunked"
LAST = (HOST, "Connection: close")


async def test_pipelined_requests_are_answered_in_their_order(address):
    sent = get("/echo/1", HOST) + get("/echo/2", HOST) + get("/echo/3", *LAST)
    answered = await talk(address, sent)
    assert answered.count(b"HTTP/1.1 200") == 3
    assert answered.index(b"/echo/1") < answered.index(b"/echo/2") < answered.index(b"/echo/3")


async def test_http_1_0_needs_no_host(address):
    answered = await talk(address, get("/echo/1", version="1.0"))
    assert answered.startswith(b"HTTP/1.1 200")
    assert answered.endswith(b'"length":0}')


async def test_head_has_no_body(address):
    answered = await talk(address, get("/echo/1", *LAST).replace(b"GET", b"HEAD"))
    head, _, body = answered.partition(b"\r\n\r\n")
    assert b"content-length: 29" in head
    assert body == b""


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\r\n"])
async def test_a_body(address, expect):
    head = f"POST /echo/1 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{expect}Content-Length: 3\r\n\r\n"
    answered = await talk(address, head.encode() + b"abc")
    assert answered.endswith(b'"length":3}')


async def test_a_body_that_nobody_read_is_not_taken_for_a_request(address):
    answered = await talk(address, post("/unread", 60) + get("/echo/1", HOST).ljust(60) + get("/echo/2", *LAST))
    assert answered.count(b"HTTP/1.1") == 2
    assert b"/echo/1" not in answered
    assert b"/echo/2" in answered


@pytest.mark.parametrize("path", ["/unread", "/broken", "/none"])
async def test_what_is_answered_before_its_body_came_does_not_end_the_connection(address, path):
    async with await trio.open_tcp_stream(*address) as stream:
        with trio.fail_after(LONG_S):
            await stream.send_all(post(path, 3))
            answered = await stream.receive_some()
            assert b"connection" not in answered
            await stream.send_all(b"ab")
            await stream.send_all(b"c" + get("/echo/2", *LAST))
            while b"/echo/2" not in await stream.receive_some():
                pass


@pytest.mark.parametrize(
    ("path", "length", "header"),
    [
        ("/unread", http.MAX_UNREAD + 1, HOST),
        ("/none", 1 << 40, HOST),
        ("/unread", None, CHUNKED),
        ("/unread", 3, "Expect: 100-continue"),
        ("/slow", 3, HOST),
    ],
)
async def test_an_answer_says_that_it_is_the_last_one(address, path, length, header):
    answered = await talk(address, post(path, length, HOST, header))
    assert b"connection: close" in answered.lower()


async def test_a_long_body_that_was_read_is_no_reason_to_end(address):
    long = b"x" * (http.MAX_UNREAD + 1)
    answered = await talk(address, post("/echo/1", len(long)) + long + get("/echo/2", *LAST))
    assert answered.count(b"HTTP/1.1 200") == 2


async def test_a_body_that_does_not_come_is_not_waited_for(address, monkeypatch):
    monkeypatch.setattr(http, "IDLE_S", 0.01)
    assert (await talk(address, post("/unread", 3))).endswith(b"no body was read")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"rubbish\r\n\r\n", 400),
        (get("/echo/1"), 400),
        (get("/echo/1", HOST, "X: " + "y" * http.MAX_HEAD), 431),
        (get("/echo/" + "y" * http.MAX_HEAD, HOST), 431),
        (post("/echo/1", None, CHUNKED) + b"xx\r\n", 400),
    ],
)
async def test_what_is_refused_ends_the_connection(address, sent, status):
    answered = await talk(address, sent)
    assert answered.startswith(f"HTTP/1.1 {status}".encode())
    assert b"connection: close" in answered.lower()
    assert answered.count(b"HTTP/1.1") == 1


async def test_a_client_that_says_nothing_is_not_waited_for(address, monkeypatch):
    monkeypatch.setattr(http, "IDLE_S", 0.01)
    assert await talk(address, b"GET /echo") == b""


async def test_a_client_that_does_not_read_is_not_waited_for(address, monkeypatch):
    monkeypatch.setattr(http, "SEND_S", 0.01)
    async with await trio.open_tcp_stream(*address) as stream:
        await stream.send_all(get("/big", HOST))
        await trio.testing.wait_all_tasks_blocked(0.2)  # the server has given up
        got = 0
        with trio.fail_after(LONG_S), suppress(trio.BrokenResourceError):
            while data := await stream.receive_some():
                got += len(data)
        assert got < len(BIG)
    assert (await talk(address, get("/echo/1", *LAST))).startswith(b"HTTP/1.1 200")


async def test_nothing_holds_up_the_end():
    with socket.create_server(("127.0.0.1", 0)) as listening, trio.fail_after(LONG_S):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve_http, APP, listening, [].append)
            streams = [await trio.open_tcp_stream(*listening.getsockname()) for _ in range(3)]
            await streams[0].send_all(get("/big", HOST) * 10)
            await streams[1].send_all(b"GET /echo")
            await streams[0].receive_some()  # it is being answered
            nursery.cancel_scope.cancel()
        for stream in streams:
            await stream.aclose()


async def test_without_descriptors_it_says_so_and_goes_on_when_there_are_some(nursery, autojump_clock, monkeypatch):
    taken = iter([errno.EMFILE, errno.ECONNABORTED, errno.ENFILE, errno.ENOMEM])
    told = []

    class Accepting:
        async def accept(self):
            await trio.lowlevel.checkpoint()
            if (error := next(taken, None)) is not None:
                raise OSError(error, "no")
            await trio.sleep_forever()

    monkeypatch.setattr(trio.socket, "from_stdlib_socket", lambda _listening: Accepting())
    nursery.start_soon(serve_http, APP, None, lambda error: told.append(error.errno))
    await trio.sleep(10)
    assert told == [errno.EMFILE, errno.ENFILE, errno.ENOMEM]
    nursery.cancel_scope.cancel()
