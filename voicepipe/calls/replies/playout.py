"""Playout: the one writer of a call's audio, on its 20 ms schedule.

Theory of operation
-------------------

Speech comes in pieces of any size, faster than it sounds, and with gaps. The line takes frames of 20 ms, one each
20 ms, without gaps. Playout is the queue between the two and the schedule of its far end; `speaking` explains the
three clocks (queued, written, heard) by which a reply is accounted for.

The queue is a deque of pieces (`_chunks`), an offset into the first, and the bytes in all (`_buffered`). Frames are cut
from it one by one (`_cut`). More than `HIGH_WATER_MS` makes the voice wait (`wait_for_room`) until half of it is left.

The schedule is one number: `_due`, the time at which the next frame begins to sound. It moves by exactly 20 ms a frame,
never by "20 ms from now", so that no error adds up. A tick writes every frame that begins before `now + _ahead_s`:

            now                _due        now + _ahead_s
    |----frame----|----frame----|----frame----|----frame----|
     written before             | this tick   | later ticks

- The ticker is shared by all calls of the process, and wakes this one every 20 ms while it is added to it, that is
  while it speaks. A silent call costs nothing. Audio that ends a silence is written at once (`_start`), and the ticks
  go on from there.
- Where it spares wake-ups, the ticks come at other times (`Ticker.add`), and `now + _ahead_s` moves with them.
- What is written can't be recalled: the lead is how late a barge-in takes effect. Half a frame is taken off it, so that
  a tick that wakes a little late or early writes the same number of frames.
- If `now` is past `_due`, the missing frames are written at once, up to `STALL_S`. After a longer stall (the process
  was stopped, the machine slept) the schedule begins anew at `now`: a burst of old audio would only fill the buffers
  of the line, and delay everything after it.

A reply's audio ends in one of two ways: it is finished and all of it was heard (`_due` has passed), or it is dropped.
Both set `_played`. If the transport fails, the call ends, and that drops it. `_sound` tells replies apart: a voice that
still gives audio for a dropped reply shows a sound that is not the present one, and the audio goes nowhere.

A transport whose buffer is full refuses a frame. `_frame` keeps that one until `wait_writable` returns; the schedule
stands still meanwhile.

`tick` runs 50 times a second for each call that speaks: no object, log, lock, scope or task switch for a frame.
"""

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
"""How much speech is held ready, in ms; a reply that is made faster has to wait."""

STALL_S = 0.1
"""The longest stall that is caught up with, in s; after a longer one the schedule begins anew."""

FRAME_S = FRAME_MS / 1000


def raise_it(error: Exception | SystemExit) -> None:
    """Raises a transport's exception: the default, where nobody takes it."""
    raise error


