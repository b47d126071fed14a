"""A transport over a WebSocket with the parts that most have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import trio

from voicepipe.audio import AudioFormat
from voicepipe.components.requests import CallInfo
from voicepipe.transports.delivery import Delivery

if TYPE_CHECKING:
    from voicepipe.transports.call_socket import CallSocket
    from voicepipe.transports.protocol import CallSink, Capability


class BaseWebSocketTransport:
    """A `WebSocketTransport` of calls whose other side plays audio as it comes; a class of one protocol extends it.

    It has to define `take_message`, which passes what comes to `self.delivery.sink`, and `write`. `answer` returns as
    soon as `self.began` is set: set it in `take_message` if a message says what call it is, or in `__init__` if the
    request did. A protocol with more abilities defines `can` and their methods, and `pacing`.
    """

    pacing: Literal["ours", "theirs"] = "ours"
    can: frozenset[Capability] = frozenset()

    def __init__(self, socket: CallSocket, info: CallInfo | None = None, audio: AudioFormat | None = None) -> None:
        """Takes over the WebSocket of a call.

        Args:
            socket: the WebSocket; messages come from it as soon as this returns.
            info: the facts about the call; they may be replaced until `began` is set.
            audio: the format in both directions; None: linear at 8 kHz.

        """
        self.socket = socket
        self.info = info or CallInfo()
        self.audio = audio or AudioFormat(8000)
        self.delivery = Delivery()
        self.began = trio.Event()

    async def answer(self) -> bool:
        """Waits until `began` is set; False if the other side closed before."""
        await self.began.wait()
        self.delivery.raise_failure()
        return not self.delivery.is_over

    def take_message(self, message: bytes | str) -> None:
        """Takes the next message; to be defined."""
        raise NotImplementedError

    def closed(self, reason: str) -> None:
        """Takes the end of the connection."""
        self.delivery.end(reason)
        self.began.set()

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what `take_message` raised."""
        self.delivery.fail(error)
        self.began.set()

    async def run(self, sink: CallSink) -> None:
        """Delivers to the sink until either side hangs up."""
        await self.delivery.run(sink)

    def write(self, audio: bytes | memoryview) -> bool:
        """Sends audio; to be defined, usually as `return self.socket.send_nowait(bytes(audio))`."""
        raise NotImplementedError

    async def wait_writable(self) -> None:
        """Returns when there is room for another `write`, or the call is over."""
        await self.socket.wait_writable()

    def clear(self) -> None:
        """Unsupported unless it is in `can`."""
        raise NotImplementedError(f"{type(self).__name__} can't drop audio that was written")

    def mark(self, mark: int) -> None:
        """Unsupported unless it is in `can`."""
        raise NotImplementedError(f"{type(self).__name__} can't report when audio was played, such as by mark {mark}")

    async def transfer(self, target: str) -> None:
        """Unsupported unless it is in `can`."""
        raise NotImplementedError(f"{type(self).__name__} can't transfer to {target}")

    async def send_dtmf(self, digits: str) -> None:
        """Unsupported unless it is in `can`."""
        raise NotImplementedError(f"{type(self).__name__} can't send the keys {digits}")

    async def hang_up(self) -> None:
        """Ends the call: closes the connection after all that was written."""
        self.delivery.stop()
        await self.socket.close()
