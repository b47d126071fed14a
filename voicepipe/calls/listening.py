"""Listening: the caller's audio on its way to the recogniser, and the edges of speech on the way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.audio import FRAME_MS, AudioFormat, open_converter
from voicepipe.calls.ring import Ring
from voicepipe.calls.vad import Edge, VoiceActivity
from voicepipe.edge import settle
from voicepipe.errors import ComponentError
from voicepipe.events import Transcript
from voicepipe.requests import Listen

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

    from voicepipe.components import SpeechToText, TranscriptStream
    from voicepipe.edge import Who
    from voicepipe.events import TranscriptEvent

RING_MS = 1000
"""How much of the caller's audio is kept for a recogniser that is connecting or slow, in ms."""


class Listening:
    """Takes the caller's audio synchronously, frame by frame, and feeds a recogniser from a task of its own.

    The recogniser gets chunks of the size it likes. From the first silent frame after speech until the final
    transcript it gets every frame at once (it *hurries*), so that big chunks cost no response time.

    Args:
        audio: the call's format.
        sustained_ms: how long speech must last to interrupt.
        on_edge: called synchronously at each edge of speech.

    """

    def __init__(self, audio: AudioFormat, sustained_ms: int, on_edge: Callable[[Edge], None]) -> None:
        self._format = audio
        self._frame_bytes = audio.bytes_in(FRAME_MS)
        self._on_edge = on_edge
        self._vad = VoiceActivity(audio, sustained_ms)
        self._ring = Ring(audio.bytes_in(RING_MS))
        self._rest = b""  # of a frame that came in parts
        self._chunk_bytes = self._frame_bytes
        self._hurried = False
        self._finalise = False
        self._listen = Listen()
        self._listen_changed = False
        self._wake = trio.Event()

    @property
    def audio_ms(self) -> float:
        """How much audio the caller has sent, in ms."""
        return self._format.ms_in(self._ring.written)

    @property
    def silent_ms(self) -> float:
        """How long the caller has been silent at the end of speech, in ms."""
        return self._vad.silent_ms

    @property
    def dropped_ms(self) -> float:
        """Audio that no recogniser took in time, in ms."""
        return self._format.ms_in(self._ring.dropped)

    def hear(self, audio: bytes | memoryview) -> None:
        """Takes the next audio, of any length; frames of 20 ms, whole, are the quick way."""
        size = self._frame_bytes
        if len(audio) == size and not self._rest:
            self._hear_frame(bytes(audio))
            return
        data = self._rest + bytes(audio)
        for start in range(0, len(data) - size + 1, size):
            self._hear_frame(data[start : start + size])
        self._rest = data[len(data) - len(data) % size :]

    def expect(self, listen: Listen) -> None:
        """Tells the recogniser what the caller is likely to say from now on."""
        if listen != self._listen:
            self._listen, self._listen_changed = listen, True
            self._wake.set()

    def finalise(self) -> None:
        """Asks the recogniser for its last word on what was said so far."""
        self._finalise = True
        self._wake.set()

    async def run(self, stt: SpeechToText, who: Who, on_event: Callable[[TranscriptEvent], None]) -> NoReturn:
        """Feeds the recogniser and passes on what it says, until cancelled.

        Raises:
            ComponentError: the recogniser failed, or ended by itself.

        """
        wanted = stt.input_for(self._format)
        self._chunk_bytes = self._format.bytes_in(max(wanted.chunk_ms, FRAME_MS))
        self._listen_changed = False
        try:
            async with stt.open_stream(wanted, self._listen) as stream, trio.open_nursery() as nursery:
                nursery.start_soon(self._feed, stream, wanted.format)
                while (event := await stream.receive()) is not None:
                    if isinstance(event, Transcript) and event.final:
                        self._hurried = False
                    on_event(event)
                raise ComponentError("ended while the call was on", component=who.name, role=who.role)
        except BaseExceptionGroup as group:
            raise settle(group, who) from None

    def call_ms(self, stream_ms: float) -> float:
        """Where a position in the recogniser's audio lies in the call's; it has not heard what was dropped."""
        return stream_ms + self.dropped_ms

    def _hear_frame(self, frame: bytes) -> None:
        edge = self._vad.process(frame)
        self._ring.append(frame)
        if self._vad.speaking:
            self._hurried = not self._vad.voiced
        if edge is not None:
            self._on_edge(edge)
        if len(self._ring) >= self._wanted_bytes():
            self._wake.set()

    def _wanted_bytes(self) -> int:
        return self._frame_bytes if self._hurried else self._chunk_bytes

    async def _feed(self, stream: TranscriptStream, wanted: AudioFormat) -> None:
        converter = open_converter(self._format, wanted, live=True)
        while True:
            if len(self._ring) >= self._wanted_bytes() or (self._finalise and len(self._ring)):
                audio = self._ring.take(self._chunk_bytes)
                await stream.send(audio if converter is None else converter.convert(audio))
            elif self._finalise:
                self._finalise = False
                await stream.end_utterance()
            elif self._listen_changed:
                self._listen_changed = False
                await stream.listen_for(self._listen)
            else:
                self._wake = trio.Event()
                await self._wake.wait()
