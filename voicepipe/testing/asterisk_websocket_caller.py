"""A caller behind an Asterisk that connects by chan_websocket, for tests, demonstrations and benchmarks."""

from __future__ import annotations

import base64
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING

import trio

from voicepipe.audio import AudioFormat, from_pcm16, to_pcm16
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.testing.caller import Caller
from voicepipe.testing.chan_websocket import NORMAL, ChanWebSocket
from voicepipe.transports.asterisk_websocket.wire_format import audio_format
from voicepipe.wire.websocket import open_websocket

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

    from voicepipe.wire.websocket_connection import WebSocket

CLOSE_S = 0.5
"""How long Asterisk's end waits for the engine to close, in s."""


class AsteriskWebSocketCaller(Caller):
    """A caller over chan_websocket, whose Asterisk buffers, plays, flushes and drops as a real one does.

    `how` is `HANGUP` where the agent's side sent that, `closed CODE` where it closed the connection, `broken` where the
    connection ended without either, `refused CODE` where Asterisk closed it for a fault, and `caller`.
    """

    def __init__(self, websocket: WebSocket, asterisk: ChanWebSocket) -> None:
        wire = audio_format(asterisk.format_name)
        super().__init__(AudioFormat(wire.rate))
        self.asterisk = asterisk
        """Asterisk's end: its queue, and what it ignored, dropped and flushed."""
        self._websocket, self._encoding = websocket, wire.encoding
        self._receiving, self._closed, self._code = trio.CancelScope(), trio.Event(), NORMAL
        self._at_once: list[bytes | str] = []  # what came with the 101: looked at when something more comes

    def start(self) -> None:
        """Sends MEDIA_START, as Asterisk does at once; keeps what came with the engine's answer."""
        with suppress(trio.WouldBlock):
            while True:
                self._at_once.append(self._websocket.recv_nowait())
        self._websocket.send_nowait(self.asterisk.start())

    async def hang_up(self) -> None:
        """Hangs up as the caller: Asterisk closes the connection."""
        self._close("caller", NORMAL)
        await self._closed.wait()

    def _close(self, how: str, code: int) -> None:
        """Ends the call; the task that receives closes the connection, since one task reads at a time."""
        self._code = code
        self._end(how)
        self._receiving.cancel()

    async def send(self) -> None:
        """Sends a frame, and plays one, every 20 ms until the call is over."""
        with suppress(import_module("websockets.exceptions").ConnectionClosed):
            for number, due in enumerate(self._ticks()):
                await trio.sleep_until(due)
                audio, digit = self._next()
                if audio is not None:
                    await self._websocket.send(from_pcm16(bytes(audio), self._encoding))
                if digit:
                    await self._websocket.send(self.asterisk.digit(digit))
                self._play(number)
                await self._send_events()

    def _play(self, number: int) -> None:
        frame = self.asterisk.tick()
        if frame:
            self._heard += bytes(max(0, number * self._frame - len(self._heard)))
            self._heard += to_pcm16(frame, self._encoding)
            self.arrivals.append((self.seconds, len(frame)))

    async def receive(self) -> None:
        """Receives from the agent until the call is over, and closes the connection."""
        closed = import_module("websockets.exceptions").ConnectionClosed
        try:
            with self._receiving:
                while True:
                    message = await self._websocket.recv()
                    for each in (*self._at_once, message):
                        self.asterisk.take(each)
                    self._at_once.clear()
                    await self._send_events()
            await self._websocket.close(CLOSE_S, self._code)
        except closed as error:
            code = error.rcvd.code if error.rcvd is not None else None
            self._end("broken" if code is None else f"closed {code}")
        finally:
            self._closed.set()

    async def _send_events(self) -> None:
        asterisk = self.asterisk
        while asterisk.events:
            await self._websocket.send(asterisk.events.pop(0))
        if asterisk.closed is not None:
            self._close("HANGUP" if asterisk.closed == NORMAL else f"refused {asterisk.closed}", asterisk.closed)


@asynccontextmanager
async def open_asterisk_websocket_call(
    url: str = "ws://127.0.0.1:9094/media",
    *,
    format_name: str = "slin",
    as_json: bool = True,
    variables: Mapping[str, str] | None = None,
    username: str = "",
    password: str = "",
    ssl_context: ssl.SSLContext | None = None,
) -> AsyncIterator[AsteriskWebSocketCaller]:
    """Opens a call as Asterisk's `Dial(WebSocket/...)` does: MEDIA_START, then audio every 20 ms. Leaving hangs up.

    Args:
        url: the `uri` of websocket_client.conf, with what `v()` adds to it.
        format_name: Asterisk's name of the audio's format, as in `c(slin)`.
        as_json: whether control messages are JSON, as with `f(json)`.
        variables: the channel variables that MEDIA_START has, by JSON.
        username: of websocket_client.conf; empty: none is sent.
        password: of websocket_client.conf.
        ssl_context: what `wss://` trusts; None: what this machine trusts.

    Raises:
        ComponentError: the connection was refused or failed.

    """
    asterisk = ChanWebSocket(format_name, as_json=as_json, variables=variables)
    encoded = base64.b64encode(f"{username}:{password}".encode()).decode()
    headers = {"Authorization": f"Basic {encoded}"} if username else {}
    async with (
        open_websocket(
            url,
            headers=headers,
            key="password",
            subprotocols=["media"],
            ping_interval=None,
            close_s=CLOSE_S,
            ssl_context=ssl_context,
        ) as websocket,
        open_hidden_nursery() as nursery,
    ):
        caller = AsteriskWebSocketCaller(websocket, asterisk)
        caller.start()
        nursery.start_soon(caller.send)
        nursery.start_soon(caller.receive)
        try:
            yield caller
        finally:
            with trio.CancelScope(shield=True):
                await caller.hang_up()
            nursery.cancel_scope.cancel()
