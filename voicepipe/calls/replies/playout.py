"""Playout: the one writer of a call's audio, on its 20 ms schedule."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import trio

from voicepipe.audio import FRAME_MS, open_converter
from voicepipe.calls.replies.reply_sound import ReplySound

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat, Converter
    from voicepipe.calls.tasks import Tasks
    from voicepipe.clock.ticker import Ticker
    from voicepipe.transports.protocol import Transport

HIGH_WATER_MS = 2000
"""Speech held ready, in ms; a reply that is made faster waits."""

STALL_S = 0.1
"""How late a frame may be, in s, and still be caught up with; after a longer stall the schedule starts anew."""

FRAME_S = FRAME_MS / 1000


def raise_it(error: Exception | SystemExit) -> None:
    """What becomes of a transport's exception where nobody takes it."""
    raise error


class Playout:
    """Slices a reply's speech into frames and writes each when it is due.

    A reply goes `begin`, `play` as often as there is audio, `finish`, `wait_played`; `drop` ends it at once. What
    is written can't be recalled, so no more than `lead_ms` is ever written ahead of real time.

    Args:
        transport: where frames go.
        ticker: the clock; a call's ticks cost nothing while it is silent.
        lead_ms: how far ahead of real time frames are written.
        tasks: where waiting for a transport that takes nothing goes on.
        failed: takes what the transport raises, whoever's turn it was to write: it is not the voice's fault, nor the
            clock's.
        on_written: told when each frame begins to sound, and the frame.

    """

    def __init__(
        self,
        transport: Transport,
        ticker: Ticker,
        lead_ms: int,
        tasks: Tasks,
        *,
        failed: Callable[[Exception | SystemExit], None] = raise_it,
        on_written: Callable[[float, bytes], None] | None = None,
    ) -> None:
        self._transport, self._ticker, self._tasks, self._failed = transport, ticker, tasks, failed
        self._on_written = on_written
        self._use(transport.audio)
        # Whole frames, less half of one: how late a tick happens to wake does not decide how many frames it writes.
        self._lead_s = (max(lead_ms // FRAME_MS, 1) - 0.5) * FRAME_MS / 1000
        self._chunks: deque[bytes] = deque()
        self._offset = 0  # into the first chunk
        self._buffered = 0  # bytes not written
        self._written = 0  # bytes of this reply
        self._frame: bytes | None = None  # cut, but not taken by the transport
        self._sound: ReplySound | None = None  # of the present reply: what is shown for any other is dropped
        self._finished = True
        self._ticking = self._paused = False
        self._waiting = False  # for a transport that takes nothing
        self._due = 0.0  # when the next frame begins to sound
        self._room: trio.Event | None = None  # somebody waits for room
        self._played: trio.Event | None = None  # set when the reply has been heard, or dropped
        self._on_audible: Callable[[], None] | None = None

    def _use(self, audio: AudioFormat) -> None:
        self._format = audio
        self._converter: Converter | None = None  # for a transport that takes another format by now
        self._frame_bytes, self._high_water = audio.bytes_in(FRAME_MS), audio.bytes_in(HIGH_WATER_MS)

    @property
    def audio(self) -> AudioFormat:
        """The format in which the present reply is given: the transport's at its beginning."""
        return self._format

    @property
    def played_ms(self) -> float:
        """How much of the reply was written, in ms; what is written will be heard."""
        return self._format.ms_in(self._written)

    @property
    def silent_ms(self) -> float:
        """How long nothing has been heard for want of speech, in ms; 0 if there is some, or in a pause."""
        if not self._written or self._paused or self._frame is not None or self._buffered >= self._frame_bytes:
            return 0.0
        return max(0.0, trio.current_time() - self._due) * 1000

    @property
    def queued_ms(self) -> float:
        """How much of the reply has come so far, written or not, in ms."""
        return self._format.ms_in(self._cut_bytes + self._buffered)

    @property
    def _cut_bytes(self) -> int:
        """Bytes of this reply that are in frames, written or not."""
        return self._written + (0 if self._frame is None else self._frame_bytes)

    def begin(self, on_audible: Callable[[], None]) -> ReplySound:
        """Drops the reply that is on, and starts the next.

        Args:
            on_audible: called when the first frame is written.

        Returns:
            The new reply's sound. All other methods for a reply take it, and do nothing once the reply is dropped.

        """
        self.drop()
        self._use(self._transport.audio)
        self._written, self._finished, self._on_audible = 0, False, on_audible
        self._played = trio.Event()
        self._sound = sound = ReplySound()
        return sound

    def take_format(self, audio: AudioFormat) -> None:
        """The transport takes another format from now on: the reply that is on is converted, frame by frame."""
        self._converter = open_converter(self._format, audio, live=True)
        if self._frame is not None and self._converter is not None:
            self._frame = self._converter.convert(self._frame)

    async def play(self, sound: ReplySound, audio: bytes) -> None:
        """Takes the next audio of a reply, in the format of `audio`; waits while enough is held ready."""
        self.add(sound, audio)
        await self.wait_for_room(sound)

    @property
    def is_full(self) -> bool:
        """Whether enough is held ready."""
        return self._buffered > self._high_water

    async def wait_for_room(self, sound: ReplySound) -> None:
        """Returns when it is not full, or the reply was dropped."""
        while sound is self._sound and self.is_full:
            self._room = trio.Event()
            await self._room.wait()

    def add(self, sound: ReplySound, audio: bytes) -> None:
        """As `play`, without waiting."""
        if audio and sound is self._sound and not self._finished:
            self._chunks.append(audio)
            self._buffered += len(audio)
            self._start()

    def take_back(self, sound: ReplySound, to_ms: float) -> None:
        """Forgets the audio of a reply from there on, as far as it is not written yet."""
        if sound is not self._sound or self._finished:
            return
        keep = max(0, self._format.bytes_in(to_ms) - self._cut_bytes)
        while self._buffered > keep:
            last, too_many = self._chunks[-1], self._buffered - keep
            size = len(last) - (self._offset if len(self._chunks) == 1 else 0)
            if size <= too_many:
                self._chunks.pop()
                self._buffered -= size
                if not self._chunks:
                    self._offset = 0
            else:
                self._chunks[-1] = last[: len(last) - too_many]
                self._buffered -= too_many
        self._make_room()

    def finish(self, sound: ReplySound) -> None:
        """Says that all of the reply has come."""
        if sound is self._sound and not self._finished:
            self._finished = True
            self._start()

    async def wait_played(self, sound: ReplySound) -> None:
        """Returns when the reply has been heard to its end, or was dropped."""
        if sound is self._sound and self._played is not None:
            await self._played.wait()

    def drop(self) -> None:
        """Ends the reply at once: nothing more of it is written."""
        self._ticker.remove(self)
        self._ticking, self._finished = False, True
        self._chunks.clear()
        self._offset = self._buffered = 0
        self._frame = self._on_audible = None
        self._paused = False
        self._sound = None
        self._end()

    def pause(self) -> None:
        """Writes nothing until `resume`; what there is of the reply is kept."""
        self._paused = True
        self._ticker.remove(self)
        self._ticking = False

    def resume(self) -> None:
        """Goes on where `pause` stopped."""
        if self._paused:
            self._paused = False
            self._start()

    def tick(self, now: float) -> bool:
        """Writes the frames that are due; False when nothing is left to do."""
        if now - self._due > STALL_S:
            self._due = now
        while self._due < now + self._lead_s:
            frame = self._frame or self._cut()
            if frame is None:
                # At the end the last frame has yet to be heard; before it, `play` will start again.
                if self._finished and now < self._due:
                    return True
                self._ticking = False
                if self._finished:
                    self._end()
                return False
            if not self._transport.write(frame):
                self._frame, self._ticking = frame, False
                if not self._waiting:
                    self._waiting = True
                    self._tasks.start_soon(self._wait_writable)
                return False
            self._frame = None
            self._written += self._frame_bytes
            if self._on_written is not None:
                self._on_written(self._due, frame)
            self._due += FRAME_S
            if self._on_audible is not None:
                audible, self._on_audible = self._on_audible, None
                audible()
        return True

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what writing has raised: no more is written, and the call ends."""
        self.pause()
        self._failed(error)

    def _tick_at_once(self) -> None:
        """The first frame of what there is to write, and the ticker for the others."""
        now = trio.current_time()
        self._due = max(self._due, now)
        self._ticking = True
        try:
            more = self.tick(now)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a transport's or an observer's: it ends the call
            self.fail(error)
        else:
            if more:
                self._ticker.add(self)

    def _start(self) -> None:
        """Begins or resumes ticking, with the first frame at once."""
        if self._ticking or self._paused or (self._frame is not None and self._waiting):
            return
        if self._frame is None and self._buffered < self._frame_bytes and not self._finished:
            return
        self._tick_at_once()

    def _cut(self) -> bytes | None:
        """The next frame, as the transport takes it; silence after the last sample."""
        size = self._frame_bytes
        if self._buffered < size and not (self._finished and self._buffered):
            return None
        head = self._chunks[0]
        if len(head) - self._offset >= size:
            frame = head[self._offset : self._offset + size]
            self._offset += size
            self._buffered -= size
        else:
            pieces = []
            while size and self._chunks:
                piece = self._chunks[0][self._offset : self._offset + size]
                pieces.append(piece)
                size -= len(piece)
                self._buffered -= len(piece)
                self._offset += len(piece)
                self._next_chunk_if_spent()
            frame = b"".join(pieces) + self._format.silence * (size // self._format.sample_bytes)
        self._next_chunk_if_spent()
        if self._buffered < self._high_water / 2:
            self._make_room()
        return frame if self._converter is None else self._converter.convert(frame)

    def _next_chunk_if_spent(self) -> None:
        if self._chunks and self._offset == len(self._chunks[0]):
            self._chunks.popleft()
            self._offset = 0

    async def _wait_writable(self) -> None:
        """The slow path: the transport takes nothing for now, so the schedule waits for it."""
        await self._transport.wait_writable()
        self._waiting = False
        if self._frame is not None and not self._paused:
            self._tick_at_once()

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _end(self) -> None:
        self._make_room()
        if self._played is not None:
            self._played.set()
