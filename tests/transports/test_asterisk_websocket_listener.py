"""Calls of chan_websocket over real sockets: who may connect, and that either side can hang up."""

from __future__ import annotations

import base64
import ssl
from contextlib import asynccontextmanager

import pytest
import trio
import trustme
from attrs import define, field
from patience import until
from websockets.exceptions import InvalidStatus
from websockets.trio.client import connect

from tests.transports.chan_websocket_captures import CAPTURES
from voicepipe.audio import level
from voicepipe.components.values import Secret
from voicepipe.errors import CallRefused, ComponentError
from voicepipe.testing.asterisk_websocket_caller import open_asterisk_websocket_call
from voicepipe.testing.transport import voice
from voicepipe.transports.asterisk_websocket.listener import AsteriskWebSocketOptions, asterisk_websocket
from voicepipe.transports.listener import ListenerContext
from voicepipe.transports.tls import TlsFiles

PASSWORD = Secret("correct horse battery")
TOKEN = Secret("0123456789abcdef")


@define(eq=False, slots=False)
class Echo:
    """A handler that says back what it hears, mark by mark, until a key is pressed."""

    infos: list = field(factory=list)
    digits: str = ""
    marks: list = field(factory=list)
    ended: list = field(factory=list)

    async def __call__(self, transport):
        self.infos.append(transport.info)
        self.transport = transport
        self.pressed = trio.Event()
        async with trio.open_nursery() as nursery:

            async def run():
                await transport.run(self)
                nursery.cancel_scope.cancel()

            nursery.start_soon(run)
            await self.pressed.wait()
            nursery.cancel_scope.cancel()

    def audio(self, audio):
        self.transport.write(bytes(audio))
        self.transport.mark(len(self.marks) + 1)

    def dtmf(self, digit):
        self.digits += digit
        if digit == "#":
            self.pressed.set()

    def heard(self, mark):
        self.marks.append(mark)

    def hung_up(self, reason):
        self.ended.append(reason)


