"""A media stream's listener on a real socket, with carriers that call its webhook and connect where it says."""

from __future__ import annotations

import base64
import hmac
import json
import socket
import struct
import time
from contextlib import asynccontextmanager
from functools import partial
from urllib.parse import urlencode, urlsplit
from xml.etree import ElementTree as ET

import httpx
import pytest
import trio
from attrs import define, field
from media_streams import CARRIERS, LINEAR_FRAME, MULAW_FRAME, TelnyxStream, TwilioStream, VonageStream, wire
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.trio.client import connect

from voicepipe.components.values import Secret
from voicepipe.errors import CallRefused
from voicepipe.transports import websocket_serving
from voicepipe.transports.listener import ListenerContext
from voicepipe.transports.media_stream.options import MediaStreamOptions
from voicepipe.transports.media_stream.transport_type import media_stream

PUBLIC = "https://voice.example.com"
TOKEN = "a-token-of-enough-length"
SECRET = "the-auth-token"


@define
class Heard:
    """A sink that keeps what it is given, and wakes whoever waits for it."""

    items: list = field(factory=list)
    came: trio.Event = field(factory=trio.Event)

    def _keep(self, item) -> None:
        self.items.append(bytes(item) if isinstance(item, bytes | memoryview) else item)
        self.came.set()
        self.came = trio.Event()

    audio = dtmf = heard = hung_up = _keep

    async def wait_for(self, item) -> None:
        with trio.fail_after(10):
            while item not in self.items:
                await self.came.wait()


@define
class Site:
    """A listener that is served, and what became of its calls."""

    port: int = 0
    refused: list = field(factory=list)
    crashed: list = field(factory=list)
    calls: list = field(factory=list)
    ended: trio.Event = field(factory=trio.Event)

    async def answer(self, transport) -> None:
        """Echoes audio, with a mark after it; `*` clears, `#` hangs up."""
        if transport.info.variables.get("tenant") == "closed":
            raise CallRefused("closed today")
        heard = Heard()
        self.calls.append((transport, heard))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(self._deliver, transport, heard, nursery.cancel_scope))
                done = 0
                while True:
                    while done < len(heard.items):
                        item, done = heard.items[done], done + 1
                        if isinstance(item, bytes):
                            assert transport.write(item)
                            transport.mark(done)
                        elif item == "*":
                            transport.clear()
                        elif item == "#":
                            nursery.cancel_scope.cancel()
                    await heard.came.wait()
        finally:
            self.ended.set()

    async def _deliver(self, transport, heard, scope) -> None:
        try:
            await transport.run(heard)
        finally:
            scope.cancel()

    def local(self, url) -> str:
        """A public URL as this machine reaches it, without the proxy in front."""
        parts = urlsplit(url)
        scheme = "ws" if parts.scheme == "wss" else "http"
        return f"{scheme}://127.0.0.1:{self.port}{parts.path}" + (f"?{parts.query}" if parts.query else "")

    async def instructions(self, path=f"/voice/carrier/{TOKEN}", *, form, headers=None):
        async with httpx.AsyncClient() as client:
            return await client.post(self.local(PUBLIC + path), data=form, headers=headers or {})


@asynccontextmanager
async def site_of(dialect="twilio", *, max_connections=50, **options):
    site = Site()
    if "signing_secret" in options:
        options["signing_secret"] = Secret(options["signing_secret"])
    else:
        options["token"] = Secret(TOKEN)
    context = ListenerContext(
        name="carrier",
        max_connections=max_connections,
        on_refused=lambda _peer, why: site.refused.append(str(why)),
        on_crash=lambda _info, error: site.crashed.append(error),
    )
    opened = media_stream.open(MediaStreamOptions(dialect=dialect, public_url=PUBLIC, port=0, **options), context)
    async with opened as listener, trio.open_nursery() as nursery:
        site.port = listener.address[1]
        nursery.start_soon(listener.serve, site.answer)
        yield site
        nursery.cancel_scope.cancel()
    assert site.crashed == []


