"""Peers for the kit for transports, one for each transport that is installed: who plays its other side, and how."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from contextlib import asynccontextmanager, suppress
from itertools import count
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET
from uuid import uuid4

import trio
from media_streams import TwilioStream, VonageStream, wire
from vendors.asterisk_ari import PASSWORD, USER, open_asterisk

from voicepipe.audio import AudioFormat
from voicepipe.components.values import Secret
from voicepipe.testing import transports
from voicepipe.testing.chan_websocket import ChanWebSocket
from voicepipe.transports.asterisk_ari import AsteriskAriOptions, asterisk_ari
from voicepipe.transports.asterisk_websocket.listener import AsteriskWebSocketOptions, asterisk_websocket
from voicepipe.transports.audiosocket.transport_type import AudioSocketSettings, audiosocket
from voicepipe.transports.audiosocket.wire_format import (
    KIND_ERROR,
    KIND_HANGUP,
    KINDS,
    Decoder,
    encode_audio,
    encode_dtmf,
    encode_uuid,
)
from voicepipe.transports.browser.listener import BrowserOptions, browser
from voicepipe.transports.media_stream.options import MediaStreamOptions
from voicepipe.transports.media_stream.transport_type import media_stream
from voicepipe.transports.media_stream.wire_format import FAULTS

TOKEN = "a-token-of-enough-length"
END, CLEAR = transports.PeerEvent.END, transports.PeerEvent.CLEAR


# --- AudioSocket ------------------------------------------------------------------------------------------------------


class AudioSocketPeer(transports.TransportPeer):
    """Asterisk, as `AudioSocket()` connects."""

    def __init__(self, stream, rate):
        self._stream, self.audio = stream, AudioFormat(rate)
        self._decoder, self._items = Decoder(), []

    async def send_audio(self, audio):
        await self._stream.send_all(encode_audio(KINDS[self.audio.rate], audio))

    async def press(self, key):
        await self._stream.send_all(encode_dtmf(key))

    async def hang_up(self):
        await self._stream.aclose()

    async def die(self):
        self._stream.socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        await trio.aclose_forcefully(self._stream)

    async def disturb(self):
        await self._stream.send_all(encode_uuid(uuid4()))

    async def receive(self):
        while not self._items:
            try:
                data = await self._stream.receive_some(65_536)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                data = b""
            if not data:
                return END
            for kind, payload in self._decoder.feed(data):
                self._items.append(END if kind in {KIND_HANGUP, KIND_ERROR} else bytes(payload))
        return self._items.pop(0)


def audiosocket_peer(rate=8000):
    @asynccontextmanager
    async def connect(listener):
        stream = await trio.open_tcp_stream(*listener.address)
        async with stream:
            stream.setsockopt(SOL_SOCKET, SO_RCVBUF, 65_536)
            peer = AudioSocketPeer(stream, rate)
            await stream.send_all(encode_uuid(uuid4()))
            await peer.send_audio(bytes(peer.audio.bytes_in(20)))  # the first audio tells the rate
            yield peer

    return connect


# --- Transports over a WebSocket --------------------------------------------------------------------------------------


class MessagePeer(transports.TransportPeer):
    """What peers over a WebSocket share."""

    def __init__(self, websocket, audio):
        self.websocket, self.audio = websocket, audio

    async def die(self):
        await self.websocket.die()

    async def receive(self):
        while True:
            message = await self.websocket.receive()
            if message is None:
                return END
            if (received := self.read(message)) is not None:
                return received

    def read(self, message):
        """What a message means; None: nothing to the kit."""
        raise NotImplementedError


class ChanWebSocketPeer(MessagePeer):
    """Asterisk, as `Dial(WebSocket/...)` connects."""

    def __init__(self, websocket, chan):
        super().__init__(websocket, AudioFormat(8000))
        self._chan = chan

    async def send_audio(self, audio):
        await self.websocket.send(audio)

    async def press(self, key):
        await self.websocket.send(self._chan.digit(key))

    async def hang_up(self):
        await self.websocket.close()

    async def disturb(self):
        await self.websocket.send("{}")

    async def report(self, mark):
        await self.websocket.send(json.dumps({"event": "MEDIA_MARK_PROCESSED", "correlation_id": mark.name}))

    def read(self, message):
        if isinstance(message, bytes):
            return message
        command = json.loads(message)
        if command["command"] == "MARK_MEDIA":
            return transports.PeerMark(command["correlation_id"])
        return {"FLUSH_MEDIA": CLEAR, "HANGUP": END}[command["command"]]


@asynccontextmanager
async def connect_chan_websocket(listener, password="secret-word"):
    headers = {"Authorization": "Basic " + b64encode(f"asterisk:{password}".encode()).decode()}
    async with transports.open_websocket_peer(listener, "/media", headers) as websocket:
        chan = ChanWebSocket("slin")
        await websocket.send(chan.start())
        yield ChanWebSocketPeer(websocket, chan)


class CarrierPeer(MessagePeer):
    """A carrier."""

    def __init__(self, websocket, stream, audio):
        super().__init__(websocket, audio)
        self._stream = stream

    async def send_audio(self, audio):
        await self.websocket.send(wire(self._stream.media(audio)))

    async def press(self, key):
        await self.websocket.send(wire(self._stream.key(key)))

    async def hang_up(self):
        if (stop := self._stream.stop()) is not None:
            await self.websocket.send(wire(stop))
        else:
            await self.websocket.close()

    async def disturb(self):
        for _ in range(FAULTS):
            await self.websocket.send("nonsense")

    async def report(self, mark):
        await self.websocket.send(wire(self._stream.mark(mark.name)))

    def read(self, message):
        kind, content = self._stream.heard(message)
        return {"audio": content, "mark": transports.PeerMark(str(content)), "clear": CLEAR}[kind]


def carrier(stream_class, audio):
    def connect_with(token):
        @asynccontextmanager
        async def connect(listener):
            async with transports.open_websocket_peer(listener, f"/stream/checked/{token}") as websocket:
                stream = stream_class()
                for message in stream.opening():
                    await websocket.send(wire(message))
                yield CarrierPeer(websocket, stream, audio)

        return connect

    return {"connect": connect_with(TOKEN), "stranger": connect_with("wrong-token-of-a-length")}


class SoftphonePeer(MessagePeer):
    """The softphone's page."""

    def __init__(self, websocket):
        super().__init__(websocket, AudioFormat(16_000))
        self._started = False

    async def start(self):
        """Waits until the call is taken: what comes before is said to nobody."""
        await self.websocket.send(json.dumps({"type": "start", "protocol": 1}))
        message = await self.websocket.receive()
        if message is None:
            raise transports.CallNotTaken
        assert json.loads(message)["type"] == "started"

    async def send_audio(self, audio):
        await self.websocket.send(audio)

    async def press(self, key):
        await self.websocket.send(json.dumps({"type": "key", "digit": key}))

    async def hang_up(self):
        await self.websocket.send(json.dumps({"type": "hang_up"}))

    async def disturb(self):
        await self.websocket.send("nonsense")

    async def report(self, mark):
        await self.websocket.send(json.dumps({"type": "mark", "mark": int(mark.name)}))

    def read(self, message):
        if isinstance(message, bytes):
            return message
        fields = json.loads(message)
        if fields["type"] == "mark":
            return transports.PeerMark(str(fields["mark"]))
        return {"clear": CLEAR, "hang_up": END}.get(fields["type"])


