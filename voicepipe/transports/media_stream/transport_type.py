"""The transport `media_stream`, as files name it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from voicepipe.transports.listener import Listener, TransportType
from voicepipe.transports.media_stream.listener import MediaStreamCalls
from voicepipe.transports.media_stream.options import MediaStreamOptions, check_options
from voicepipe.transports.websocket_listener import check_websockets_installed, open_websocket_listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.transports.listener import ListenerContext


@asynccontextmanager
async def open_media_stream_listener(options: MediaStreamOptions, context: ListenerContext) -> AsyncIterator[Listener]:
    """Opens a listener to which a carrier connects; it is bound but does not `serve` yet, and is closed on exit.

    Raises:
        OSError: the address can't be listened on.

    """
    calls = MediaStreamCalls(options, context.name)
    where = options.host, options.port
    async with open_websocket_listener(*where, calls, context, tls=options.tls, ping=True) as listener:
        yield listener


media_stream = TransportType(
    name="media_stream",
    options=MediaStreamOptions,
    open=open_media_stream_listener,
    check=check_options,
    check_installed=check_websockets_installed,
    takes_connections=True,
)
"""Media streams of telephone carriers: Twilio, Telnyx, Plivo, Vonage, SignalWire."""