def url_in(answer):
    if answer.headers["content-type"] == "application/json":
        return answer.json()[0]["endpoint"][0]["uri"]
    (stream,) = ET.fromstring(answer.content).iter("Stream")
    return stream.get("url") or stream.text


@asynccontextmanager
async def stream_to(site, stream, url=f"{PUBLIC}/stream/carrier/{TOKEN}", **options):
    """A carrier's connection whose stream has started."""
    async with connect(site.local(url.replace("https:", "wss:")), **options) as connection:
        for message in stream.opening():
            await connection.send(wire(message))
        yield connection


async def receive(stream, connection, kind):
    """What the carrier understands of the messages up to the first of a kind."""
    with trio.fail_after(10):
        while True:
            heard = stream.heard(await connection.recv())
            if heard[0] == kind:
                return heard[1]


@pytest.mark.parametrize("carrier", CARRIERS)
async def test_a_call_from_its_webhook_to_its_end(carrier):
    stream = carrier()
    async with site_of(stream.name) as site:
        answer = await site.instructions(form={"From": "+491", "To": "+492", "CallSid": "CA9", "CallUUID": "CA9"})
        if stream.name == "vonage":
            stated = json.dumps({"from": "+491", "to": "+492", "uuid": "CA9"})
            async with httpx.AsyncClient() as client:
                answer = await client.post(site.local(f"{PUBLIC}/voice/carrier/{TOKEN}"), content=stated)
        assert answer.status_code == 200
        frame = LINEAR_FRAME if stream.name == "vonage" else MULAW_FRAME
        async with stream_to(site, stream, url_in(answer)) as connection:
            await connection.send(wire(stream.media()))
            assert await receive(stream, connection, "audio") == frame
            mark = await receive(stream, connection, "mark")
            transport, heard = site.calls[0]
            info = transport.info
            assert (info.caller, info.called, info.listener) == ("+491", "+492", "carrier")
            assert info.transport_id == (stream.call_id or "CA9")
            await connection.send(wire(stream.mark(mark)))
            await heard.wait_for(int(mark))
            await connection.send(wire(stream.key("*")))
            await receive(stream, connection, "clear")
            await connection.send(wire(stream.key("#")))
            with pytest.raises(ConnectionClosed) as closed:
                await receive(stream, connection, "nothing")
            assert closed.value.rcvd.code == 1000  # the carrier goes on with its next instruction
        assert heard.items == [frame, int(mark), "*", "#"]
        assert site.refused == []


@pytest.mark.parametrize("end", ["stop", "close", "half-close", "reset", "stop and silence"])
async def test_the_caller_hangs_up(end):
    stream = TwilioStream()
    async with site_of() as site, stream_to(site, stream) as connection:
        await connection.send(wire(stream.media()))
        await receive(stream, connection, "audio")
        raw = connection.stream.socket
        if end.startswith("stop"):
            await connection.send(wire(stream.stop()))
        if end == "stop":
            await connection.aclose()
        elif end == "close":
            await connection.aclose(1001)
        elif end == "half-close":
            raw.shutdown(socket.SHUT_WR)
        elif end == "reset":
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
        with trio.fail_after(10):
            await site.ended.wait()
        reason = site.calls[0][1].items[-1]
        ended = "the carrier ended the stream" if end.startswith("stop") else "the carrier closed the stream: "
        assert reason.startswith(ended)
        assert site.refused == []


