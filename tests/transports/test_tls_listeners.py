"""Listeners with a certificate: its faults, calls over TLS, and a certificate that is replaced while calls are up."""

from __future__ import annotations

import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trustme
from cryptography.hazmat.primitives import serialization
from test_websocket_listener import Calls, Site
from websockets.trio.client import connect

from voicepipe.errors import TransportError
from voicepipe.transports.audiosocket.listener import open_audiosocket_listener
from voicepipe.transports.audiosocket.wire_format import HANGUP, encode_audio
from voicepipe.transports.listener import ListenerContext
from voicepipe.transports.tls import ServerTls, TlsFiles, check_tls
from voicepipe.transports.websocket_listener import open_websocket_listener

if TYPE_CHECKING:
    from pathlib import Path

UUID_FRAME = b"\x01\x00\x10" + bytes(range(16))
AUDIO = bytes(range(160)) * 2


@pytest.fixture(scope="module")
def ca():
    return trustme.CA()


def write(ca: trustme.CA, directory: Path, name: str = "127.0.0.1") -> TlsFiles:
    issued = ca.issue_cert(name)
    files = TlsFiles(directory / "tls.crt", directory / "tls.key")
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    files.key.write_bytes(issued.private_key_pem.bytes())
    return files


def client(ca: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    ca.configure_trust(context)
    return context


def lock(files: TlsFiles) -> None:
    """Gives the key a password."""
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    encryption = serialization.BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption))


@pytest.mark.parametrize(
    ("spoil", "path", "words"),
    [
        (lambda files, _: files.certificate.unlink(), "tls.certificate", "does not exist"),
        (lambda files, _: files.key.unlink(), "tls.key", "does not exist"),
        (lambda files, _: files.certificate.write_text("nothing"), "tls.certificate", "is not a PEM file"),
        (lambda files, _: files.certificate.write_bytes(files.key.read_bytes()), "tls.certificate", "no certificate"),
        (lambda files, _: files.key.write_text("nothing"), "tls.key", "no private key"),
        (lambda files, _: lock(files), "tls.key", "has a password"),
        (lambda files, other: files.key.write_bytes(other.key.read_bytes()), "tls.key", "another certificate"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_said_at_its_file(ca, tmp_path, spoil, path, words):
    files = write(ca, tmp_path)
    (tmp_path / "other").mkdir()
    assert list(check_tls(files)) == []
    assert list(check_tls(None)) == []
    spoil(files, write(ca, tmp_path / "other"))
    (problem,) = check_tls(files)
    assert problem.path == path
    assert words in problem.message
    assert problem.hint


@asynccontextmanager
async def site_with(files: TlsFiles):
    refused: list[str] = []
    context = ListenerContext(on_refused=lambda _, error: refused.append(str(error)))
    async with (
        open_websocket_listener("127.0.0.1", 0, Calls(), context, tls=files) as listener,
        trio.open_nursery() as nursery,
    ):
        site = Site(listener, refused, [])
        nursery.start_soon(listener.serve, site.echo)
        yield site
        nursery.cancel_scope.cancel()


async def test_a_websocket_over_tls_takes_messages_larger_than_a_read(ca, tmp_path):
    headers = {"Authorization": "Bearer open"}
    async with site_with(write(ca, tmp_path)) as site:
        url = site.url.replace("ws://", "wss://")
        async with connect(url, ssl=client(ca), additional_headers=headers) as caller:
            await caller.send("start")
            for size in (1, 320, 8_191, 16_384, 16_385, 60_000):
                await caller.send(bytes(size))
                assert await caller.recv() == bytes(size)
            # Three messages in one record: the hub must not wait for the socket while TLS holds two of them.
            await caller.send(b"a" * 5_000)
            await caller.send(b"b" * 5_000)
            assert await caller.recv() == b"a" * 5_000
            assert await caller.recv() == b"b" * 5_000
    assert site.refused == []


async def test_who_speaks_no_tls_is_refused(ca, tmp_path):
    async with site_with(write(ca, tmp_path)) as site:
        stream = await trio.open_tcp_stream("127.0.0.1", site.listener.address[1])
        async with stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            with trio.fail_after(5), suppress(trio.BrokenResourceError):  # a reset: its request is not read
                while await stream.receive_some():
                    pass
        await trio.testing.wait_all_tasks_blocked()
        (refused,) = site.refused
        assert "HTTP_REQUEST" in refused or "http request" in refused


async def test_a_new_certificate_is_used_for_new_connections(ca, tmp_path, caplog):
    files = write(ca, tmp_path, "first.example")
    tls = ServerTls(files)

    async def subject() -> str:
        plain, server = trio.testing.memory_stream_pair()
        theirs = trio.SSLStream(server, await tls.context(), server_side=True)
        context = client(ca)
        context.check_hostname = False
        ours = trio.SSLStream(plain, context)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(theirs.do_handshake)
            await ours.do_handshake()
        return str(ours.getpeercert()["subjectAltName"][0][1])

    assert await subject() == "first.example"
    write(ca, tmp_path, "second.example")
    assert await subject() == "second.example"
    files.certificate.write_text("nothing")
    assert await subject() == "second.example"
    assert await subject() == "second.example"
    assert caplog.text.count("the previous one is still used") == 1
    write(ca, tmp_path, "third.example")
    assert await subject() == "third.example"


async def test_a_certificate_that_can_t_be_used_opens_no_listener(ca, tmp_path):
    files = write(ca, tmp_path)
    files.key.unlink()
    with pytest.raises(OSError, match=r"the key file .* does not exist"):
        async with open_websocket_listener("127.0.0.1", 0, Calls(), ListenerContext(), tls=files):
            pass
    with pytest.raises(OSError, match=r"the key file .* does not exist"):
        async with open_audiosocket_listener("127.0.0.1", 0, tls=files):
            pass


async def test_audiosocket_over_tls(ca, tmp_path):
    heard, refused = bytearray(), []

    class Sink:
        def audio(self, audio):
            heard.extend(audio)

        def hung_up(self, reason):
            heard.extend(b"END")

    async def handler(transport):
        assert transport.write(AUDIO)
        await transport.run(Sink())

    files = write(ca, tmp_path)
    async with (
        open_audiosocket_listener(
            "127.0.0.1", 0, tls=files, on_refused=lambda _, error: refused.append(error)
        ) as listener,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(listener.serve, handler)
        host, port = listener.address
        stream = trio.SSLStream(await trio.open_tcp_stream(host, port), client(ca), server_hostname="127.0.0.1")
        await stream.send_all(UUID_FRAME + encode_audio(0x10, AUDIO) * 80 + HANGUP)  # two records and more
        received = b""
        with trio.fail_after(5):
            while len(received) < len(AUDIO) + 3:
                received += await stream.receive_some()
        assert received[: len(AUDIO) + 3] == encode_audio(0x10, AUDIO)
        plain = await trio.open_tcp_stream(host, port)
        await plain.send_all(UUID_FRAME)
        with trio.fail_after(5), suppress(trio.BrokenResourceError):
            while await plain.receive_some():
                pass
        await trio.aclose_forcefully(stream)
        await plain.aclose()
        listener.close()
    assert bytes(heard) == AUDIO * 80 + b"END"
    assert [type(error) for error in refused] == [TransportError]
