"""The WebSocket of one call, as its transport sees it: whole messages, sent without waiting and received from a hub."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import trio

if TYPE_CHECKING:
    from voicepipe.transports.hub import Hub
    from voicepipe.wire.byte_stream import AcceptedStream
    from voicepipe.wire.websocket_server import ServerWebSocket

CLOSE_S: Final = 2.0
"""The longest wait for the other side's Close frame, in s."""
GOODBYE_S: Final = 0.5
"""The time in which what was sent still goes out when the end of a call is cancelled, in s."""
PING_CHECKS: Final = 2
"""The number of checks in which nothing came after which a ping is sent."""
DEAD_CHECKS: Final = 4
"""The number of checks in which nothing came, not even a pong, after which the connection is taken for dead."""
CHECK_S: Final = 0.45
"""The interval of these checks, in s: a connection is taken for dead 1.35 to 1.8 s after the last byte came."""


class MessageSink(Protocol):
    """Receives the messages of a `CallSocket`."""

    def take_message(self, message: bytes | str) -> None:
        """Takes the next message, text as str; synchronous, quick. What it raises goes to `fail`."""

    def closed(self, reason: str) -> None:
        """Takes the end of the connection, after the last message; not called when this side closed it."""

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what `take_message` raised: `answer` or `run` raises it, and nothing is delivered any more."""


class CallSocket:
    """A WebSocket that was accepted, for one call; made by a listener, which closes it when the call's handler returns.

    Attributes:
        peer: the `host:port` of the other side.

    """

    def __init__(
        self, websocket: ServerWebSocket, stream: AcceptedStream, hub: Hub, nursery: trio.Nursery, peer: str
    ) -> None:
        """Takes over an open WebSocket; the hub reads it from `start` on, and the nursery writes what had no room."""
        self.peer = peer
        self._websocket, self._stream, self._hub, self._nursery = websocket, stream, hub, nursery
        self._transport: MessageSink | None = None
        self._silent_checks = self._unsent_bytes = 0
        self._has_ended = self._is_closing = self._is_flushing = False
        self._closed = trio.Event()

    @property
    def has_ended(self) -> bool:
        """Whether the connection is closed or closing, by either side."""
        return self._has_ended

    def start(self, transport: MessageSink) -> None:
        """Begins to deliver to a transport, with what has come already."""
        self._transport = transport
        self._hub.add(self, self._stream.socket)
        try:
            self._websocket.deliver_to(transport.take_message)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a defect of one call, which ends that call
            self.fail(error)
        self._after_reading()

    def send_nowait(self, message: bytes | str) -> bool:
        """Sends a message, str as text, and never blocks; False if it was not taken because earlier ones wait.

        After the end of the connection, every message is taken and dropped: `closed` reports the end.
        """
        if not self._websocket.try_send(message):
            return False
        if not self._stream.is_flushed:
            self._flush_soon()
        return True

    async def wait_writable(self) -> None:
        """Returns when there is room for another message, or the connection has ended."""
        await self._websocket.wait_writable()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Closes the connection after all that was sent: a Close frame, and up to 2 s for the other side's.

        When cancelled, what was sent has 0.5 s to go out. No-op if it is closed.
        """
        if self._is_closing:
            await self._closed.wait()
            return
        self._stop_receiving()
        try:
            if not self._websocket.has_ended and not self._stream.is_flushed:
                with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_S):
                    await self.wait_writable()
            await self._websocket.close(CLOSE_S, code, reason)
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Cuts the connection at once; no-op if it is closed."""
        self._stop_receiving()
        self._transport = None  # which refers to this: a circle would be left to the garbage collector
        await self._websocket.aclose()
        self._closed.set()

    # --- For the hub and the listener -------------------------------------------------------------------------------

    def receive(self) -> None:
        """Delivers what the socket has."""
        self._silent_checks = 0
        websocket = self._websocket
        if websocket.receive_nowait() or websocket.has_ended:
            self._after_reading()

    def fail(self, error: Exception | SystemExit) -> None:
        """Ends the call with what its transport raised."""
        if self._transport is not None and not self._has_ended:
            self._stop_delivering()
            self._transport.fail(error)

    def check_life(self) -> None:
        """Pings a silent peer, and ends the call of one that does not answer; called every `CHECK_S`.

        A ping would come after all that waits to be written; meanwhile a peer that reads it is alive.
        """
        unsent, self._unsent_bytes = self._unsent_bytes, self._stream.unsent_bytes
        self._silent_checks = 0 if self._unsent_bytes < unsent else self._silent_checks + 1
        if self._silent_checks == PING_CHECKS:
            self._websocket.ping()
        elif self._silent_checks == DEAD_CHECKS:
            self._end("the other side does not answer pings")
            self._stream.shut_down()

    def _after_reading(self) -> None:
        if not self._stream.is_flushed:
            self._flush_soon()
        if self._websocket.has_ended:
            self._end(self._websocket.end_reason)

    def _end(self, reason: str) -> None:
        if self._transport is not None and not self._has_ended:
            self._stop_delivering()
            self._transport.closed(reason)

    def _stop_delivering(self) -> None:
        self._has_ended = True
        self._hub.remove(self._stream.socket)
        self._websocket.deliver_to(_drop)

    def _stop_receiving(self) -> None:
        self._is_closing = True
        self._stop_delivering()

    def _flush_soon(self) -> None:
        """Lets a task write what the kernel had no room for."""
        if not self._is_flushing:
            self._is_flushing = True
            self._nursery.start_soon(self._flush)

    async def _flush(self) -> None:
        try:
            await self.wait_writable()
        finally:
            self._is_flushing = False


def _drop(message: bytes | str) -> None:
    """Takes a message that comes after the end."""
