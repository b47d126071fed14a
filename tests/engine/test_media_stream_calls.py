"""Whole calls of carriers through an engine: from the webhook's instructions to the record."""

from __future__ import annotations

import base64
import hmac
import wave
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import httpx
import trio
from engine_process import open_engine
from media_streams import PlayingCarrier, TwilioStream, VonageStream, wire
from websockets.trio.client import connect

from voicepipe.audio import AudioFormat, from_pcm16, open_converter, to_pcm16

SPEECH = Path(__file__).parents[1] / "data" / "speech"
SECRET = "the-auth-token-of-twilio"
TOKEN = "a-token-of-enough-length"
ENGINE = f"""\
pipeline_sets: {{main: ai-agent.yaml}}
listeners:
  - {{set: main, name: twilio, type: media_stream, dialect: twilio, public_url: https://voice.example.com, port: 0,
     signing_secret: {SECRET}}}
  - {{set: main, name: vonage, type: media_stream, dialect: vonage, public_url: https://voice.example.com/phone,
     port: 0, token: {TOKEN}}}
control: c.sock
"""


def signed(text):
    mac = hmac.digest(SECRET.encode(), text.encode(), "sha1")
    return {"X-Twilio-Signature": base64.b64encode(mac).decode()}


def local(url, port):
    return f"ws://127.0.0.1:{port}{urlsplit(url).path.removeprefix('/phone')}"


def recorded(name):
    with wave.open(str(SPEECH / name)) as file:
        return file.readframes(file.getnframes())


async def call_by_twilio(engine):
    """A call whose caller says yes and hangs up."""
    port, form = engine.ports["twilio"], {"CallSid": TwilioStream.call_id, "From": "+4915112345", "To": "+4930999"}
    webhook = "https://voice.example.com/voice/twilio"
    text = webhook + "".join(f"{name}{value}" for name, value in sorted(form.items()))
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://127.0.0.1:{port}/voice/twilio", data=form, headers=signed(text))
    (element,) = ET.fromstring(answer.content).iter("Stream")
    url = element.get("url")
    stream = TwilioStream(tenant="acme")
    async with connect(local(url, port), additional_headers=signed(url)) as connection, trio.open_nursery() as nursery:
        carrier = PlayingCarrier(stream, connection, 8000, 1)
        nursery.start_soon(carrier.run)
        for message in stream.opening():
            await connection.send(wire(message))
        call = (await engine.logged("call.started", transport_id=stream.call_id))["call_id"]
        await engine.logged("call.turn", turn=1, call_id=call)
        await carrier.say(from_pcm16(recorded("yes-8k.wav"), "mulaw") + b"\xff" * 8000, 160)
        await engine.logged("call.turn", turn=2, call_id=call)
        await connection.send(wire(stream.stop()))
        nursery.cancel_scope.cancel()
    return carrier


async def call_by_vonage(engine):
    """The same by Vonage, at 16 kHz in binary messages, and the line is closed."""
    port = engine.ports["vonage"]
    target = f"http://127.0.0.1:{port}/voice/vonage?from=4915112345&to=4930999&uuid=aaaa-bbbb&token={TOKEN}"
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.get(target)
    url = answer.json()[0]["endpoint"][0]["uri"]
    assert url.startswith("wss://voice.example.com/phone/stream/vonage/")
    stream = VonageStream()
    async with connect(local(url, port)) as connection, trio.open_nursery() as nursery:
        carrier = PlayingCarrier(stream, connection, 16000, 2)
        nursery.start_soon(carrier.run)
        for message in stream.opening():
            await connection.send(wire(message))
        call = (await engine.logged("call.started", transport_id="aaaa-bbbb"))["call_id"]
        await engine.logged("call.turn", turn=1, call_id=call)
        upsampled = open_converter(AudioFormat(8000), AudioFormat(16000), live=False)
        await carrier.say(upsampled.convert(recorded("yes-8k.wav")) + upsampled.finish() + bytes(32000), 640)
        await engine.logged("call.turn", turn=2, call_id=call)
        nursery.cancel_scope.cancel()
    return carrier


async def test_calls_of_two_carriers_at_once(home):
    (home / "engine.yaml").write_text(ENGINE)
    carriers = {}
    async with open_engine(home, file="engine.yaml") as engine:

        async def keep(name, call):
            carriers[name] = await call(engine)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep, "twilio", call_by_twilio)
            nursery.start_soon(keep, "vonage", call_by_vonage)
        for transport_id in (TwilioStream.call_id, "aaaa-bbbb"):
            started = await engine.logged("call.started", transport_id=transport_id)
            assert (started["caller"][-5:], started["called"][-3:]) == ("12345", "999")
            call = started["call_id"]
            turn = await engine.logged("call.turn", turn=2, call_id=call)
            assert "yes" in turn["heard"]
            assert turn["said"]
            ended = await engine.logged("call.ended", call_id=call)
            assert ended["outcome"] == "caller_hung_up"
        assert engine.count("connection.refused") == 0
    heard = to_pcm16(carriers["twilio"].audio, "mulaw"), carriers["vonage"].audio
    for linear, rate in zip(heard, (8000, 16000), strict=True):
        assert len(linear) > rate  # the greeting, and the beginning of a reply: half a second at least
        assert max(linear[1::2]) > 0  # which is no silence
