"""A peer's WebSocket, for transports over one: whole messages, and a connection that can die."""

from __future__ import annotations

import struct
from contextlib import asynccontextmanager, suppress
from importlib import import_module
from socket import SO_LINGER, SO_RCVBUF, SOL_SOCKET
from typing import TYPE_CHECKING, Any, Final

import trio

from voicepipe.nurseries import open_hidden_nursery
from voicepipe.testing.transports.peer import CallNotTaken

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from voicepipe.transports.listener import Listener

CONNECT_S: Final = 5.0
"""The longest wait for the listener's answer, in s."""
AHEAD: Final = 16
"""The most messages that are read ahead."""
RECEIVE_BUFFER: Final = 65_536
"""The size of the peer's receive buffer, in bytes."""


class WebSocketPeer:
    """The other end of a WebSocket; made by `open_websocket_peer`.

    It reads ahead a few messages, and so answers pings even if nobody calls `receive`.
    """

    def __init__(self, websocket: Any, stream: Any) -> None:
        """Takes over an open WebSocket of `voicepipe.wire`, and its stream."""
        self._websocket, self._stream = websocket, stream
        self._ahead_send, self._ahead = trio.open_memory_channel[bytes | str](AHEAD)
        self._reading = trio.CancelScope()
        self._ended: tuple[type[Exception], ...] = (
            import_module("websockets.exceptions").ConnectionClosed,
            trio.ClosedResourceError,
        )

    async def read_ahead(self) -> None:
        """Reads until the end of the connection."""
        with suppress(*self._ended):
            with self._reading:
                while True:
                    await self._ahead_send.send(await self._websocket.recv())
            await trio.sleep_forever()  # it fell silent: the end of the connection is not seen
        self._ahead_send.close()

    async def send(self, message: bytes | str) -> None:
        """Sends a message, str as text; raises `trio.BrokenResourceError` if the connection has ended."""
        try:
            await self._websocket.send(message)
        except self._ended as error:
            raise trio.BrokenResourceError(str(error)) from error

    async def receive(self) -> bytes | str | None:
        """Waits for the next message; None at the end of the connection, and ever after."""
        try:
            return await self._ahead.receive()
        except trio.EndOfChannel:
            return None

    async def close(self) -> None:
        """Begins to close the WebSocket in good order; `receive` then comes to its end."""
        self._websocket.send_close()
        await self._websocket.flush()

    def fall_silent(self) -> None:
        """Reads nothing more, and so answers no ping, as a machine that lost its network; the connection stays."""
        self._reading.cancel()

    async def die(self) -> None:
        """Resets the connection, as the system does for a program that crashed with unread data."""
        self._stream.socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        await self._websocket.aclose()


@asynccontextmanager
async def open_websocket_peer(
    listener: Listener, path: str = "/", headers: Mapping[str, str] | None = None
) -> AsyncIterator[WebSocketPeer]:
    """Connects to a listener's port by a WebSocket; leaving cuts the connection.

    Args:
        listener: the listener, without TLS.
        path: the path, with its query.
        headers: further headers of the request.

    Raises:
        CallNotTaken: the listener does not upgrade the connection.
        OSError: the listener refuses the connection.

    """
    connection = import_module("voicepipe.wire.websocket_connection")
    exceptions = import_module("websockets.exceptions")
    host, port = listener.address
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with trio.fail_after(CONNECT_S):
            websocket = await connection.connect(
                f"ws://{authority}{path}", dict(headers or {}), None, subprotocols=None, ping_interval=None
            )
    except (exceptions.InvalidHandshake, trio.TooSlowError) as error:
        raise CallNotTaken(str(error)) from error
    # A small buffer, so that a listener soon notices a peer that does not read.
    websocket.stream.socket.setsockopt(SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER)
    peer = WebSocketPeer(websocket, websocket.stream)
    try:
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(peer.read_ahead)
            yield peer
            nursery.cancel_scope.cancel()
    finally:
        await websocket.aclose()
