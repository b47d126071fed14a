"""Byte streams to servers: plain and TLS on real sockets, and on a network in memory."""

from __future__ import annotations

import socket
import ssl
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
import trio.testing
import trustme
from patience import LONG_S
from vendors.serving import open_memory_network

from voicepipe.wire.byte_stream import MOST_UNSENT, READ_SIZE, open_byte_stream

CA = trustme.CA()
MUCH = bytes(range(256)) * 2000
"""More than a socket takes at once."""


def client_context(ca=CA):
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def server_context():
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    CA.issue_cert("127.0.0.1").configure_cert(context)
    return context


@asynccontextmanager
async def connected(handler, *, tls=False):
    """A stream to a server that is `handler` of a trio stream."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    for listener in listeners:
        listener.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    port = listeners[0].socket.getsockname()[1]
    if tls:
        listeners = [trio.SSLListener(listener, server_context(), https_compatible=True) for listener in listeners]

    async def handle(stream):
        if tls:
            await stream.do_handshake()  # else it would only come with the handler's first read
        await handler(stream)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handle, listeners)
        stream = await open_byte_stream("127.0.0.1", port, client_context() if tls else None)
        try:
            with trio.fail_after(LONG_S):
                yield stream
        finally:
            await stream.aclose()
            nursery.cancel_scope.cancel()


plain_and_tls = pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])


async def read_all(stream, size):
    read = b""
    while len(read) < size:
        piece = await stream.read()
        assert 0 < len(piece) <= READ_SIZE
        read += piece
    return read


async def echo(stream):
    while data := await stream.receive_some():
        await stream.send_all(data)


class Reader:
    """Reads once it is told to."""

    def __init__(self) -> None:
        self.begin = trio.Event()
        self.read = bytearray()
        self.over = trio.Event()

    async def __call__(self, stream):
        await self.begin.wait()
        while len(self.read) < len(MUCH):
            self.read += await stream.receive_some()
        self.over.set()


@plain_and_tls
async def test_both_directions_at_once(tls):
    async with connected(echo, tls=tls) as stream, trio.open_nursery() as nursery:
        stream.write_nowait(b"first ")
        stream.write_nowait(MUCH)
        nursery.start_soon(stream.flush)
        assert await read_all(stream, 6 + len(MUCH)) == b"first " + MUCH
        assert stream.is_flushed


@plain_and_tls
async def test_a_full_socket_keeps_the_rest_and_the_order(tls):
    reader = Reader()
    async with connected(reader, tls=tls) as stream:
        half = len(MUCH) // 2
        stream.write_nowait(MUCH[:half])
        assert not stream.is_flushed
        with trio.move_on_after(0.01) as impatient:  # nobody reads
            await stream.flush()
        assert impatient.cancelled_caught
        stream.write_nowait(MUCH[half:])
        reader.begin.set()
        async with trio.open_nursery() as nursery:  # two may wait
            nursery.start_soon(stream.flush)
            nursery.start_soon(stream.flush)
        assert stream.is_flushed
        await reader.over.wait()
    assert reader.read == MUCH


@plain_and_tls
async def test_a_server_that_takes_nothing_is_not_waited_for_with_ever_more(tls):
    async def deaf(stream):
        await trio.sleep_forever()

    async with connected(deaf, tls=tls) as stream:

        def write_ever_more():
            for _ in range(2 * MOST_UNSENT // len(MUCH) + 20):
                stream.write_nowait(MUCH)

        with pytest.raises(OSError, match="takes nothing"):
            write_ever_more()


@plain_and_tls
async def test_what_is_there_is_read_without_waiting_and_a_cancelled_read_loses_nothing(tls):
    async with connected(echo, tls=tls) as stream:
        assert stream.read_nowait() is None
        with trio.move_on_after(0.01) as impatient:
            await stream.read()
        assert impatient.cancelled_caught
        stream.write_nowait(b"hello")
        read = await stream.read()
        while len(read) < 5:
            read += await stream.read()
        assert read == b"hello"
        assert stream.read_nowait() is None


@plain_and_tls
async def test_the_end_is_empty(tls):
    async def goodbye(stream):
        await stream.send_all(b"bye")
        await stream.aclose()

    async with connected(goodbye, tls=tls) as stream:
        assert await read_all(stream, 3) == b"bye"
        assert await stream.read() == b""
        assert stream.read_nowait() == b""


async def test_a_reset_is_an_error():
    async def reset(stream):
        await stream.receive_some()
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        stream.socket.close()

    async with connected(reset) as stream:
        stream.write_nowait(b"hello")
        with pytest.raises(ConnectionResetError):
            await stream.read()


@plain_and_tls
async def test_closing_wakes_a_reader(tls):
    async with connected(echo, tls=tls) as stream:

        async def read():
            with pytest.raises(trio.ClosedResourceError):
                await stream.read()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()
        await stream.aclose()  # twice is fine


async def test_a_certificate_that_is_not_trusted():
    listeners = await trio.open_ssl_over_tcp_listeners(0, server_context(), host="127.0.0.1")
    port = listeners[0].transport_listener.socket.getsockname()[1]

    async def refused(stream):
        with pytest.raises(trio.BrokenResourceError):
            await stream.do_handshake()

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, refused, listeners)
        with pytest.raises(ssl.SSLCertVerificationError):
            await open_byte_stream("127.0.0.1", port, client_context(trustme.CA()))
        nursery.cancel_scope.cancel()


async def test_a_network_in_memory(autojump_clock, monkeypatch):
    async with open_memory_network(monkeypatch) as network:
        network.listen("acme.test", echo)
        stream = await open_byte_stream("acme.test", 80, None)
        stream.write_nowait(b"hello")
        assert not stream.is_flushed  # it can't tell
        await stream.flush()
        assert stream.is_flushed
        assert await stream.read() == b"hello"
        assert stream.read_nowait() is None
        await stream.aclose()
        with pytest.raises(OSError, match="refused"):
            await open_byte_stream("elsewhere.test", 80, None)


async def test_a_handshake_can_be_cancelled():
    async def mute(stream):
        await trio.sleep_forever()

    async with trio.open_nursery() as nursery:
        (listener,) = await nursery.start(partial(trio.serve_tcp, mute, 0, host="127.0.0.1"))
        before = trio.lowlevel.current_statistics().io_statistics.tasks_waiting_read
        with trio.move_on_after(0.01) as impatient:
            await open_byte_stream("127.0.0.1", listener.socket.getsockname()[1], client_context())
        assert impatient.cancelled_caught
        assert trio.lowlevel.current_statistics().io_statistics.tasks_waiting_read <= before + 1
        nursery.cancel_scope.cancel()


async def test_a_stream_that_was_closed_here_has_nothing_unsent():
    """A listener looks at all of its connections, one of which may just be closing."""
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        stream = await open_byte_stream(*listener.socket.getsockname(), None)
        await stream.aclose()
        assert stream.unsent_bytes == 0
