"""The kit for transports on Asterisk's WebSockets, with JSON and with plain text."""

from __future__ import annotations

import json
from base64 import b64encode
from contextlib import asynccontextmanager

from voicepipe import Secret
from voicepipe.testing import ChanWebSocket, transports
from voicepipe.transports.asterisk_websocket.listener import AsteriskWebSocketOptions, asterisk_websocket
from voicepipe.transports.asterisk_websocket.wire_format import audio_format

PASSWORD = "correct horse"
OPTIONS = AsteriskWebSocketOptions(port=0, username="pbx", password=Secret(PASSWORD))


class ChanWebSocketPeer(transports.TransportPeer):
    """Asterisk, whose marks are reported when the kit says so."""

    def __init__(self, websocket, chan):
        self._websocket, self._chan = websocket, chan
        self.audio = audio_format(chan.format_name)
        self._ended = False

    async def send_audio(self, audio):
        await self._websocket.send(audio)

    async def press(self, key):
        await self._websocket.send(self._chan.digit(key))

    async def report(self, mark):
        self._chan.take(self._command("MARK_MEDIA", mark.name))
        self._chan.tick()
        await self._websocket.send(self._chan.events.pop())

    async def hang_up(self):
        await self._websocket.close()

    async def die(self):
        await self._websocket.die()

    async def disturb(self):
        await self._websocket.send("{")

    def _command(self, name, correlation_id):
        if self._chan.as_json:
            return json.dumps({"command": name, "correlation_id": correlation_id})
        return f"{name} {correlation_id}"

    async def receive(self):
        message = None if self._ended else await self._websocket.receive()
        if isinstance(message, bytes):
            return message
        if message is None:
            self._ended = True
            return transports.PeerEvent.END
        name, _, value = message.partition(" ")
        if self._chan.as_json:
            values = json.loads(message)
            name, value = values["command"], values.get("correlation_id", "")
        if name == "HANGUP":
            self._ended = True
            await self._websocket.close()
            return transports.PeerEvent.END
        return transports.PeerEvent.CLEAR if name == "FLUSH_MEDIA" else transports.PeerMark(value)


def asterisk(format_name, *, as_json, password=PASSWORD):
    @asynccontextmanager
    async def connect(listener):
        headers = {"Authorization": "Basic " + b64encode(f"pbx:{password}".encode()).decode()}
        async with transports.open_websocket_peer(listener, "/media", headers) as websocket:
            chan = ChanWebSocket(format_name, as_json=as_json)
            await websocket.send(chan.start())
            yield ChanWebSocketPeer(websocket, chan)

    return connect


test_asterisk_websocket = transports.transport(
    asterisk_websocket,
    OPTIONS,
    connect=asterisk("slin", as_json=True),
    stranger=asterisk("slin", as_json=True, password="a guess"),
)


async def test_plain_text_and_another_format():
    kit = transports.transport(asterisk_websocket, OPTIONS, connect=asterisk("ulaw", as_json=False))
    await kit.check(
        [
            "the_caller_is_heard",
            "the_agent_is_heard",
            "clear_drops_only_what_came_before",
            "marks_are_reported_once_and_in_order",
        ]
    )
