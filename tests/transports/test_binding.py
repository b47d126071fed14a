"""Which addresses a listener is reached at."""

from __future__ import annotations

import errno
import socket

import pytest
import trio

from voicepipe import open_audiosocket_listener
from voicepipe.transports import binding
from voicepipe.transports.binding import listen_on


def has_ipv6():
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
BOTH = [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 0, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0)),
]


async def reached(host, port):
    try:
        await (await trio.open_tcp_stream(host, port)).aclose()
    except OSError:
        return False
    return True


async def which(listener, port=0):
    port = port or listener.address[1]
    return [host for host in ("127.0.0.1", "::1") if await reached(host, port)]


@ipv6
async def test_localhost_is_both(monkeypatch):
    async def getaddrinfo(*_args, **_options):
        await trio.lowlevel.checkpoint()
        return BOTH

    monkeypatch.setattr(trio.socket, "getaddrinfo", getaddrinfo)
    async with open_audiosocket_listener("localhost", 0) as listener:
        monkeypatch.undo()
        assert await which(listener) == ["127.0.0.1", "::1"]
        port = listener.address[1]
        listener.close()
        assert await which(listener, port) == []


@ipv6
async def test_all_addresses_of_both_kinds():
    async with open_audiosocket_listener("::", 0) as listener:
        assert await which(listener) == ["127.0.0.1", "::1"]
    async with open_audiosocket_listener("::", 0, ipv6_only=True) as six:
        assert await which(six) == ["::1"]
        async with open_audiosocket_listener("0.0.0.0", six.address[1]) as four:
            assert await which(four) == ["127.0.0.1", "::1"]


def test_an_address_that_the_machine_does_not_have_is_left_out_if_there_is_another():
    nowhere = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
    (only,) = listen_on([nowhere, BOTH[1]], backlog=1)
    with only:
        assert only.getsockname()[0] == "127.0.0.1"
    with pytest.raises(OSError) as caught:  # noqa: PT011 - its number is looked at
        listen_on([nowhere], backlog=1)
    assert caught.value.errno == errno.EADDRNOTAVAIL


@ipv6
def test_a_port_that_is_free_on_one_address_only_is_not_taken(monkeypatch):
    really, tried = binding._listen, []

    def listen(*args):
        tried.append(1)
        if len(tried) < 3:
            raise OSError(errno.EADDRINUSE, "taken")
        return really(*args)

    monkeypatch.setattr(binding, "_listen", listen)
    sockets = listen_on(BOTH, backlog=1)
    assert len({one.getsockname()[1] for one in sockets}) == 1
    for one in sockets:
        one.close()


def test_what_is_bound_is_given_back_when_another_address_is_taken():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        two = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.2", "127.0.0.1")]
        with pytest.raises(OSError, match="in use"):
            listen_on(two, backlog=1)
        socket.create_server(("127.0.0.2", port)).close()
