"""One browser's WebSocket as the transport of a call.

The page buffers what it is sent and plays it in time (`pacing` is `theirs`), drops it at `clear`, and reports marks
when what came before them was heard. So a call writes speech as it is made, and what the caller heard is known.

What is sent stays in order: audio and messages share one WebSocket. When that takes nothing, because the network is
slow, audio is refused as by every transport, and messages wait in `_owed`, which a task of `run` sends.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import uuid4

import trio
from attrs import evolve

from voicepipe.audio import AudioFormat
from voicepipe.components.requests import CallInfo
from voicepipe.errors import TransportError
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.transports.base_transport import BaseWebSocketTransport
from voicepipe.transports.browser.wire_format import (
    CLEAR,
    HUNG_UP,
    RATE,
    STARTED,
    EndCall,
    PlaceCall,
    PressKey,
    ReportMark,
    check_audio,
    encode_event,
    encode_mark,
    parse_message,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.components.trace_context import TraceContext
    from voicepipe.transports.call_socket import CallSocket
    from voicepipe.transports.protocol import CallSink, Capability

GOODBYE_S: Final = 0.5
"""The time in which a hang-up sends what is owed, even when it is cancelled, in s."""
MOST_OWED: Final = 256
"""The most messages that wait to be sent; with more, events of the call are left out."""
POLICY_VIOLATION: Final = 1008
"""The close code of a client that broke the protocol (RFC 6455, 7.4.1)."""
MOST_REASON: Final = 120
"""The longest reason of a Close frame, in bytes (RFC 6455, 5.5: 123)."""


class BrowserTransport(BaseWebSocketTransport):
    """A caller at the softphone's page, or at another client of its protocol; made by a listener."""

    pacing: Literal["theirs"] = "theirs"
    can: frozenset[Capability] = frozenset({"clear", "mark"})

    def __init__(
        self, socket: CallSocket, *, listener: str, shows_call: bool, trace: TraceContext | None = None
    ) -> None:
        """Takes over an open WebSocket.

        Args:
            socket: the WebSocket; the listener delivers its messages to `take_message`.
            listener: the name for `CallInfo.listener`.
            shows_call: whether the client gets the events of its call, with the words of both sides.
            trace: the span that the call is made for; None: it is not known.

        """
        info = CallInfo(listener=listener, transport_id=str(uuid4()), trace=trace)
        super().__init__(socket, info, AudioFormat(RATE))
        self._shows_call = shows_call
        self._has_start = self._is_taken = self._has_hung_up = False
        self._owed: deque[str] = deque()  # messages for which there was no room
        self._owes = trio.Event()
        self._close: tuple[int, str] = (1000, "")

    async def answer(self) -> bool:
        """Waits for the client's `start`; False if it closed before.

        Raises:
            TransportError: another message came first, or one that is none of the protocol.

        """
        try:
            await super().answer()
        except TransportError:
            await self.socket.close(*self._close)  # the client learns why
            raise
        return self._has_start

    async def run(self, sink: CallSink) -> None:
        """Tells the client that the call is taken, and delivers until either side hangs up; to be called once.

        Raises:
            TransportError: the client broke the protocol.

        """
        self._take_call()
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(self._send_owed)
            await self.delivery.run(sink)
            nursery.cancel_scope.cancel()

    # --- What comes --------------------------------------------------------------------------------------------------

    def take_message(self, message: bytes | str) -> None:
        """Takes a message of the client; raises `TransportError` for one that is none of the protocol."""
        if isinstance(message, bytes):
            check_audio(message)
            if self._is_taken and message:
                self.delivery.sink.audio(message)
            return  # what comes before `started` was said to nobody
        parsed = parse_message(message)
        if isinstance(parsed, PlaceCall):
            self._start(parsed)
        elif not self._has_start:
            if parsed is not None:
                raise TransportError('the first message must be "start"')
        elif isinstance(parsed, PressKey):
            self.delivery.sink.dtmf(parsed.digit)
        elif isinstance(parsed, ReportMark):
            self.delivery.sink.heard(parsed.mark)
        elif isinstance(parsed, EndCall):
            self.closed("the caller hung up")

    def _start(self, start: PlaceCall) -> None:
        if self._has_start:
            raise TransportError('a second "start" came in mid-call')
        self.info = evolve(self.info, called=start.called, caller=start.caller, variables=start.variables)
        self._has_start = True
        self.began.set()

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what `take_message` raised: `answer` or `run` raises it."""
        if isinstance(error, TransportError):
            self._close = POLICY_VIOLATION, str(error).encode()[:MOST_REASON].decode("utf-8", "ignore")
        super().fail(error)

    # --- What goes ---------------------------------------------------------------------------------------------------

    def write(self, audio: bytes | memoryview) -> bool:
        """Sends audio and never blocks; False if nothing was taken. After the call's end, audio is dropped."""
        if self._has_hung_up:
            return True
        if not self._is_taken:
            self._take_call()
        if self._owed and not self._flush():
            return False
        return self.socket.send_nowait(bytes(audio))

    def clear(self) -> None:
        """Has the client drop what it has not played yet."""
        self._send(CLEAR)

    def mark(self, mark: int) -> None:
        """Has the client report when everything until here was heard."""
        self._send(encode_mark(mark))

    def call_event(self, event: Mapping[str, Any]) -> None:
        """Sends an event of the call, which the page shows; no-op if the listener shows none."""
        if self._shows_call and len(self._owed) < MOST_OWED:
            self._send(encode_event(event))

    def _take_call(self) -> None:
        """Tells the client, before anything else, that there is a call."""
        if not self._is_taken:
            self._is_taken = True
            self._send(STARTED)

    def _send(self, message: str) -> None:
        """Sends a message after all that is owed, now or as soon as there is room."""
        if not self._has_hung_up:
            self._take_call()
            self._owed.append(message)
            if not self._flush():
                self._owes.set()

    def _flush(self) -> bool:
        """Sends what is owed, as far as there is room; True if nothing is left."""
        while self._owed:
            if not self.socket.send_nowait(self._owed[0]):
                return False
            self._owed.popleft()
        return True

    async def _send_owed(self) -> None:
        while True:
            await self._owes.wait()
            self._owes = trio.Event()
            while not self._flush():
                await self.socket.wait_writable()

    async def hang_up(self) -> None:
        """Ends the call: tells the client, and closes the WebSocket after all that was sent; no-op if it has ended."""
        if not self._has_hung_up:
            if self._close[0] != POLICY_VIOLATION:
                self._owed.append(HUNG_UP)
            self._has_hung_up = True
            self.delivery.stop()
            self.began.set()
            with trio.CancelScope(shield=True, deadline=trio.current_time() + GOODBYE_S):
                while not self._flush():
                    await self.socket.wait_writable()
        await self.socket.close(*self._close)
