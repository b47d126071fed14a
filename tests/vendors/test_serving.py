"""The servers that play vendors are what vendors' own clients take them for, in order and out of it."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress

import httpx
import pytest
import trio
import trio.testing
from vendors.serving import BEFORE_HEAD, Fault, VendorServer, open_memory_network, open_vendor
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.trio.client import connect


class Countdown(VendorServer):
    """Three pieces over HTTP, an echo over WebSocket."""

    async def answer(self, request, response):
        await response.start(200, {"content-type": "text/plain"})
        for piece in "three ", "two ", request.body.decode() or "one":
            await response.send(piece)

    async def converse(self, request, socket):
        while (message := await socket.receive()) is not None:
            await socket.send(message)


@pytest.fixture(params=["tcp", "memory"])
async def vendor(request, monkeypatch):
    """A server and where it is."""
    server = Countdown()
    if request.param == "tcp":
        async with open_vendor(server) as address:
            yield server, address
    else:
        async with open_memory_network(monkeypatch) as network:
            yield server, network.listen("vendor.test", server, 8080)


async def test_http_is_answered_and_the_connection_kept(vendor):
    server, address = vendor
    async with httpx.AsyncClient(trust_env=False) as client:
        for _ in range(3):
            answer = await client.post(address.http + "/count?from=3", content="zero")
            assert (answer.status_code, answer.text) == (200, "three two zero")
    assert server.connections == 1
    assert server.requests[0].path == "/count"
    assert server.requests[0].query == (("from", "3"),)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("refuse"), httpx.ConnectError),
        (Fault("close"), httpx.RemoteProtocolError),
        (Fault("close", after=1), httpx.RemoteProtocolError),
        (Fault("half_close", after=2), httpx.RemoteProtocolError),
        (Fault("reset"), httpx.ReadError),
        (Fault("reset", after=1), httpx.ReadError),
        (Fault("rubbish"), httpx.RemoteProtocolError),
        (Fault("rubbish", after=1), httpx.RemoteProtocolError),
        (Fault("status", status=429, headers={"retry-after": "7"}, body={"why": "busy"}), 429),
        (Fault("empty"), ""),
        (Fault("empty", after=1), "three "),
        (Fault("drip"), "three two one"),
    ],
    ids=str,
)
async def test_http_goes_wrong_as_told(vendor, fault, expected):
    server, address = vendor
    server.fault = fault
    async with httpx.AsyncClient(trust_env=False) as client:
        if isinstance(expected, type):
            with pytest.raises(httpx.TransportError if fault.kind == "refuse" else expected):
                await client.get(address.http)
        elif isinstance(expected, int):
            answer = await client.get(address.http)
            assert (answer.status_code, answer.headers["retry-after"], answer.json()) == (429, "7", {"why": "busy"})
        else:
            assert (await client.get(address.http)).text == expected


@pytest.mark.parametrize("after", [BEFORE_HEAD, 0, 2])
async def test_a_stall_lasts_until_the_client_goes(vendor, after):
    server, address = vendor
    server.faults.append(Fault("stall", after=after))
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.get(address.http, timeout=0.2)
        assert (await client.get(address.http)).text == "three two one"


async def test_a_websocket_echoes_and_closes(vendor):
    server, address = vendor
    async with connect(address.ws + "/listen?model=x", additional_headers={"Authorization": "Token k"}) as socket:
        await socket.send("text")
        await socket.send(b"bytes")
        assert [await socket.recv(), await socket.recv()] == ["text", b"bytes"]
    assert server.requests[0].headers["authorization"] == "Token k"
    await left_alone(server)


class Talks(VendorServer):
    """Receives in one task, and sends in another one while the first is busy with what it received."""

    def __init__(self):
        super().__init__()
        self.asked = trio.Event()
        self.received = []

    async def converse(self, request, socket):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.speak, socket)
            while (message := await socket.receive()) is not None:
                self.received.append(message)
                self.asked.set()
                await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()

    async def speak(self, socket):
        await self.asked.wait()
        await socket.send("hello")
        await socket.send("and")


@pytest.mark.parametrize("kind", ["stall", "half_close", "rubbish", "close", "reset"])
@pytest.mark.parametrize("after", [0, 1])
@pytest.mark.parametrize("where", ["tcp", "memory"])
async def test_it_goes_wrong_in_one_task_while_another_reads(kind, after, where, monkeypatch):
    server = Talks()
    server.fault = Fault(kind, after=after)
    async with AsyncExitStack() as stack:
        if where == "tcp":
            address = await stack.enter_async_context(open_vendor(server))
        else:
            network = await stack.enter_async_context(open_memory_network(monkeypatch))
            address = network.listen("vendor.test", server, 8080)
        with suppress(ConnectionClosed):
            async with connect(address.ws, close_timeout=0.1) as socket:
                await socket.send("first")
                if after:
                    assert await socket.recv() == "hello"
                await trio.testing.wait_all_tasks_blocked()
                await socket.send("second")
                await trio.testing.wait_all_tasks_blocked()
        await left_alone(server)
    assert server.received == ["first"], "what comes after a fault is forgotten"


async def left_alone(server):
    """Returns when nobody is connected any more."""
    with trio.fail_after(30):
        while server.open:  # noqa: ASYNC110 - it has no event for this
            await trio.sleep(0.01)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (Fault("status", status=401, body={"err_code": "INVALID_AUTH"}), InvalidStatus),
        (Fault("close"), InvalidMessage),
        (Fault("rubbish"), InvalidMessage),
        (Fault("close", after=1), ConnectionClosed),
        (Fault("reset", after=1), ConnectionClosed),
        (Fault("half_close", after=1), ConnectionClosed),
        (Fault("rubbish", after=1), ConnectionClosed),
    ],
    ids=str,
)
async def test_a_websocket_goes_wrong_as_told(vendor, fault, expected):
    server, address = vendor
    server.fault = fault

    async def use():
        async with connect(address.ws, close_timeout=0.1) as socket:
            await socket.send("first")
            assert await socket.recv() == "first"
            await socket.send("second")
            await socket.recv()

    with pytest.raises(expected) as caught:
        await use()
    if fault.kind == "status":
        assert caught.value.response.status_code == 401
        assert b"INVALID_AUTH" in caught.value.response.body


async def test_in_memory_time_jumps(monkeypatch, autojump_clock):
    server = Countdown()
    server.fault = Fault("stall", after=0)
    async with open_memory_network(monkeypatch) as network, httpx.AsyncClient(trust_env=False, timeout=30) as client:
        address = network.listen("vendor.test", server)
        began = trio.current_time()
        with pytest.raises(httpx.ReadTimeout):
            await client.get(address.http)
        assert trio.current_time() - began == pytest.approx(30)
        server.fault = Fault("drip", pause_s=0.1)
        assert (await client.get(address.http)).text == "three two one"
        with pytest.raises(httpx.ConnectError):
            await client.get("http://elsewhere.test")
