"""The kit for transports on carriers' media streams: whole for two of them, and what differs for the others."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress

import pytest
import trio
from media_streams import PlivoStream, SignalWireStream, TelnyxStream, TwilioStream, VonageStream, wire

from voicepipe import Secret
from voicepipe.testing import transports
from voicepipe.transports.media_stream.dialects import DIALECTS
from voicepipe.transports.media_stream.options import MediaStreamOptions
from voicepipe.transports.media_stream.transport_type import media_stream
from voicepipe.transports.media_stream.wire_format import FAULTS

TOKEN = "a-token-of-enough-length"


class CarrierPeer(transports.TransportPeer):
    """A carrier, in the words of its dialect."""

    def __init__(self, websocket, stream):
        self._websocket, self._stream = websocket, stream
        self.audio = DIALECTS[stream.name].audio[0]

    async def send_audio(self, audio):
        await self._websocket.send(wire(self._stream.media(audio)))

    async def press(self, key):
        await self._websocket.send(wire(self._stream.key(key)))

    async def report(self, mark):
        await self._websocket.send(wire(self._stream.mark(mark.name)))

    async def receive(self):
        message = await self._websocket.receive()
        if message is None:
            return transports.PeerEvent.END
        kind, content = self._stream.heard(message)
        if kind == "mark":
            return transports.PeerMark(content)
        return content if kind == "audio" else transports.PeerEvent.CLEAR

    async def hang_up(self):
        if (stop := self._stream.stop()) is not None:
            await self._websocket.send(wire(stop))
        await self._websocket.close()

    async def die(self):
        await self._websocket.die()

    async def disturb(self):
        with suppress(trio.BrokenResourceError):  # the listener may have had enough
            for _ in range(FAULTS):
                await self._websocket.send("{")


def carrier(kind, token=TOKEN):
    @asynccontextmanager
    async def connect(listener):
        stream = kind()
        async with transports.open_websocket_peer(listener, f"/stream/{NAME}/{token}") as websocket:
            for message in stream.opening():
                await websocket.send(wire(message))
            yield CarrierPeer(websocket, stream)

    return connect


NAME = "checked"
"""The listener's name in the kit."""


def kit_of(kind):
    options = MediaStreamOptions(dialect=kind.name, public_url="https://voice.example.com", port=0, token=Secret(TOKEN))
    return transports.transport(
        media_stream, options, connect=carrier(kind), stranger=carrier(kind, "a-token-of-somebody-else")
    )


test_twilio = kit_of(TwilioStream)
test_vonage = kit_of(VonageStream)


@pytest.mark.parametrize("kind", [TelnyxStream, PlivoStream, SignalWireStream])
async def test_the_others(kind):
    await kit_of(kind).check(
        [
            "the_caller_is_heard",
            "the_agent_is_heard",
            "keys_arrive_once_and_in_order",
            "clear_drops_only_what_came_before",
            "marks_are_reported_once_and_in_order",
            "marks_survive_a_clear",
            "the_callers_hang_up_is_delivered_once_and_last",
        ]
    )
