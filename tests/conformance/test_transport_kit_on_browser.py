"""The conformance kit on the transport `browser`: a client of its protocol that does as it is told."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

from voicepipe.audio import AudioFormat
from voicepipe.components.values import Secret
from voicepipe.testing.transports import (
    CallNotTaken,
    PeerEvent,
    PeerMark,
    TransportPeer,
    open_websocket_peer,
    transport,
)
from voicepipe.transports.browser.listener import BrowserOptions, browser

TOKEN = "correct horse battery staple"


class BrowserPeer(TransportPeer):
    """A client without a page."""

    audio = AudioFormat(16_000)

    def __init__(self, line):
        self._line = line

    async def send_audio(self, audio):
        await self._line.send(audio)

    async def receive(self):
        while (message := await self._line.receive()) is not None:
            if isinstance(message, bytes):
                return message
            message = json.loads(message)
            if message["type"] == "mark":
                return PeerMark(str(message["mark"]))
            if message["type"] in {"clear", "hang_up"}:
                return {"clear": PeerEvent.CLEAR, "hang_up": PeerEvent.END}[message["type"]]
        return PeerEvent.END

    async def _tell(self, kind, **fields):
        await self._line.send(json.dumps({"type": kind, **fields}))

    async def hang_up(self):
        await self._tell("hang_up")

    async def die(self):
        await self._line.die()

    async def press(self, key):
        await self._tell("key", digit=key)

    async def report(self, mark):
        await self._tell("mark", mark=int(mark.name))

    async def disturb(self):
        await self._tell("key", digit="none")


@asynccontextmanager
async def call_with(listener, token):
    async with open_websocket_peer(listener, "/call", {"Authorization": f"Bearer {token}"}) as line:
        await line.send('{"type":"start","protocol":1}')
        first = await line.receive()
        if first is None or json.loads(first)["type"] != "started":
            raise CallNotTaken(str(first))
        yield BrowserPeer(line)


test_browser = transport(
    browser,
    BrowserOptions(port=0, token=Secret(TOKEN)),
    connect=lambda listener: call_with(listener, TOKEN),
    stranger=lambda listener: call_with(listener, TOKEN[:-1]),
)