@asynccontextmanager
async def open_door(handler, **options):
    """A listener that serves, its `ws://host:port`, and what it refused."""
    refused = []
    context = ListenerContext(name="door", on_refused=lambda _peer, why: refused.append(str(why)))
    async with (
        asterisk_websocket.open(AsteriskWebSocketOptions(port=0, **options), context) as listener,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(listener.serve, handler)
        host, port = listener.address
        yield f"ws://{host}:{port}", refused
        nursery.cancel_scope.cancel()


def basic(text):
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


@pytest.mark.parametrize(
    ("options", "target", "headers", "status"),
    [
        ({}, "/", {}, 101),
        ({}, "/any/path?caller=1", {}, 101),
        ({"path": "/media"}, "/media?caller=1", {}, 101),
        ({"path": "/media"}, "/media/", {}, 101),
        ({"path": "/media"}, "/medium", {}, 404),
        ({"path": "/media"}, "/", {}, 404),
        ({"username": "pbx", "password": PASSWORD}, "/", {}, 401),
        ({"username": "pbx", "password": PASSWORD}, "/", basic(f"pbx:{PASSWORD}"), 101),
        ({"username": "pbx", "password": PASSWORD}, "/", basic(f"pbx:{PASSWORD} "), 401),
        ({"username": "pbx", "password": PASSWORD}, "/", basic(f":{PASSWORD}"), 401),
        ({"username": "pbx", "password": PASSWORD}, "/", basic("pbx:"), 401),
        ({"username": "pbx", "password": PASSWORD}, "/", {"Authorization": f"Bearer {PASSWORD}"}, 401),
        ({"username": "pbx", "password": PASSWORD}, "/", {"Authorization": "Basic %%%"}, 401),
        ({"username": "pbx", "password": PASSWORD}, "/", {"Authorization": "Basic /w=="}, 401),
        ({"username": "pbx", "password": PASSWORD, "path": "/media"}, "/else", {}, 401),
        ({"token": TOKEN}, "/", {}, 401),
        ({"token": TOKEN}, f"/media?token={TOKEN}&caller=1", {}, 101),
        ({"token": TOKEN, "path": "/media"}, f"/media?token={TOKEN}", {}, 101),
        ({"token": TOKEN, "path": "/media"}, f"/else?token={TOKEN}", {}, 404),
        ({"token": TOKEN}, f"/media/{TOKEN[:-1]}", {}, 401),
        ({"token": TOKEN}, f"/media?token={TOKEN[:-1]}", {}, 401),
        ({"token": TOKEN}, "/media?token=", {}, 401),
        ({"token": TOKEN, "username": "pbx", "password": PASSWORD, "path": "/m"}, "/m", basic(f"pbx:{PASSWORD}"), 101),
    ],
)
async def test_who_may_connect(options, target, headers, status):
    """Whoever may is upgraded at once, with the subprotocol that Asterisk offers; the others get no call."""
    async with open_door(Echo(), **options) as (url, refused):
        opening = connect(url + target, additional_headers=headers, subprotocols=["media"])
        if status == 101:
            async with opening as websocket:
                assert websocket.subprotocol == "media"
            return
        with pytest.raises(InvalidStatus) as error:
            async with opening:
                pass
        response = error.value.response
        assert response.status_code == status
        assert ("WWW-Authenticate" in response.headers) == (status == 401)
        assert len(refused) == 1
        assert str(status) in refused[0]
        assert TOKEN not in refused[0]


async def test_a_browser_is_told_that_this_is_no_page():
    async with open_door(Echo()) as (url, _refused):
        host, _, port = url.removeprefix("ws://").partition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 426")


def problems(**options):
    return [(p.path, p.message) for p in asterisk_websocket.check(AsteriskWebSocketOptions(**options))]


def test_options_that_do_not_fit_together():
    assert problems() == problems(username="pbx", password=PASSWORD) == problems(token=TOKEN) == []
    assert [path for path, _ in problems(username="pbx")] == ["username"]
    assert [path for path, _ in problems(password=PASSWORD)] == ["password"]
    assert [path for path, _ in problems(username="p:x", password=PASSWORD)] == ["username"]
    assert [path for path, _ in problems(host="0.0.0.0")] == ["host"]
    assert problems(host="0.0.0.0", token=TOKEN) == problems(host="::", username="p", password=PASSWORD) == []
    for options in {"path": "media"}, {"path": "/media?x=1"}, {"password": Secret("short")}, {"token": Secret("short")}:
        with pytest.raises(ValueError, match="must"):
            AsteriskWebSocketOptions(**options)


def loud_frames(pcm, audio):
    size = audio.bytes_in(20)
    return [frame for at in range(0, len(pcm), size) if level(frame := pcm[at : at + size]) > 100]


@pytest.mark.parametrize(
    ("format_name", "as_json"), [("slin", True), ("slin", False), ("slin16", True), ("ulaw", True), ("alaw", False)]
)
async def test_a_conversation(format_name, as_json):
    """What the caller says is heard back, and a key ends the call by HANGUP."""
    echo = Echo()
    async with (
        open_door(echo) as (url, refused),
        open_asterisk_websocket_call(
            f"{url}/media?caller=15551230001&token=of-somebody",
            format_name=format_name,
            as_json=as_json,
            variables={"VP_CALLER": "15551230002"},
        ) as caller,
    ):
        said = voice(caller.audio.rate, 200)
        await caller.say(said)
        await until(lambda: len(loud_frames(caller.recording()[1], caller.audio)) == 10)
        if format_name.startswith("slin"):
            heard = loud_frames(caller.recording()[1], caller.audio)
            assert b"".join(heard) == said
        await caller.dtmf("5")
        await caller.dtmf("#")
        await caller.hung_up.wait()
        assert caller.how == "HANGUP"
        assert caller.asterisk.ignored == []
        assert caller.asterisk.dropped_bytes == 0
    assert echo.infos[0].caller == ("15551230002" if as_json else "15551230001")
    assert "token" not in echo.infos[0].variables
    assert echo.digits == "5#"
    assert echo.marks
    assert (refused, echo.ended) == ([], [])


async def test_the_caller_hangs_up():
    echo = Echo()
    async with open_door(echo) as (url, _refused):
        async with open_asterisk_websocket_call(url) as caller:
            await caller.say(voice(8000, 60))
        await until(lambda: echo.ended)
    assert echo.ended == ["the other side closed with code 1000"]


async def test_a_refused_call_ends_at_once():
    async def refuse(_transport):
        raise CallRefused("no room")

    async with open_door(refuse) as (url, _refused), open_asterisk_websocket_call(url) as caller:
        await caller.hung_up.wait()
        assert caller.how == "closed 1013"


async def test_opus_is_refused_with_the_change_of_the_dialplan():
    async with open_door(Echo()) as (url, refused):
        async with connect(url) as websocket:
            start = CAPTURES[0].read_text().partition("MEDIA_START")[2].partition('"')[0]
            await websocket.send("MEDIA_START" + start.replace("ulaw", "opus").replace("size:160", "size:0"))
            with pytest.raises(Exception, match="1013"):
                await websocket.recv()
        assert refused
        assert "add c(slin)" in refused[0]


async def test_a_call_over_tls(tmp_path):
    ca = trustme.CA()
    issued = ca.issue_cert("127.0.0.1")
    files = TlsFiles(tmp_path / "tls.crt", tmp_path / "tls.key")
    issued.cert_chain_pems[0].write_to_path(files.certificate)
    issued.private_key_pem.write_to_path(files.key)
    trusted = ssl.create_default_context()
    ca.configure_trust(trusted)
    assert problems(tls=files) == []
    assert [path for path, _ in problems(tls=TlsFiles(files.certificate, tmp_path / "none"))] == ["tls.key"]
    async with (
        open_door(Echo(), tls=files) as (url, _refused),
        open_asterisk_websocket_call(url.replace("ws:", "wss:"), ssl_context=trusted) as caller,
    ):
        await caller.say(voice(8000, 60))
        await caller.dtmf("#")
        await caller.hung_up.wait()
        assert caller.how == "HANGUP"


async def test_a_wrong_password_is_the_callers_error():
    async with open_door(Echo(), username="pbx", password=PASSWORD) as (url, _refused):
        with pytest.raises(ComponentError, match="password"):
            async with open_asterisk_websocket_call(url, username="pbx", password="wrong password"):
                pass
        async with open_asterisk_websocket_call(url, username="pbx", password=PASSWORD) as caller:
            await caller.dtmf("#")
            await caller.hung_up.wait()
