"""One reply spoken over Deepgram's WebSocket: text in as it comes, audio out as it is made.

Each segment is flushed, so that it is spoken at once and its audio can be told from the next one's; where that would
be too often for Deepgram, several together.
"""

from __future__ import annotations

from contextlib import suppress
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from voicepipe.adapters.deepgram.tts_batches import TextBatches
from voicepipe.adapters.shared.speech_requests import is_spoken, pieces_of
from voicepipe.components.events import SpeechAudio, SpeechEvent
from voicepipe.errors import ComponentError
from voicepipe.wire.refusals import fault_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from voicepipe.adapters.deepgram.client import DeepgramWebSocket
    from voicepipe.adapters.deepgram.tts_rate_limits import SpeakRateLimits
    from voicepipe.audio import AudioFormat

GAP = " "
"""Between texts that are flushed together: Deepgram joins them as they come."""

CLEAR_S = 0.2
"""How long saying that nobody wants the rest may take, in s."""


class DeepgramSpeechStream:
    """A stream of speech; it needs no task, as the connection is read in `receive`."""

    def __init__(
        self, connection: DeepgramWebSocket, output: AudioFormat, limits: SpeakRateLimits, timeout_s: float
    ) -> None:
        self._connection, self._output, self._limits, self._timeout_s = connection, output, limits, timeout_s
        self._batches = TextBatches(output.bytes_in(1000) / 1000)
        self._finished = False
        self._rest = b""
        self._warning = ""
        self._waiting = trio.CancelScope()
        self._began = self._waited_s = 0.0  # when waiting began, and how long others before it were in vain

    async def send(self, text: str, segment: int) -> None:
        """Takes the next segment; waits while Deepgram takes no more text in this minute."""
        for piece in pieces_of(text, self._limits.most_chars - len(GAP)):
            if is_spoken(piece):
                await self._say(piece, segment)
        await trio.lowlevel.checkpoint()

    async def _say(self, text: str, segment: int) -> None:
        if (wait_s := self._limits.text_wait_s(len(GAP) + len(text), trio.current_time())) > 0:
            await self._flush()
            await trio.sleep(wait_s)
        self._batches.text(segment, len(text))
        if self._batches.gathered > len(text):
            text = GAP + text
        self._limits.text_sent(len(text), trio.current_time())
        await self._connection.send({"type": "Speak", "text": text})
        if self._limits.is_worth_a_flush(self._batches.gathered, trio.current_time()):
            await self._flush()

    async def finish(self) -> None:
        """Declares the end of the text; `receive` returns None after the last of its audio."""
        await self._flush()
        self._finished = True
        self._look_again()
        await trio.lowlevel.checkpoint()

    async def _flush(self) -> None:
        if not self._batches.gathered:
            return
        await trio.sleep(self._limits.flush_wait_s(trio.current_time()))
        self._limits.flushed(trio.current_time())
        if not self._batches.due:
            self._began, self._waited_s = trio.current_time(), 0.0
        self._batches.flush()
        self._look_again()
        await self._connection.send({"type": "Flush"})

    async def receive(self) -> SpeechEvent | None:
        """The next audio; None after `finish()` when all was received. Cancel-safe; raises the stream's error."""
        while not self._is_over:
            await trio.lowlevel.checkpoint_if_cancelled()
            try:
                event = self._event(self._connection.receive_nowait())
            except trio.WouldBlock:
                pass
            else:
                self._began, self._waited_s = trio.current_time(), 0.0
                if event is not None:
                    return event
                continue
            self._began = trio.current_time()
            try:
                with trio.CancelScope(deadline=self._deadline) as self._waiting:
                    event = self._event(await self._connection.receive())
                    self._began, self._waited_s = trio.current_time(), 0.0
                    if event is not None:
                        return event
            finally:
                self._waited_s += trio.current_time() - self._began
            if self._waiting.cancelled_caught and self._batches.due:
                raise ComponentError(f"nothing came for {self._timeout_s:g} s", answered=self._warning)
        await trio.lowlevel.checkpoint()
        return None

    async def leave(self) -> None:
        """Sends Clear if anything is unspoken, so that Deepgram stops making it.

        A reply that is left by a cancellation is cut at once, which ends it as well.
        """
        if self._batches.unspoken:
            with trio.move_on_after(CLEAR_S), suppress(ComponentError):
                await self._connection.send({"type": "Clear"})

    @property
    def _is_over(self) -> bool:
        return self._finished and not self._batches.unspoken

    @property
    def _deadline(self) -> float:
        return self._began + self._timeout_s - self._waited_s if self._batches.due else inf

    def _look_again(self) -> None:
        """Moves the deadline of a waiting `receive` after a change."""
        self._waiting.deadline = -inf if self._is_over else self._deadline

    def _event(self, message: Mapping[str, Any] | bytes | None) -> SpeechEvent | None:
        if message is None:
            raise ComponentError("closed the connection before the end of the reply", answered=self._warning)
        if isinstance(message, bytes):
            return self._audio(message)
        match message.get("type"):
            case "Flushed":
                self._rest = b""
                if not self._batches.spoken():
                    raise ComponentError("answered a text without any audio", answered=self._warning)
            case "Warning":
                self._warning = _said(message)
            case "Error":
                said = _said(message)
                raise ComponentError(
                    "reported an error", answered=said, fault=fault_of(500, said, said.split(": ")[:1])
                )
        return None

    def _audio(self, audio: bytes) -> SpeechAudio | None:
        segment = self._batches.audio(len(audio))
        audio = self._rest + audio
        whole = len(audio) - len(audio) % self._output.sample_bytes
        self._rest = audio[whole:]
        return SpeechAudio(audio[:whole], segment) if whole and segment is not None else None


def _said(message: Mapping[str, Any]) -> str:
    """`code: description`, of a warning or an error."""
    parts = [message.get(name) for name in ("code", "err_code", "description", "message", "err_msg")]
    return ": ".join(str(part) for part in parts if part) or str(message)