class Playout:
    """Cuts a reply's speech into frames and writes each when it is due.

    A reply is `begin`, `play` as often as there is audio, `finish`, `wait_played`; `drop` ends it at once.

    Args:
        transport: where frames go.
        ticker: calls `tick` every 20 ms while there is audio.
        lead_ms: how far ahead of real time frames are written, in ms.
        tasks: where the wait for a transport that takes nothing runs.
        failed: called with what the transport raises. A frame may be written in the task of a voice or of the ticker,
            and neither is to blame for it.
        on_written: called for each frame, with the time at which it begins to sound and the frame.

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
        self._ahead_s = self._lead_s  # the same for the phase of the ticks
        self._chunks: deque[bytes] = deque()
        self._offset = 0  # into the first chunk
        self._buffered = 0  # bytes in the chunks from there on
        self._written = 0  # bytes of this reply that the transport has got
        self._frame: bytes | None = None  # cut, but not taken by the transport yet
        self._sound: ReplySound | None = None  # of the present reply: what is shown for any other is dropped
        self._finished = True
        self._ticking = self._paused = False
        self._waiting = False  # for a transport that takes nothing at present
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
        """How much of the reply was written, in ms: it is heard, or will be in a moment."""
        return self._format.ms_in(self._written)

    @property
    def silent_ms(self) -> float:
        """How long the caller has heard nothing for want of speech, in ms; 0 if there is some, or in a pause."""
        if not self._written or self._paused or self._frame is not None or self._buffered >= self._frame_bytes:
            return 0.0
        return max(0.0, trio.current_time() - self._due) * 1000

    @property
    def queued_ms(self) -> float:
        """How much of the reply has been added so far, written or not, in ms."""
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
        """Takes another format of the transport from now on; the present reply is converted, frame by frame."""
        self._converter = open_converter(self._format, audio, live=True)
        if self._frame is not None and self._converter is not None:
            self._frame = self._converter.convert(self._frame)

    async def play(self, sound: ReplySound, audio: bytes) -> None:
        """Adds the next audio of a reply, in the format `self.audio`, and waits while enough is held ready."""
        self.add(sound, audio)
        await self.wait_for_room(sound)

    @property
    def is_full(self) -> bool:
        """Whether enough is held ready."""
        return self._buffered > self._high_water

    async def wait_for_room(self, sound: ReplySound) -> None:
        """Waits until playout is not full, or the reply is dropped."""
        while sound is self._sound and self.is_full:
            self._room = trio.Event()
            await self._room.wait()

    def add(self, sound: ReplySound, audio: bytes) -> None:
        """Adds the next audio of a reply, in the format `self.audio`."""
        if audio and sound is self._sound and not self._finished:
            self._chunks.append(audio)
            self._buffered += len(audio)
            self._start()

    def take_back(self, sound: ReplySound, to_ms: float) -> None:
        """Forgets the audio of a reply from `to_ms` on, in ms of its audio, as far as it is not written yet."""
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
        """Takes notice that all of the reply has been added."""
        if sound is self._sound and not self._finished:
            self._finished = True
            self._start()

    async def wait_played(self, sound: ReplySound) -> None:
        """Waits until the reply has been heard to its end, or is dropped."""
        if sound is self._sound and self._played is not None:
            await self._played.wait()

    def drop(self) -> None:
        """Ends the present reply at once: nothing more of it is written. No-op if there is none."""
        self._ticker.remove(self)
        self._ticking, self._finished = False, True
        self._chunks.clear()
        self._offset = self._buffered = 0
        self._frame = self._on_audible = None
        self._paused = False
        self._sound = None
        self._end()

    def pause(self) -> None:
        """Stops writing until `resume`; what there is of the reply is kept."""
        self._paused = True
        self._ticker.remove(self)
        self._ticking = False

    def resume(self) -> None:
        """Goes on where `pause` stopped. No-op if it did not."""
        if self._paused:
            self._paused = False
            self._start()

    def tick(self, now: float) -> bool:
        """Writes the frames that are due; False if there is nothing to do until more audio comes."""
        if now - self._due > STALL_S:
            self._due = now
        while self._due < now + self._ahead_s:
            frame = self._frame or self._cut()
            if frame is None:
                # After the last frame the reply is heard to its end first. Before it, `add` begins to tick again.
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
        """Takes what writing has raised: stops writing, and ends the call."""
        self.pause()
        self._failed(error)

    def _tick_at_once(self) -> None:
        """Writes the first frame of what there is, and leaves the others to the ticker."""
        now = trio.current_time()
        self._due = max(self._due, now)
        self._ahead_s = self._lead_s
        self._ticking = True
        try:
            more = self.tick(now)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a transport's or an observer's: it ends the call
            self.fail(error)
        else:
            if more:
                self._ahead_s = self._lead_s + self._ticker.add(self, shift=self._lead_s > FRAME_S)

    def _start(self) -> None:
        """Begins to tick, if there is a frame to write and it does not tick yet."""
        if self._ticking or self._paused or (self._frame is not None and self._waiting):
            return
        if self._frame is None and self._buffered < self._frame_bytes and not self._finished:
            return
        self._tick_at_once()

    def _cut(self) -> bytes | None:
        """Cuts the next frame, in the transport's format; the last one of a reply is filled up with silence."""
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
        """Waits until the transport takes frames again: the schedule stands still meanwhile."""
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
