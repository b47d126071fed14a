"""The caller's audio of one call: the edges of speech in it, and the part that recognisers have still to hear.

`listening` explains the positions and when chunks are due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.audio import FRAME_MS
from voicepipe.calls.listening.audio_buffer import AudioBuffer
from voicepipe.calls.listening.vad import VoiceActivity

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat
    from voicepipe.calls.listening.echo import EchoGuard
    from voicepipe.calls.listening.vad import Edge

BUFFER_MS = 15_000
"""The most audio that is kept for a recogniser that is slow, or for the next one, in ms."""

IDLE_MS = 200
"""How much audio is kept while nothing is said, in ms: the beginning of speech is known a little after it."""

TRIM_MS = 60
"""By how much the kept audio may exceed `IDLE_MS` before it is trimmed, in ms: not at each frame, which costs more."""

WAKE_MS = 40
"""How much audio must wait before a task is woken to send it while the caller speaks, in ms, unless it is hurried. A
wake-up costs more than to send a chunk of 20 ms, and what a recogniser says of it may come so much later."""

IDLE_WAKE_MS = 80
"""The same while the caller is silent: there is nothing to recognise."""


class CallerAudio:
    """Takes the caller's audio synchronously, frame by frame, and keeps it for one recogniser at a time.

    Args:
        audio: the call's format.
        sustained_ms: how long speech must last to interrupt, in ms.
        on_edge: called synchronously at each edge of speech.
        echo: recognises the agent's own voice, which is kept as silence; None: nothing is compared.

    """

    def __init__(
        self, audio: AudioFormat, sustained_ms: int, on_edge: Callable[[Edge], None], echo: EchoGuard | None
    ) -> None:
        self._sustained_ms, self._on_edge, self._echo = sustained_ms, on_edge, echo
        self._rest = b""  # of a frame that came in parts
        self._hurried = False  # chunks are of one frame
        self._words_from = 0  # position from which on no final transcript covers the audio
        self._voiced_frames = 0  # from there on
        self._waiter: trio.lowlevel.Task | None = None
        self._on_chunk: Callable[[], None] | None = None
        self._use(audio)

    def _use(self, audio: AudioFormat) -> None:
        self.format = audio
        """The call's format."""
        self._silence = audio.silence * (audio.bytes_in(FRAME_MS) // audio.sample_bytes)
        self._frame_bytes = self._chunk_bytes = audio.bytes_in(FRAME_MS)
        self._vad = VoiceActivity(audio, self._sustained_ms)
        self._buffer = AudioBuffer(audio.bytes_in(BUFFER_MS))
        self._idle_bytes, self._trim_bytes = audio.bytes_in(IDLE_MS), audio.bytes_in(IDLE_MS + TRIM_MS)
        self._set_wake_bytes()

    def _set_wake_bytes(self) -> None:
        self._wake_bytes = max(self._chunk_bytes, self.format.bytes_in(WAKE_MS))
        self._idle_wake_bytes = max(self._chunk_bytes, self.format.bytes_in(IDLE_WAKE_MS))

    def take_format(self, audio: AudioFormat) -> None:
        """Takes another format from now on; no audio may have come yet."""
        self._use(audio)
        if self._echo is not None:
            self._echo.take_format(audio)

    # --- What comes in ----------------------------------------------------------------------------------------------

    def hear(self, audio: bytes | memoryview) -> None:
        """Takes the caller's next audio, of any length. Whole frames of 20 ms are the fast way."""
        size = self._frame_bytes
        if len(audio) == size and not self._rest:
            self._hear_frame(bytes(audio))
            return
        data = self._rest + bytes(audio)
        for start in range(0, len(data) - size + 1, size):
            self._hear_frame(data[start : start + size])
        self._rest = data[len(data) - len(data) % size :]

    def _hear_frame(self, frame: bytes) -> None:
        echo = self._echo
        if echo is not None and echo.is_echo(trio.current_time(), frame):
            frame = self._silence
        edge = self._vad.process(frame)
        if edge == "sustained" and echo is not None and echo.explains():
            edge = self._vad.end()
        buffer = self._buffer
        buffer.append(frame)
        if self._vad.speaking:
            self._hurried = not self._vad.voiced
            self._voiced_frames += self._vad.voiced
        elif not self._voiced_frames and buffer.written - self._words_from > self._trim_bytes:
            self._words_from = buffer.written - self._idle_bytes
            buffer.forget(min(self._words_from, buffer.read))
        if edge is not None:
            self._on_edge(edge)
        waiting = buffer.written - buffer.read
        if self._on_chunk is not None:
            if waiting >= (self._frame_bytes if self._hurried else self._chunk_bytes):
                self._on_chunk()
        elif self._waiter is not None and waiting >= self._bytes_to_wake():
            self.wake()

    def _bytes_to_wake(self) -> int:
        """How much audio must wait before the task that sends it is woken."""
        if self._hurried:
            return self._frame_bytes
        return self._wake_bytes if self._vad.speaking else self._idle_wake_bytes

    def stop_reporting_edges(self) -> None:
        """Forgets `on_edge`: the call is over."""
        self._on_edge = _ignore

    @property
    def has_begun(self) -> bool:
        """Whether any audio has come."""
        return bool(self._buffer.written or self._rest)

    @property
    def audio_ms(self) -> float:
        """How much audio the caller has sent, in ms."""
        return self.format.ms_in(self._buffer.written)

    @property
    def silent_ms(self) -> float:
        """How long the caller has been silent within or at the end of speech, in ms."""
        return self._vad.silent_ms

    @property
    def voiced_ms(self) -> float:
        """How much voice no final transcript covers yet, in ms."""
        return self._voiced_frames * FRAME_MS

    @property
    def dropped_ms(self) -> float:
        """How much audio was dropped because no recogniser took it in time, in ms."""
        return self.format.ms_in(self._buffer.dropped)

    # --- What a recogniser gets -------------------------------------------------------------------------------------

    @property
    def taken_ms(self) -> float:
        """How much of the caller's audio was taken, or dropped, in ms: where `take_chunk` goes on."""
        return self.format.ms_in(self._buffer.read)

    def set_chunk_ms(self, chunk_ms: int) -> None:
        """Sets how much audio makes a chunk, in ms; less than a frame is a frame."""
        self._chunk_bytes = self.format.bytes_in(max(chunk_ms, FRAME_MS))
        self._set_wake_bytes()

    def notify_chunks(self, on_chunk: Callable[[], None] | None) -> None:
        """Calls a function, synchronously, for each frame with which a chunk is due; None: ends `wait` instead."""
        self._on_chunk = on_chunk

    @property
    def is_chunk_due(self) -> bool:
        """Whether there is a chunk to send: of the set size, or of one frame while it is hurried."""
        buffer = self._buffer
        return buffer.written - buffer.read >= (self._frame_bytes if self._hurried else self._chunk_bytes)

    @property
    def is_all_taken(self) -> bool:
        """Whether there is no audio that was not taken."""
        return not len(self._buffer)

    def take_chunk(self) -> bytes:
        """Takes the next audio, at most a chunk of the set size."""
        return self._buffer.take(self._chunk_bytes)

    def wake(self) -> None:
        """Ends `wait`."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            trio.lowlevel.reschedule(waiter)

    async def wait(self) -> None:
        """Waits until chunks are due, of `WAKE_MS` at least unless they are hurried, or for `wake`. One task may wait.

        A new `trio.Event` for each wait would take a tenth of the time that a frame costs where each one wakes a task.
        """
        self._waiter = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(self._stop_waiting)

    def _stop_waiting(self, _raise: object) -> trio.lowlevel.Abort:
        self._waiter = None
        return trio.lowlevel.Abort.SUCCEEDED

    def note_final(self, end_ms: float | None) -> None:
        """Forgets the audio that a final transcript covers: no recogniser will have to hear it again.

        Args:
            end_ms: where the transcript ends in the caller's audio, in ms; None: it covers all audio that was taken.

        """
        buffer = self._buffer
        self._hurried = False
        self._voiced_frames = 0
        self._words_from = buffer.read if end_ms is None else self.format.bytes_in(end_ms)
        buffer.forget(min(self._words_from, buffer.read))

    def rewind(self) -> None:
        """Goes back to the audio that no final transcript covers, for the next recogniser."""
        self._buffer.rewind(self._words_from)


def _ignore(_edge: Edge) -> None:
    pass
