"""The transport `audiosocket`, as files name it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

from attrs import frozen

from voicepipe.transports.audiosocket.listener import open_audiosocket_listener
from voicepipe.transports.bind_options import host_field, port_field
from voicepipe.transports.listener import TransportType
from voicepipe.transports.tls import TlsFiles, check_tls

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.transports.audiosocket.listener import AudioSocketListener
    from voicepipe.transports.listener import ListenerContext


@frozen
class AudioSocketSettings:
    """Asterisk's AudioSocket, over TCP."""

    host: str = host_field()
    """The address to bind to. AudioSocket has no password: beyond this machine, let a firewall admit only Asterisk."""
    port: int = port_field(9092)
    """Port to bind to; 0 takes a free one, which `engine.ready` tells."""
    rate: Literal[8000, 12000, 16000, 24000, 32000, 44100, 48000, 96000, 192000] = 8000
    """The rate of audio of kind 0x10, and of a call before its first audio, in Hz."""
    when_full: Literal["close_listener", "error", "reset", "hang_up"] = "close_listener"
    """The way in which a call is refused, at `max_connections` or `max_calls`. `close_listener`: the port is closed
    until calls are taken again, so `TryExec` returns FAILED and `Dial` CHANUNAVAIL, as without an engine; a call that
    has connected already gets an `error`. `error`, `reset`: the connection breaks, so `TryExec` returns FAILED.
    `hang_up`: the dialplan goes on as after a conversation, the only way that does not end a dialplan with a bare
    `AudioSocket()`."""
    tls: TlsFiles | None = None
    """The certificate, for connections that come through a tunnel; Asterisk itself connects without TLS. Null: none."""


@asynccontextmanager
async def _open(settings: AudioSocketSettings, context: ListenerContext) -> AsyncIterator[AudioSocketListener]:
    async with open_audiosocket_listener(
        settings.host,
        settings.port,
        ipv6_only=context.ipv6_only,
        connections=context.connections,
        listener=context.name,
        rate=settings.rate,
        max_connections=context.max_connections,
        when_full=settings.when_full,
        on_refused=context.on_refused,
        on_crash=context.on_crash,
        tls=settings.tls,
    ) as listener:
        yield listener


audiosocket = TransportType(
    name="audiosocket",
    options=AudioSocketSettings,
    open=_open,
    check=lambda settings: check_tls(settings.tls),
    takes_connections=True,
)
"""Asterisk's AudioSocket."""
