"""The audio of ARI's calls: a listener of another transport, whose connections are handed to the calls that await them.

Asterisk connects when its external media channel is made, by a WebSocket or by AudioSocket, and names the connection by
an ID: the media channel's, or the UUID that we gave it. Both are random, and a connection that no call awaits is
refused.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, cast

import trio
from attrs import evolve

from voicepipe.errors import TransportError
from voicepipe.transports.asterisk_ari.requests import AriRequest
from voicepipe.transports.asterisk_websocket.listener import (
    AsteriskWebSocketOptions,
    open_asterisk_websocket_listener,
)
from voicepipe.transports.audiosocket.listener import open_audiosocket_listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.transports.asterisk_ari.options import AsteriskAriOptions
    from voicepipe.transports.asterisk_ari.requests import PartNames
    from voicepipe.transports.listener import Listener, ListenerContext
    from voicepipe.transports.protocol import Transport

RATES = {"slin": 8000, "slin16": 16_000}
"""The rate of each linear format, in Hz."""
SPARE: Final = 64
"""Connections for audio beyond the most calls: one that ends lasts a moment longer than its call."""


class MediaLeg:
    """One call's audio: awaited first, then connected.

    Attributes:
        transport: the connection; None before it has come.
        connected: is set when it has come.
        released: is to be set by the call when it no longer needs it.

    """

    def __init__(self) -> None:
        self.transport: Transport | None = None
        self.connected = trio.Event()
        self.released = trio.Event()


class MediaLegs:
    """The legs that calls await, by the ID that their connection will have."""

    def __init__(self, listener: Listener, options: AsteriskAriOptions) -> None:
        self.listener, self._options = listener, options
        self._awaited: dict[str, MediaLeg] = {}

    def id_of(self, names: PartNames) -> str:
        """The ID that the connection of a call's media channel will have."""
        if self._options.media == "websocket":
            return names.of("media")
        call = names.call
        return f"{call[:8]}-{call[8:12]}-{call[12:16]}-{call[16:20]}-{call[20:]}"

    def request_for(self, names: PartNames) -> AriRequest:
        """The request that has Asterisk make the media channel, without its channel's ID."""
        options = self._options
        query = {"app": options.app, "format": options.format, "direction": "both"}
        if options.media == "websocket":
            query |= {
                "external_host": options.media_client,
                "encapsulation": "none",  # the default, rtp, is refused
                "transport": "websocket",
                "connection_type": "client",
                "transport_data": "f(json)",  # no v(): it sticks to the section, and comes with later calls
            }
        else:
            host, port = self.listener.address
            query |= {
                "external_host": options.media_address or f"{host}:{port}",
                "encapsulation": "audiosocket",
                "transport": "tcp",
                "data": self.id_of(names),
            }
        return AriRequest("media", "POST", "/channels/externalMedia", query)

    def expect(self, leg_id: str) -> MediaLeg:
        """Awaits the connection of that ID; `forget` ends it."""
        leg = self._awaited[leg_id] = MediaLeg()
        return leg

    def forget(self, leg_id: str) -> None:
        """Refuses the connection of that ID from now on."""
        if leg := self._awaited.pop(leg_id, None):
            leg.released.set()

    async def take(self, transport: Transport) -> None:
        """Handles a connection: hands it to the call that awaits it, and keeps it open until that releases it.

        Raises:
            TransportError: no call awaits it.

        """
        leg = self._awaited.get(transport.info.transport_id)
        if leg is None or leg.transport is not None:
            raise TransportError(
                f"audio came for the media channel {transport.info.transport_id!r}, which no call awaits; only ARI's "
                "external media may connect here"
            )
        leg.transport = transport
        leg.connected.set()
        await leg.released.wait()


@asynccontextmanager
async def open_media_legs(options: AsteriskAriOptions, context: ListenerContext) -> AsyncIterator[MediaLegs]:
    """Opens the listener for calls' audio, which does not serve yet.

    Raises:
        OSError: its address can't be listened on.

    """
    most = context.max_connections + SPARE
    if options.media == "websocket":
        media_options = AsteriskWebSocketOptions(
            host=options.host,
            port=options.port,
            username=options.media_username,
            password=options.media_password,
            call=(),  # whatever the dialplan says, the leg's ID is the channel's own
            query="never",
        )
        async with open_asterisk_websocket_listener(media_options, evolve(context, max_connections=most)) as websockets:
            yield MediaLegs(websockets, options)
        return
    async with open_audiosocket_listener(
        options.host,
        options.port,
        listener=context.name,
        rate=RATES[options.format],
        max_connections=most,
        ipv6_only=context.ipv6_only,
        when_full="error",
        on_refused=context.on_refused,
        on_crash=context.on_crash,
    ) as audiosockets:
        yield MediaLegs(cast("Listener", audiosockets), options)