def softphone(token):
    @asynccontextmanager
    async def connect(listener):
        headers = {"Authorization": f"Bearer {token}"}
        async with transports.open_websocket_peer(listener, "/call", headers) as websocket:
            peer = SoftphonePeer(websocket)
            await peer.start()
            yield peer

    return connect


# --- ARI --------------------------------------------------------------------------------------------------------------


class AriPeer(transports.TransportPeer):
    """A caller whom Asterisk's ARI reports, with media by AudioSocket."""

    def __init__(self, asterisk, channel):
        self.audio = AudioFormat(8000)
        self._asterisk, self._channel, self._read = asterisk, channel, 0

    async def _media(self):
        while not self._has_ended:
            for other in self._channel.bridge.channels if self._channel.bridge else ():
                if other.media is not None:
                    return other.media
            await trio.sleep(0.002)
        raise trio.BrokenResourceError("the call has ended")

    @property
    def _has_ended(self):
        return self._channel.ended.is_set() or self._channel.continued

    async def send_audio(self, audio):
        await (await self._media()).send(audio)

    async def press(self, key):
        await self._media()
        await self._asterisk.press(self._channel.id, key, with_media=False)

    async def hang_up(self):
        await self._asterisk.hang_up(self._channel.id)

    async def die(self):
        await (await self._media()).cut()

    async def receive(self):
        with suppress(trio.BrokenResourceError):
            media = await self._media()
            while True:
                if len(media.heard) > self._read:
                    audio = bytes(media.heard[self._read :])
                    self._read += len(audio)
                    return audio
                if self._has_ended:
                    break
                await trio.sleep(0.002)
        return END


class PlayedAri:
    """The Asterisk of the check that runs."""

    def __init__(self):
        self._asterisk = None
        self._numbers = count(1)

    @asynccontextmanager
    async def options(self):
        async with open_asterisk() as self._asterisk:
            yield AsteriskAriOptions(
                url=self._asterisk.url,
                username=USER,
                password=Secret(PASSWORD),
                port=0,
                media="audiosocket",
                format="slin",
            )

    @asynccontextmanager
    async def connect(self, _listener):
        asterisk = self._asterisk
        await asterisk.app_connected.wait()
        name = f"1764500000.{next(self._numbers)}"
        if not await asterisk.caller_comes(name):
            raise transports.CallNotTaken
        channel = asterisk.channels[name]
        try:
            yield AriPeer(asterisk, channel)
        finally:
            with trio.CancelScope(shield=True):
                await asterisk.hang_up(name)


PLAYED = PlayedAri()
MULAW, LINEAR_16K = AudioFormat(8000, "mulaw"), AudioFormat(16_000)

KITS = {
    "audiosocket": transports.transport(audiosocket, AudioSocketSettings(port=0), connect=audiosocket_peer()),
    "asterisk_websocket": transports.transport(
        asterisk_websocket,
        AsteriskWebSocketOptions(port=0, username="asterisk", password=Secret("secret-word")),
        connect=connect_chan_websocket,
        stranger=lambda listener: connect_chan_websocket(listener, "another-word"),
    ),
    "asterisk_ari": transports.transport(asterisk_ari, PLAYED.options, connect=PLAYED.connect, garbage=()),
    "media_stream": transports.transport(
        media_stream,
        MediaStreamOptions(dialect="twilio", public_url="https://voice.example.com", port=0, token=Secret(TOKEN)),
        **carrier(TwilioStream, MULAW),
    ),
    "media_stream in binary": transports.transport(
        media_stream,
        MediaStreamOptions(dialect="vonage", public_url="https://voice.example.com", port=0, token=Secret(TOKEN)),
        **carrier(VonageStream, LINEAR_16K),
    ),
    "browser": transports.transport(
        browser,
        BrowserOptions(port=0, token=Secret(TOKEN)),
        connect=softphone(TOKEN),
        stranger=softphone("another-token-of-length"),
    ),
}
"""The kit of each transport, by its name and what is special about it."""
