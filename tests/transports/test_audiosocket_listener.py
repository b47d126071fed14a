"""The listener: who is let in, who is not, and how it ends."""

from __future__ import annotations

import os
import resource
import socket
from contextlib import suppress
from uuid import UUID

import pytest
import trio
import trio.testing
from patience import LONG_S, until

from voicepipe.transports import connections
from voicepipe.transports.audiosocket.listener import open_audiosocket_listener, serve_audiosocket
from voicepipe.transports.audiosocket.wire_format import HANGUP, encode_audio, encode_uuid

HELLO = encode_uuid(UUID(int=7)) + encode_audio(0x10, bytes(320))


class Calls:
    """A handler that holds each call until it is told to end it."""

    def __init__(self):
        self.end = trio.Event()
        self.up = 0
        self._began = trio.Event()

    async def __call__(self, transport):
        self.up += 1
        self._began.set()
        self._began = trio.Event()
        try:
            await self.end.wait()
        finally:
            self.up -= 1

    async def reach(self, count):
        while self.up < count:
            await self._began.wait()


@pytest.fixture
def refused():
    return []


@pytest.fixture
def on_refused(refused):
    return lambda peer, error: refused.append((peer, str(error)))


async def never(transport):
    raise AssertionError("that was no call")


async def test_a_connection_without_a_byte_is_nothing(serve, connect, refused, on_refused):
    listener = await serve(never, on_refused=on_refused)
    async with connect(listener) as asterisk:
        await asterisk.stream.send_eof()
        assert await asterisk.receive_all() == b""
    assert not refused


@pytest.mark.parametrize(
    ("sent", "eof", "answer", "says"),
    [
        (HELLO[:10], True, b"", "began with half a frame"),
        (HELLO[:10], False, HANGUP, "began with half a frame"),
        (b"", False, HANGUP, "no UUID within 0.5 s"),
        (HELLO[19:], False, HANGUP, "a frame of kind 0x10 came before the UUID"),
        (HANGUP, False, HANGUP, "a frame of kind 0x00 came before the UUID"),
        (b"GET / HTTP/1.1\r\n\r\n", False, HANGUP, "no such kind"),
    ],
    ids=["half, FIN", "half", "silent", "audio", "hang-up", "HTTP"],
)
async def test_what_does_not_begin_with_a_uuid_is_refused(serve, connect, refused, on_refused, sent, eof, answer, says):
    listener = await serve(never, identify_timeout=0.5, on_refused=on_refused)
    async with connect(listener) as stranger:
        await stranger.send(sent)
        if eof:
            await stranger.stream.send_eof()
        assert await stranger.receive_all() == answer
        host, port = stranger.stream.socket.getsockname()
    ((peer, error),) = refused
    assert peer == f"{host}:{port}"
    assert says in error


async def test_connections_are_bounded_and_the_rest_returns_to_the_dialplan(serve, connect, refused, on_refused):
    calls = Calls()
    listener = await serve(calls, max_connections=2, when_full="hang_up", on_refused=on_refused)
    async with connect(listener) as one, connect(listener) as two:
        await one.send(HELLO)
        await two.send(HELLO)
        await calls.reach(2)
        assert listener.calls == 2
        async with connect(listener) as three:
            await three.send(HELLO)
            assert await three.receive_all() == HANGUP
        assert "2 connections are up already; raise max_connections" in refused[0][1]
        calls.end.set()
        assert await one.receive_all() == await two.receive_all() == HANGUP
    calls.end = trio.Event()
    async with connect(listener) as four:
        await four.send(HELLO)
        await calls.reach(1)
    assert len(refused) == 1


async def test_refused_connections_are_bounded_too(serve, connect, refused, on_refused, monkeypatch):
    monkeypatch.setattr(connections, "LINGERING", 1)
    calls = Calls()
    listener = await serve(calls, max_connections=1, when_full="hang_up", on_refused=on_refused)
    async with connect(listener) as one, connect(listener) as lingering:
        await one.send(HELLO)
        await calls.reach(1)
        assert await lingering.receive_all() == HANGUP  # and does not close its side
        async with connect(listener) as cut_off:
            assert await cut_off.receive_all() == HANGUP
    assert len(refused) == 2


async def test_close_lets_the_calls_finish(connect):
    calls = Calls()
    async with open_audiosocket_listener(port=0) as listener, trio.open_nursery() as nursery:
        returned = trio.Event()

        async def serve():
            await listener.serve(calls)
            returned.set()

        nursery.start_soon(serve)
        async with connect(listener) as asterisk:
            await asterisk.send(HELLO)
            await calls.reach(1)
            address = listener.address
            listener.close()
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(OSError, match="refused"), socket.create_connection(address, 0.5):
                pass
            assert not returned.is_set()
            assert listener.calls == 1
            calls.end.set()
            assert await asterisk.receive_all() == HANGUP
        with trio.fail_after(LONG_S):
            await returned.wait()