async def test_what_is_no_call():
    async with site_of() as site:
        with pytest.raises(InvalidStatus) as refused:
            async with stream_to(site, TwilioStream(), f"{PUBLIC}/stream/carrier/wrong"):
                pass
        assert refused.value.response.status_code == 403
        with pytest.raises(InvalidStatus) as refused:
            async with stream_to(site, TwilioStream(), f"{PUBLIC}/other"):
                pass
        assert refused.value.response.status_code == 404
        assert (await site.instructions("/voice/carrier/wrong", form={"From": "1"})).status_code == 403
        async with stream_to(site, TelnyxStream()) as connection:  # another dialect
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd.code == 1013
        async with connect(site.local(f"wss://x/stream/carrier/{TOKEN}")) as connection:  # closed before its start
            await connection.send(wire(TwilioStream().opening()[0]))
        stream = TwilioStream(tenant="closed")
        async with stream_to(site, stream) as connection:  # refused by the program
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd.code == 1013
        assert site.calls == []
        assert any("looks like one of telnyx" in why for why in site.refused)
        assert not any(TOKEN in why for why in site.refused)
        assert any("the request for /stream/carrier/... was refused with 403" in why for why in site.refused)


async def test_a_stream_that_never_starts(monkeypatch):
    monkeypatch.setattr(websocket_serving, "START_S", 0.05)
    async with site_of() as site, connect(site.local(f"wss://x/stream/carrier/{TOKEN}")) as connection:
        await connection.send(wire(TwilioStream().opening()[0]))
        with trio.fail_after(10), pytest.raises(ConnectionClosed):
            await connection.recv()
        assert "did not say within" in site.refused[0]


async def test_a_ticket_is_good_once():
    async with site_of("vonage", signing_secret=SECRET) as site:
        claims = {"iat": time.time()}
        parts = [
            base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=") for each in ({"alg": "HS256"}, claims)
        ]
        mac = base64.urlsafe_b64encode(hmac.digest(SECRET.encode(), b".".join(parts), "sha256")).rstrip(b"=")
        token = b".".join((*parts, mac)).decode()
        async with httpx.AsyncClient() as client:
            target = site.local(f"{PUBLIC}/voice/carrier?from=1&to=2&uuid=u&tenant=acme")
            assert (await client.get(target)).status_code == 403
            answer = await client.get(target, headers={"Authorization": f"Bearer {token}"})
        url = url_in(answer)
        stream = VonageStream()
        async with stream_to(site, stream, url) as connection:
            await connection.send(LINEAR_FRAME)
            await receive(stream, connection, "audio")
        assert site.calls[0][0].info.variables["tenant"] == "acme"
        with pytest.raises(InvalidStatus):
            async with stream_to(site, stream, url):
                pass


async def test_twilios_signature_over_the_public_url():
    def signed(text):
        return {"X-Twilio-Signature": base64.b64encode(hmac.digest(SECRET.encode(), text.encode(), "sha1")).decode()}

    form = {"From": "+491", "To": "+492", "CallSid": "CA9", "CallToken": "a b+ä"}
    async with site_of(signing_secret=SECRET) as site:
        webhook = f"{PUBLIC}/voice/carrier?tenant=acme%20inc"
        text = webhook + "".join(f"{name}{value}" for name, value in sorted(form.items()))
        answer = await site.instructions("/voice/carrier?tenant=acme%20inc", form=form, headers=signed(text))
        assert answer.status_code == 200
        assert urlencode(form).encode() in answer.request.content
        url = url_in(answer)
        with pytest.raises(InvalidStatus):
            async with stream_to(site, TwilioStream(), url, additional_headers=signed(url + "x")):
                pass
        stream = TwilioStream()
        async with stream_to(site, stream, url, additional_headers=signed(url)) as connection:
            await connection.send(wire(stream.media()))
            await receive(stream, connection, "audio")
        info = site.calls[0][0].info
        assert (info.caller, info.variables["tenant"]) == ("+491", "acme inc")


async def test_a_carrier_is_told_that_there_is_no_room():
    async with site_of(max_connections=1) as site, stream_to(site, TwilioStream()) as connection:
        await connection.send(wire(TwilioStream().media()))
        with pytest.raises(InvalidStatus) as refused:
            async with stream_to(site, TwilioStream()):
                pass
        assert refused.value.response.status_code == 503
