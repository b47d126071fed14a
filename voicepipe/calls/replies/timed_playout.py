"""Playout on a transport that takes audio in real time: one frame every 20 ms, on a schedule of our own.

Theory of operation
-------------------

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

A transport whose buffer is full refuses a frame. `_frame` keeps that one until `wait_writable` returns; the schedule
stands still meanwhile. If that takes too long, the reply is given up (`Playout`).

A sound beside speech (`play_background`) has a place on the ticker of its own, while no speech is played. The two hand
the schedule over to each other: the first frame of speech begins to sound where the last one of the sound ends.

`tick` runs 50 times a second for each call that speaks: no object, log, lock, scope or task switch for a frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from voicepipe.audio import FRAME_MS, open_converter
from voicepipe.calls.replies.background import Background
from voicepipe.calls.replies.playout import Playout, raise_it

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat, Converter, Sound
    from voicepipe.calls.replies.reply_sound import ReplySound
    from voicepipe.calls.tasks import Tasks
    from voicepipe.clock.ticker import Ticker
    from voicepipe.transports.protocol import Transport

STALL_S = 0.1
"""The longest stall that is caught up with, in s; after a longer one the schedule begins anew."""

FRAME_S = FRAME_MS / 1000


class TimedPlayout(Playout):
    """Cuts a reply's speech into frames and writes each when it is due.

    Args:
        transport: where frames go.
        ticker: calls `tick` every 20 ms while there is audio.
        lead_ms: how far ahead of real time frames are written, in ms.
        tasks: where the wait for a transport that takes nothing runs.
        failed: called with what the transport raises.
        on_written: called for each frame, with the time at which it begins to sound and the frame.
        noise: played whenever nothing else is, from the first `play_background` on; None: silence.

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
        noise: Sound | None = None,
    ) -> None:
        super().__init__(transport, tasks, failed=failed)
        self._ticker, self._on_written, self._noise = ticker, on_written, noise
        # Whole frames, less half of one: how late a tick happens to wake does not decide how many frames it writes.
        self._lead_s = (max(lead_ms // FRAME_MS, 1) - 0.5) * FRAME_MS / 1000
        self._ahead_s = self._lead_s  # the same for the phase of the ticks
        self._written = 0  # bytes of this reply that the transport has got
        self._frame: bytes | None = None  # cut, but not taken by the transport yet
        self._ticking = False
        self._due = 0.0  # when the next frame begins to sound
        self._begun_at = 0.0  # where `_due` was last moved to by more than a frame
        self._last_ended_at = 0.0  # when the last frame before that had sounded
        self._background: _TimedBackground | None = None
        self._closed = False

    def _use(self, audio: AudioFormat) -> None:
        super()._use(audio)
        self._converter: Converter | None = None  # for a transport that takes another format by now

    @property
    def played_ms(self) -> float:
        """How much of the reply was written, in ms: it is heard, or will be in a moment."""
        return self._format.ms_in(self._written)

    @property
    def heard_until(self) -> float:
        """The time at which the last frame that was written has sounded, on trio's clock."""
        return self._due if self._due > self._begun_at else self._last_ended_at

    def _begin_at(self, due: float) -> None:
        """Begins the schedule anew after a silence or a stall."""
        self._last_ended_at = self.heard_until
        self._due = self._begun_at = due

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
        """Drops the reply that is on, and starts the next; see `Playout.begin`."""
        sound = super().begin(on_audible)
        self._written = 0
        return sound

    def heard(self, mark: int) -> None:
        """Does nothing: no marks are requested."""

    def take_format(self, audio: AudioFormat) -> None:
        """Takes another format of the transport from now on; the present reply is converted, frame by frame."""
        self._converter = open_converter(self._format, audio, live=True)
        if self._frame is not None and self._converter is not None:
            self._frame = self._converter.convert(self._frame)
        if self._background is not None:
            self._background.take_format(audio)

    def take_back(self, sound: ReplySound, to_ms: float) -> None:
        """Forgets the audio of a reply from `to_ms` on, in ms of its audio, as far as it is not written yet."""
        if sound is self._sound and not self._finished:
            self._keep(self._format.bytes_in(to_ms) - self._cut_bytes)

    def drop(self) -> None:
        """Ends the present reply at once: nothing more of it is written. No-op if there is none."""
        self._stop_ticking()
        self._frame = None
        super().drop()

    def close(self) -> None:
        """Ends the present reply and all sounds beside it: nothing more is written."""
        self._closed = True
        self.drop()
        if self._background is not None:
            self._background.give_way()

    def pause(self) -> None:
        """Stops writing until `resume`; what there is of the reply is kept."""
        self._paused = True
        self._stop_ticking()

    def resume(self) -> None:
        """Goes on where `pause` stopped. No-op if it did not."""
        if self._paused:
            self._paused = False
            if self._waiting:
                self._be_patient()
            self._start()

    def play_background(self, sound: Sound | None) -> None:
        """Plays a sound in a loop while no speech is played, until the next speech; see `Playout.play_background`."""
        if self._closed:
            return
        if self._background is None:
            self._background = _TimedBackground(
                self._transport,
                self._ticker,
                self._lead_s,
                self._noise,
                failed=self._failed,
                on_written=self._on_written,
            )
        self._background.play(sound)
        if not self._ticking and not self._waiting:
            self._background.go_on(self._due)

    def tick(self, now: float) -> bool:
        """Writes the frames that are due; False if there is nothing to do until more audio comes."""
        if now - self._due > STALL_S:
            self._begin_at(now)
        while self._due < now + self._ahead_s:
            frame = self._frame
            if frame is None:
                frame = self._take(self._frame_bytes)
                if frame is not None and self._converter is not None:
                    frame = self._converter.convert(frame)
            if frame is None:
                return self._has_run_out(now)
            if not self._transport.write(frame):
                self._frame, self._ticking = frame, False
                self._refused()
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

    def _has_run_out(self, now: float) -> bool:
        # After the last frame the reply is heard to its end first. Before it, `add` begins to tick again.
        if self._finished and now < self._due:
            return True
        self._ticking = False
        if self._background is not None:
            self._background.go_on(self._due)
        if self._finished:
            self._end()
        return False

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what writing has raised: stops writing, and ends the call."""
        self._closed = self._paused = True
        self._stop_ticking()
        self._failed(error)

    def _stop_ticking(self) -> None:
        self._ticker.remove(self)
        self._ticking = False
        if self._background is not None and not self._closed:
            self._background.go_on(self._due)

    def _tick_at_once(self) -> None:
        """Writes the first frame of what there is, and leaves the others to the ticker."""
        now = trio.current_time()
        due = max(self._due, now)
        if self._background is not None and (self._buffered or self._frame is not None):
            due = max(due, self._background.give_way())
        if due > self._due:
            self._begin_at(due)
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

    @property
    def _has_unwritten(self) -> bool:
        return self._frame is not None or super()._has_unwritten

    def _go_on(self) -> None:
        if self._frame is not None and not self._paused:
            self._tick_at_once()
        elif self._background is not None and not self._ticking and not self._closed:
            self._background.go_on(self._due)  # a sound that began meanwhile

    def _give_up(self) -> None:
        self._frame = None
        self._stop_ticking()
        super()._give_up()


class _TimedBackground:
    """Writes the sounds beside speech while no speech is written: a frame every 20 ms, as `TimedPlayout` does.

    Args:
        transport: where frames go.
        ticker: calls `tick` every 20 ms while a sound is played.
        lead_s: how far ahead of real time frames are written, in s.
        noise: played whenever nothing else is; None: silence.
        failed: called with what the transport raises.
        on_written: called for each frame whose echo may come back.

    """

    def __init__(
        self,
        transport: Transport,
        ticker: Ticker,
        lead_s: float,
        noise: Sound | None,
        *,
        failed: Callable[[Exception | SystemExit], None],
        on_written: Callable[[float, bytes], None] | None,
    ) -> None:
        self._transport, self._ticker, self._lead_s = transport, ticker, lead_s
        self._on_written, self._failed = on_written, failed
        self._background = Background(transport.audio, noise)
        self._due = 0.0
        self._waits = True  # speech is written, or may be at any moment

    def take_format(self, audio: AudioFormat) -> None:
        self._background.take_format(audio)

    def play(self, sound: Sound | None) -> None:
        self._background.play(sound)
        if not self._waits:
            self.go_on(self._due)

    def give_way(self) -> float:
        """Stops for speech; returns the time up to which the line has audio."""
        self._ticker.remove(self)
        self._background.play(None)
        self._waits = True
        return self._due

    def go_on(self, due: float) -> None:
        """Plays on from `due`, or from now if that is over, if there is a sound."""
        self._waits = False
        if self._background.sound is not None:
            self._due = max(self._due, due, trio.current_time())
            self._ticker.add(self)

    def tick(self, now: float) -> bool:
        """Writes the frames that are due; False if there is no sound any more."""
        if self._background.sound is None:
            return False
        if now - self._due > STALL_S:
            self._due = now
        while self._due < now + self._lead_s:
            echoes = self._background.sound.echoes
            frame = self._background.take(1)
            if not self._transport.write(frame):
                return True  # nobody misses a frame of it
            if echoes and self._on_written is not None:
                self._on_written(self._due, frame)
            self._due += FRAME_S
        return True

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what writing has raised: it ends the call."""
        self._failed(error)
