"""The client of etcd where a server asks who it is, is away, stands still, or is none."""

from __future__ import annotations

import socket

import pytest
import trio
import trustme
from etcd import open_etcd_server
from patience import LONG_S

from reference_engine.fleet.etcd.client import open_etcd
from reference_engine.fleet.etcd.errors import EtcdRefused, EtcdUnavailable, EtcdUnknown
from reference_engine.fleet.etcd.messages import Put
from reference_engine.settings.fleet_settings import EtcdSettings
from voicepipe import CaFile, Secret

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


def free_url():
    """An address where nothing listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


class Answering:
    """A server that gives one answer to each request, and none if that is None."""

    def __init__(self, answer, listener):
        self.answer, self.requests = answer, []
        self._listener = listener
        self.url = f"http://127.0.0.1:{listener.socket.getsockname()[1]}"

    async def serve(self):
        await trio.serve_listeners(self._answer, [self._listener])

    async def _answer(self, stream):
        async with stream:
            while data := await stream.receive_some():
                self.requests.append(data)
                if self.answer is None:
                    await trio.sleep_forever()
                if not data.endswith(b"\r\n\r\n"):
                    await stream.send_all(self.answer)


@pytest.fixture
async def answering(nursery):
    async def open_server(answer):
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server = Answering(answer, listener)
        nursery.start_soon(server.serve)
        return server

    return open_server


def answer(body, *, status=b"HTTP/1.1 200 OK"):
    return b"%s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (status, len(body), body)


async def test_the_next_server_is_asked_if_one_is_away(etcd):
    async with open_etcd(EtcdSettings(etcd=(free_url(), etcd.url))) as client:
        put = await client.txn((), [Put("/failover/a", b"1")])
        assert client.server == etcd.url
        assert len((await client.range("/failover/a")).kvs) == 1
        async with client.watch("/failover/a", from_revision=put.revision) as watch:
            assert (await watch.receive()).events[0].kv.value == b"1"


async def test_all_that_failed_is_said():
    one, two = free_url(), free_url()
    async with open_etcd(EtcdSettings(etcd=(one, two))) as client:
        with pytest.raises(EtcdUnavailable) as raised:
            await client.range("/a")
        with pytest.raises(EtcdUnavailable, match="can't be reached"):
            async with client.watch("/a", from_revision=1):
                pass
    for url in (one, two):
        assert f"{url} can't be reached: " in str(raised.value)
    assert str(raised.value).count("Connection refused") == 2


async def test_a_change_that_is_not_answered_may_have_been_made(answering, etcd):
    silent = await answering(None)
    async with open_etcd(EtcdSettings(etcd=(silent.url, etcd.url), timeout_s=0.2)) as client:
        with pytest.raises(EtcdUnknown, match=r"has not answered within 0\.2 s"):
            await client.txn((), [Put("/unknown/a", b"1")])
        assert client.server == etcd.url


async def test_what_changes_nothing_goes_to_the_next_server(answering, etcd):
    silent = await answering(None)
    async with open_etcd(EtcdSettings(etcd=(silent.url, etcd.url), timeout_s=0.3)) as client:
        assert (await client.range("/nothing")).kvs == ()


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (answer(b"<html>It works!</html>"), "has answered what is not etcd's: '<html>It works!</html>'"),
        (answer(b"Not Found\n", status=b"HTTP/1.1 404 Not Found"), "what is not etcd's: 'Not Found'"),
        (answer(b"[1]"), "what is not etcd's"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "has not answered"),
    ],
)
async def test_another_server_than_etcd_is_called_that(answering, given, says):
    server = await answering(given)
    async with open_etcd(EtcdSettings(etcd=(server.url,), timeout_s=0.5)) as client:
        with pytest.raises(EtcdUnavailable) as raised:
            await client.range("/a")
    assert says in str(raised.value)
    assert server.url in str(raised.value)


@pytest.mark.parametrize(
    ("reason", "kind", "code"),
    [
        ("etcdserver: no leader", EtcdUnavailable, 14),
        ("etcdserver: request timed out", EtcdUnknown, 14),
        ("etcdserver: permission denied", EtcdRefused, 7),
    ],
)
async def test_a_server_that_can_not_answer_now_is_not_a_refusal(answering, reason, kind, code):
    body = b'{"error":"%s","message":"%s","code":%d}' % (reason.encode(), reason.encode(), code)
    server = await answering(answer(body, status=b"HTTP/1.1 503 Service Unavailable"))
    async with open_etcd(EtcdSettings(etcd=(server.url,))) as client:
        with pytest.raises(kind) as raised:
            await client.txn((), [Put("/a", b"")])
    assert type(raised.value) is kind
    assert reason.removeprefix("etcdserver: ") in str(raised.value)


@pytest.mark.parametrize(
    "end",
    [
        b'{"error":{"grpc_code":14,"http_code":503,"message":"etcdserver: no leader","http_status":"Unavailable"}}\n',
        b'{"result":{"canceled":true,"cancel_reason":"etcdserver: no leader"}}\n',
    ],
)
async def test_an_error_within_a_stream_ends_the_watch(answering, end):
    chunks = b'{"result":{"header":{"revision":"5"},"created":true}}\n', end[:9], end[9:]
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    server = await answering(HEAD + b"transfer-encoding: chunked\r\n\r\n" + body)
    async with (
        open_etcd(EtcdSettings(etcd=(server.url,))) as client,
        client.watch("/a", from_revision=1) as watch,
    ):
        with pytest.raises(EtcdUnavailable, match=r"has ended the watch: .*no leader"), trio.fail_after(LONG_S):
            await watch.receive()


async def test_tls_users_and_a_restart(tmp_path):
    """One server for all of it, since each start takes a while."""
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client_certificate = authority.issue_cert("engine")
    client_certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "client.pem")
    ca = CaFile(tmp_path / "ca.pem", (tmp_path / "ca.pem").read_bytes())
    files = f"--cert-file={tmp_path}/server.pem", f"--key-file={tmp_path}/server.pem"
    with open_etcd_server(*files, scheme="https") as server:
        async with open_etcd(EtcdSettings(etcd=(server.url,))) as client:
            with pytest.raises(EtcdUnavailable, match=r"certificate verify failed.*fleet\.ca_file"):
                await client.range("/a")
        plain = server.url.replace("https", "http")
        async with open_etcd(EtcdSettings(etcd=(plain,))) as client:
            with pytest.raises(EtcdUnavailable, match="has not answered"):
                await client.range("/a")
        own = {"cert_file": tmp_path / "client.pem", "ca_file": ca, "etcd": (server.url,)}
        async with open_etcd(EtcdSettings(**own)) as client:
            await client.range("/a")
            for path, body in (
                ("user/add", {"name": "root", "password": "secret"}),
                ("role/add", {"name": "root"}),
                ("user/grant", {"user": "root", "role": "root"}),
                ("enable", {}),
            ):
                await client._request(f"/v3/auth/{path}", body)
            with pytest.raises(EtcdRefused, match="user name is empty"):
                await client.range("/a")
        wrong = EtcdSettings(etcd=(server.url,), ca_file=ca, user="root", password=Secret("wrong"))
        async with open_etcd(wrong) as client:
            with pytest.raises(EtcdRefused, match=r"refuses the user 'root': .*fleet\.user and \.password"):
                await client.range("/a")
        settings = EtcdSettings(etcd=(server.url,), ca_file=ca, user="root", password=Secret("secret"))
        async with open_etcd(settings) as client:
            await client.txn((), [Put("/a", b"1")])
            async with client.watch("/a", from_revision=1) as watch:
                assert (await watch.receive()).events[0].kv.value == b"1"
                server.kill()
                with pytest.raises(EtcdUnavailable, match="watch"):
                    await watch.receive()
            server.start()
            with trio.fail_after(LONG_S):
                while True:
                    try:
                        found = await client.range("/a")  # with a token that the server has forgotten
                        break
                    except EtcdUnavailable:
                        await trio.sleep(0.02)
            assert found.kvs[0].value == b"1"
            async with client.watch("/a", from_revision=1) as watch:
                assert (await watch.receive()).events[0].kv.value == b"1"
