"""A listener that has no room: what Asterisk is told, in each of the ways, and that calls are taken again at once."""

from __future__ import annotations

import socket
from uuid import UUID

import pytest
import trio
from patience import LONG_S, until

from voicepipe.errors import CallRefused
from voicepipe.testing.audiosocket_caller import open_audiosocket_call
from voicepipe.transports import connections
from voicepipe.transports.audiosocket.listener import open_audiosocket_listener
from voicepipe.transports.audiosocket.wire_format import ERROR, HANGUP, encode_audio, encode_uuid
from voicepipe.transports.binding import listen_on
from voicepipe.transports.listening_socket import ListeningSocket

HELLO = encode_uuid(UUID(int=7)) + encode_audio(0x10, b"\1\2" * 160)
ENDINGS = {"close_listener": "refused", "error": ERROR, "reset": "reset", "hang_up": HANGUP}
WAYS = list(ENDINGS)


class Calls:
    """A handler that holds each call until it is told to end one."""

    def __init__(self):
        self.up, self._end = 0, trio.Semaphore(0)

    async def __call__(self, transport):
        self.up += 1
        try:
            await self._end.acquire()
        finally:
            self.up -= 1

    def end_one(self):
        self._end.release()

    async def reach(self, count):
        await until(lambda: self.up == count)


async def outcome(listener, hello=HELLO):
    """What somebody who connects is told: that nobody listens, or what is sent until the end."""
    try:
        stream = await trio.open_tcp_stream(*listener.address)
    except OSError:
        return "refused"
    async with stream:
        try:
            await stream.send_all(hello)
            with trio.fail_after(LONG_S):
                return b"".join([data async for data in stream])
        except trio.BrokenResourceError:
            return "reset"


@pytest.mark.parametrize("way", WAYS)
async def test_at_max_connections(serve, connect, way):
    calls = Calls()
    listener = await serve(calls, max_connections=2, when_full=way)
    async with connect(listener) as one, connect(listener) as two:
        await one.send(HELLO)
        await two.send(HELLO)
        await calls.reach(2)
        for _ in range(3):
            assert await outcome(listener) == ENDINGS[way]
        assert listener.is_listening == (way != "close_listener")
        calls.end_one()
        await calls.reach(1)
        async with connect(listener) as three:  # as soon as there is a place
            await three.send(HELLO)
            await calls.reach(2)
            assert await outcome(listener) == ENDINGS[way]


@pytest.mark.parametrize("way", WAYS)
async def test_while_it_is_paused(serve, connect, way):
    calls = Calls()
    listener = await serve(calls, when_full=way)
    address = listener.address
    for _ in range(3):
        async with connect(listener) as up:
            await up.send(HELLO)
            await calls.reach(1)
            listener.pause()
            listener.pause()
            assert await outcome(listener) == ENDINGS[way]
            assert calls.up == 1
            listener.resume()
            listener.resume()
            async with connect(listener) as other:
                await other.send(HELLO)
                await calls.reach(2)
                calls.end_one()
                calls.end_one()
                await calls.reach(0)
    assert listener.address == address
    listener.pause()
    listener.close()
    listener.resume()
    assert not listener.is_listening


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_its_handler_refuses(serve, connect, way):
    """It has connected, so a closed listener comes too late: an error tells the dialplan."""

    async def refuse(transport):
        raise CallRefused("no")

    crashed = []
    listener = await serve(refuse, when_full=way, on_refused=crashed.append, on_crash=crashed.append)
    assert await outcome(listener) == (ERROR if way == "close_listener" else ENDINGS[way])
    assert not crashed, "whoever refuses it knows"


async def test_of_many_that_come_at_once_no_more_are_served_than_may_be(serve):
    calls, told = Calls(), []
    listener = await serve(calls, max_connections=3)
    async with trio.open_nursery() as nursery:

        async def ring():
            told.append(await outcome(listener))

        for _ in range(40):
            nursery.start_soon(ring)
        await until(lambda: len(told) == 37)
        assert calls.up == 3
        assert set(told) <= {"refused", "reset", ERROR}
        for left in 2, 1, 0:
            calls.end_one()
            await calls.reach(left)
    assert told[37:] == [HANGUP] * 3
    assert listener.is_listening


@pytest.mark.parametrize(("way", "ending"), [("error", "reset"), ("reset", "reset"), ("hang_up", HANGUP)])
async def test_connections_that_are_refused_are_bounded_too(serve, connect, monkeypatch, way, ending):
    monkeypatch.setattr(connections, "LINGERING", 1)
    calls, refused = Calls(), []
    listener = await serve(
        calls, max_connections=1, when_full=way, on_refused=lambda peer, error: refused.append((peer, str(error)))
    )
    async with connect(listener) as one, connect(listener) as lingering:
        await one.send(HELLO)
        await calls.reach(1)
        # The second of them, while the first has yet to close; a reset may come before connecting is over.
        assert await outcome(listener) in ({"reset", "refused"} if ending == "reset" else {ending})
        assert len(refused) >= 1
        assert "raise max_connections" in refused[0][1]
        await lingering.stream.send_eof()


async def test_a_caller_is_told_by_the_public_test_kit_too(serve):
    async def refuse(transport):
        raise CallRefused("no")

    listener = await serve(refuse)
    async with open_audiosocket_call(port=listener.address[1]) as caller:
        await caller.hung_up.wait()
        assert caller.how == "0xff"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_its_port_stays_its_own_while_it_is_closed(host):
    async with open_audiosocket_listener(host, 0) as listener, trio.open_nursery() as nursery:
        nursery.start_soon(listener.serve, Calls())
        await trio.testing.wait_all_tasks_blocked()
        address = listener.address
        listener.pause()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family) as other, pytest.raises(OSError, match="in use"):
            other.bind(address)
        listener.resume()
        assert listener.address == address
        async with await trio.open_tcp_stream(*address):
            nursery.cancel_scope.cancel()


async def test_all_addresses_of_a_host_are_closed(serve):
    listener = await serve(Calls(), host="localhost")
    addresses = [listening.address for listening in listener._listening_sockets]
    assert {port for _, port in addresses} == {listener.address[1]}
    for pause in True, False, True:
        if pause:
            listener.pause()
        else:
            listener.resume()
        for address in addresses:
            try:
                stream = await trio.open_tcp_stream(*address)
            except OSError:
                assert pause
            else:
                await stream.aclose()
                assert not pause


async def test_listening_is_tried_again_while_the_system_refuses_it(autojump_clock):
    """Whoever took the address meanwhile gives it back at last."""
    (bound,) = listen_on(socket.getaddrinfo("127.0.0.1", 0, type=socket.SOCK_STREAM), backlog=1)
    with bound:
        listening = ListeningSocket(bound)
        listening.listen(False)
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(listening.address)
            thief.listen()
            listening.listen(True)
            assert not listening.listening
            with pytest.raises(OSError, match="in use"):
                await listening.accept()
        async with trio.open_nursery() as nursery:

            @nursery.start_soon
            async def _accept():
                connection, _ = await listening.accept()
                connection.close()

            await trio.sleep(5)
            assert listening.listening
            with socket.create_connection(listening.address):
                await trio.sleep(1)
        listening.close()