async def test_cancelling_says_hang_up_and_leaves_no_socket(sockets, connect):
    before = sockets()
    calls = Calls()
    async with trio.open_nursery() as nursery:
        listener = await nursery.start(serve_audiosocket, calls, "127.0.0.1", 0)
        async with connect(listener) as one, connect(listener) as two, connect(listener) as unidentified:
            await one.send(HELLO)
            await two.send(HELLO)
            await calls.reach(2)
            await unidentified.send(HELLO[:5])
            with trio.fail_after(LONG_S):
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    for peer in one, two, unidentified:
                        assert await peer.receive_all() == HANGUP
    assert calls.up == 0
    assert sockets() == before


async def test_a_crash_costs_its_call_only(serve, connect):
    crashes, calls = [], Calls()

    async def handler(transport):
        if transport.info.transport_id == str(UUID(int=7)):
            raise ZeroDivisionError("seven")
        await calls(transport)

    listener = await serve(handler, on_crash=lambda info, error: crashes.append((info.transport_id, error)))
    async with connect(listener) as good, connect(listener) as bad:
        await good.send(encode_uuid(UUID(int=8)) + HELLO[19:])
        await calls.reach(1)
        await bad.send(HELLO)
        assert await bad.receive_all() == HANGUP
        assert calls.up == 1
    ((call_id, error),) = crashes
    assert call_id == str(UUID(int=7))
    assert isinstance(error, ZeroDivisionError)


async def test_a_crash_that_nobody_is_told_of_is_logged(serve, connect, caplog):
    calls = Calls()

    async def handler(transport):
        if transport.info.transport_id == str(UUID(int=7)):
            raise ZeroDivisionError("seven")
        await calls(transport)

    listener = await serve(handler)
    async with connect(listener) as good, connect(listener) as bad:
        await good.send(encode_uuid(UUID(int=8)) + HELLO[19:])
        await calls.reach(1)
        await bad.send(HELLO)
        assert await bad.receive_all() == HANGUP
        assert calls.up == 1
    (record,) = [record for record in caplog.records if record.name == "voicepipe"]
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_a_call_that_can_not_be_kept_alive_ends_alone(serve, connect, heard):
    """The others' silence is filled all the same."""
    crashes, up = [], {}

    async def handler(transport):
        up[transport.info.transport_id] = transport
        await transport.run(heard)

    listener = await serve(handler, on_crash=lambda info, error: crashes.append((info.transport_id, error)))
    async with connect(listener) as good, connect(listener) as bad:
        await good.send(encode_uuid(UUID(int=8)) + HELLO[19:])
        await bad.send(HELLO)
        await until(lambda: len(up) == 2)
        up[str(UUID(int=7))].write_silence = lambda: 1 / 0
        assert HANGUP in await bad.receive_all()
        ((call_id, error),) = crashes
        assert (call_id, type(error)) == (str(UUID(int=7)), ZeroDivisionError)
        assert await good.receive(1, silence=True)
        assert listener.calls == 1


async def test_a_transport_error_in_a_handlers_nursery_costs_its_call_only(serve, connect, heard, refused, on_refused):
    async def handler(transport):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(transport.run, heard)

    listener = await serve(handler, on_refused=on_refused)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO)
        await heard.something.wait()
        await asterisk.send(b"\x77\0\0")
        assert await asterisk.receive_all() == HANGUP
    assert "no such kind" in refused[0][1]


async def test_no_descriptors_left_is_reported_once_and_survived(serve, connect, heard, refused, on_refused):
    calls = Calls()
    listener = await serve(calls, on_refused=on_refused)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    hogs = []
    with socket.socket() as asterisk:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(256, hard), hard))
            with suppress(OSError):
                while True:
                    hogs.append(os.dup(0))
            asterisk.connect(listener.address)
            asterisk.send(HELLO)
            await until(lambda: refused)
            await trio.sleep(connections.NO_RESOURCES_S * 3)
            assert refused == [("", refused[0][1])]
            assert "Too many open files; raise the limit of open files" in refused[0][1]
            assert calls.up == 0
        finally:
            for hog in hogs:
                os.close(hog)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        with trio.fail_after(LONG_S):
            await calls.reach(1)


async def test_small_frames_leave_at_once(serve, connect):
    delays = []

    async def handler(transport):
        delays.append(transport._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    listener = await serve(handler)
    async with connect(listener) as asterisk:
        await asterisk.send(HELLO)
        await asterisk.receive_all()
    assert delays == [1]


async def test_where_it_can_not_listen_is_said(serve):
    listener = await serve(never)
    host, port = listener.address
    with pytest.raises(OSError, match=f"can't listen on {host}:{port}: Address already in use"):
        async with open_audiosocket_listener(host, port):
            pass


async def test_options_that_make_no_sense():
    for options in {"rate": 11025}, {"max_connections": 0}, {"identify_timeout": 0}, {"when_full": "wait"}:
        with pytest.raises(ValueError, match=next(iter(options))):
            async with open_audiosocket_listener(port=0, **options):
                pass
