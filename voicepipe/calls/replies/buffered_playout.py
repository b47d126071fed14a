"""Playout on a transport that buffers and paces audio itself: it is written as it is made, and marks tell what sounded.

Theory of operation
-------------------

`FarEnd` knows the fourth clock: what has sounded at the other side. All positions here are on it, in ms of the audio
of the call; the reply's own audio begins at `_reply_ms`.

    0        heard            written      + queue
    |----------|-----------------|------------>          reply:  heard - _reply_ms
               |<-- ahead_ms --->|

- *Writing* (`_write_due`). The first audio is written at once. After that at most `ahead_ms` lie at the far end, and
  pieces are as large as they may be (`PIECE_MS`), so that there are about five writes a second: a smaller one is held
  back as long as the far end has more than `LOW_MS` to play.
- *Marks* (`SpeechMarks`) follow the first frame of a stretch (see `FarEnd`), each segment, and at most 500 ms of audio.
  A piece ends where a mark is due.
- *Recalling* (`_recall`). A pause and a drop clear the far end's buffer in the same turn of the loop. What was written
  and has not sounded is in `_sent` (`SentAudio`): a pause puts it back into the queue, and it is written again.
- *The end*. A reply is over when its last mark is reported; or, since marks get lost, `GRACE_S` after it must have
  sounded. The last words of a call are worth a longer wait (`wait_confirmed`). If the line takes nothing for
  `CONFIRM_S` although all that it has taken has sounded, the rest of the reply is given up (`Playout`).
- *Hooks*. What sounds is reported to the echo guard (`on_sounding`, a little in advance, frame by frame) and what has
  sounded to the recording (`on_heard`); what was cleared is reported to neither. Both are served every `SETTLE_S`.
- *Sounds beside speech* are written `BACKGROUND_MS` ahead while there is no speech, and cleared for the first of it.

Everything happens in `_pump`, which is called when audio is added, a mark is reported, the line takes audio again, or
the timer fires, and which plans the next thing that is due (`_plan`). Whoever calls it leaves that out where it would
only find that nothing is due. What it calls may come back here: a mark may be reported while it is requested, and
whoever learns that a reply is audible may drop it.
"""

from __future__ import annotations

from math import ceil, inf
from typing import TYPE_CHECKING, Final

import trio

from voicepipe.audio import FRAME_MS, open_converter
from voicepipe.calls.replies.background import Background
from voicepipe.calls.replies.far_end import FarEnd
from voicepipe.calls.replies.playout import CONFIRM_S, Playout, raise_it
from voicepipe.calls.replies.sent_audio import SentAudio
from voicepipe.calls.replies.speech_marks import SpeechMarks

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat, Converter, Sound
    from voicepipe.calls.replies.reply_sound import ReplySound
    from voicepipe.calls.tasks import Tasks
    from voicepipe.clock.timers import Timers
    from voicepipe.transports.protocol import Transport

PIECE_MS: Final = 200
"""The most audio of one write, in ms."""

LOW_MS: Final = 200
"""With less left at the far end, in ms, whatever there is is written, however little."""

GRACE_S: Final = 0.5
"""How long the report of a reply's last mark may be late, in s; then the reply counts as heard."""

UNMARKED_S: Final = 0.3
"""The delay of the line that is allowed for at the end of a call, in s, where there are no marks."""

SETTLE_S: Final = 0.12
"""The interval at which the hooks are served, in s."""

BACKGROUND_MS: Final = 300
"""How much of a sound beside speech lies at the far end, in ms."""


class BufferedPlayout(Playout):
    """Writes a reply's speech ahead of time, and knows how much of it has been heard.

    Args:
        transport: where the audio goes.
        timers: calls `fire` when the next audio is due.
        ahead_ms: how much may lie at the far end, in ms.
        tasks: where the wait for a transport that takes nothing runs.
        failed: called with what the transport raises.
        on_sounding: called for each frame, with the time at which it begins to sound and the frame.
        on_heard: called with the time at which audio began to sound, and the audio, when all of it has.
        noise: played whenever nothing else is, from the first `play_background` on; None: silence.

    """

    def __init__(
        self,
        transport: Transport,
        timers: Timers,
        ahead_ms: int,
        tasks: Tasks,
        *,
        failed: Callable[[Exception | SystemExit], None] = raise_it,
        on_sounding: Callable[[float, bytes], None] | None = None,
        on_heard: Callable[[float, bytes], None] | None = None,
        noise: Sound | None = None,
    ) -> None:
        self._piece_ms = min(PIECE_MS, ahead_ms // 2 // FRAME_MS * FRAME_MS)
        super().__init__(transport, tasks, failed=failed)
        self._timers, self._ahead_ms = timers, ahead_ms
        self._low_ms = min(LOW_MS, self._piece_ms)
        self._noise = noise
        self._background: Background | None = None
        self._is_background = False  # what lies at the far end is no speech
        self._far_end = FarEnd()
        self._sent = SentAudio(self._far_end, transport.audio, on_sounding, on_heard)
        self._reply_ms = 0.0  # where the reply's audio begins
        self._written_ms = 0.0  # of the reply, without what was recalled
        self._stopped_ms: float | None = 0.0  # what was heard of the reply, when it was paused or is over
        self._stopped_at = 0.0  # when it was last heard, then
        self._over = True  # the reply was heard to its end, or dropped
        self._marks = SpeechMarks(transport, self._far_end)
        self._confirmed = trio.Event()
        self._due = inf  # when something is to be done other than to serve the hooks
        self._waits_for = ""  # what speech in the queue waits for: "room" at the far end, or "more" of it
        self._pumping = self._closed = False

    def _use(self, audio: AudioFormat) -> None:
        super()._use(audio)
        self._piece_bytes = self._piece_ms // FRAME_MS * self._frame_bytes
        self._given = audio
        self._converter: Converter | None = None  # for a transport that takes another format by now

    @property
    def audio(self) -> AudioFormat:
        """The format in which the present reply is given: the transport's at its beginning."""
        return self._given

    @property
    def played_ms(self) -> float:
        """How much of the reply has been heard, in ms."""
        if self._stopped_ms is not None:
            return self._stopped_ms
        return max(0.0, self._far_end.heard_ms(trio.current_time()) - self._reply_ms)

    @property
    def heard_until(self) -> float:
        """The time at which the last of the reply that was heard has sounded, on trio's clock."""
        if self._stopped_ms is not None:
            return self._stopped_at
        return min(self._far_end.sounds_until, trio.current_time())

    def _stop_at(self, heard_ms: float) -> None:
        """Notes how much of the reply has been heard, when it is paused or over."""
        self._stopped_at, self._stopped_ms = self.heard_until, heard_ms

    @property
    def silent_ms(self) -> float:
        """How long the caller has heard nothing for want of speech, in ms; 0 if there is some, or in a pause."""
        if not self._written_ms or self._paused or self._waiting or self._buffered >= self._frame_bytes:
            return 0.0
        return max(0.0, trio.current_time() - self._far_end.ends_at) * 1000

    @property
    def queued_ms(self) -> float:
        """How much of the reply has been added so far, written or not, in ms."""
        return self._written_ms + self._format.ms_in(self._buffered)

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the last words may be on their way to the caller still; see `wait_confirmed`."""
        if self._is_stuck or self._marks.are_possible:
            return self._is_stuck or self._marks.last is not None
        return trio.current_time() < self._far_end.ends_at + UNMARKED_S

    async def wait_confirmed(self) -> bool:
        """Waits until the far end has reported that the last reply was played; False: not within `CONFIRM_S`."""
        ends_at = self._far_end.ends_at
        if self._is_stuck:
            return False
        if not self._marks.are_possible:
            await trio.sleep_until(ends_at + UNMARKED_S)
            return True
        with trio.move_on_at(ends_at + CONFIRM_S):
            while self._marks.last is not None:
                self._confirmed = trio.Event()
                await self._confirmed.wait()
        return self._marks.last is None

    def begin(self, on_audible: Callable[[], None]) -> ReplySound:
        """Drops the reply that is on, and starts the next; see `Playout.begin`."""
        sound = super().begin(on_audible)
        if not self._far_end.is_probed and not self._is_background and not self._closed:
            try:
                self._marks.probe(trio.current_time())
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the transport's: it ends the call
                self.fail(error)
        self._written_ms, self._stopped_ms, self._over = 0.0, 0.0, False
        return sound

    def add(self, sound: ReplySound, audio: bytes) -> None:
        """Adds the next audio of a reply, in the format `self.audio`."""
        super().add(sound, audio if self._converter is None else self._converter.convert(audio))

    def take_format(self, audio: AudioFormat) -> None:
        """Takes another format of the transport from now on; the present reply is converted."""
        self._sent.settle(trio.current_time())
        given, queue = self._given, b"".join(self._chunks)[self._offset :]
        self._sent.take_format(audio)
        converter = open_converter(self._format, audio, live=False)
        if converter is not None:
            queue = converter.convert(queue) + converter.finish()
        self._use(audio)
        self._given, self._converter = given, open_converter(given, audio, live=True)
        self._chunks.clear()
        self._offset, self._buffered = 0, len(queue)
        if queue:
            self._chunks.append(queue)
        if self._background is not None:
            self._background.take_format(audio)

    def take_back(self, sound: ReplySound, to_ms: float) -> None:
        """Forgets the audio of a reply from `to_ms` on, in ms of its audio, as far as it was not heard."""
        if sound is self._sound and not self._finished:
            if to_ms < self._written_ms and not self._is_background:
                self._recall(requeue=True)
            self._keep(self._format.bytes_in(to_ms - self._written_ms))
            self._pump()

    def drop(self) -> None:
        """Ends the present reply at once: no more of it is heard. No-op if there is none."""
        if not self._over:
            self._stop_at(self.played_ms)
            self._over = True
            if not self._is_background:
                self._recall(requeue=False)
            self._marks.last = None
        super().drop()
        self._pump()

    def close(self) -> None:
        """Ends the present reply and all sounds beside it: nothing more is written."""
        self.drop()
        if self._is_background:
            self._recall(requeue=False)
        self._closed = True
        self._timers.remove(self)

    def pause(self) -> None:
        """Stops the reply until `resume`: what was written and not heard is cleared, and will be written again."""
        if not self._paused and not self._over:
            self._stop_at(self.played_ms)
            self._paused = True
            if not self._is_background:
                self._recall(requeue=True)
            self._pump()

    def resume(self) -> None:
        """Goes on where `pause` stopped. No-op if it did not."""
        if self._paused:
            self._paused = False
            if self._waiting:
                self._be_patient()
            self._pump()

    def play_background(self, sound: Sound | None) -> None:
        """Plays a sound in a loop while no speech is played, until the next speech; see `Playout.play_background`."""
        if self._closed:
            return
        if self._background is None:
            self._background = Background(self._format, self._noise)
        before = self._background.sound
        self._background.play(sound)
        if self._is_background and self._background.sound is not before:
            self._recall(requeue=False)
        self._pump()

    def heard(self, mark: int) -> None:
        """Takes the report of a mark."""
        far_end = self._far_end
        awaited, delay_ms = far_end.awaits_first, far_end.delay_ms
        far_end.reported(mark, trio.current_time())
        if mark == self._marks.last:
            self._marks.last = None
            self._confirmed.set()
            self._pump()
        elif awaited or abs(far_end.delay_ms - delay_ms) > FRAME_MS:
            self._pump()  # what was planned by the old delay is due at another time

    def fire(self) -> None:
        """Does what is due; serves the hooks, if nothing else is."""
        now = trio.current_time()
        if now >= self._due:
            self._pump()
            return
        try:
            self._sent.settle(now)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - an observer's: it ends the call
            self.fail(error)
        else:
            self._set_timer(now)

    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what the transport or a hook has raised: nothing more is written, and the call ends."""
        self._closed = True
        self._timers.remove(self)
        self._failed(error)

    def _start(self) -> None:
        # Most audio changes nothing: it waits for the far end, or for more of it.
        if self._waits_for == "room" or (
            self._waits_for == "more" and not self._finished and self._buffered < self._piece_bytes
        ):
            return
        self._pump()

    def _pump(self) -> None:
        """Does what is due, and sets the timer for what will be."""
        if self._pumping or self._closed:
            return
        self._pumping, now = True, trio.current_time()
        try:
            self._sent.settle(now)
            if not self._waiting:
                self._write_due(now)
            self._end_if_heard(now)
            if not self._waiting:
                self._write_background(now)
            self._plan(now)
            self._set_timer(now)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a transport's or an observer's: it ends the call
            self.fail(error)
        finally:
            self._pumping = False

    # --- Speech ------------------------------------------------------------------------------------------------------

    def _ready_ms(self) -> int:
        """How much speech can be written, in ms of whole frames."""
        if self._paused:
            return 0
        frames = self._buffered / self._frame_bytes
        return FRAME_MS * (ceil(frames) if self._finished else int(frames))

    def _left_ms(self, now: float) -> float:
        """How much speech lies at the far end, in ms."""
        return 0.0 if self._is_background else self._far_end.left_ms(now)

    def _write_due(self, now: float) -> None:
        while (ready_ms := self._ready_ms()) and not self._closed:
            left_ms = self._left_ms(now)
            room_ms = int(self._ahead_ms - left_ms) // FRAME_MS * FRAME_MS
            size_ms = min(ready_ms, self._piece_ms, room_ms)
            whole = size_ms == self._piece_ms or (self._finished and size_ms == ready_ms)
            if size_ms <= 0 or (not whole and self._far_end.least_left_ms(now) >= self._low_ms):
                return
            if not self._write_speech(size_ms, now, dry=left_ms <= 0):
                return
        if self._finished and not self._buffered and self._written_ms and not self._over and not self._paused:
            self._marks.request_last(now)

    def _write_speech(self, size_ms: int, now: float, *, dry: bool) -> bool:
        """Writes speech up to the next mark, of at most that length; False: the transport takes nothing."""
        if self._is_background:
            self._recall(requeue=False)
        far_end, marks = self._far_end, self._marks
        begins_ms, segments = far_end.written_ms - self._written_ms, () if self._sound is None else self._sound.segments
        if marks.are_possible:
            if dry:
                marks.begin_stretch(now)
            elif marks.due_ms(segments, begins_ms) <= far_end.written_ms:
                marks.request(now)  # a segment turns out to have ended here
            due_ms = marks.due_ms(segments, begins_ms)
            size_ms = min(size_ms, max(FRAME_MS, int(due_ms - far_end.written_ms)))
        audio = self._take(size_ms // FRAME_MS * self._frame_bytes)
        if audio is None:
            return False
        if not self._transport.write(audio):
            self._put_back(audio)
            self._refused()
            return False
        far_end.wrote(size_ms, now)
        self._sent.append(audio)
        self._written_ms += size_ms
        self._reply_ms, self._stopped_ms = begins_ms, None
        if marks.are_possible and due_ms <= far_end.written_ms:
            marks.request(now, first=dry)
        if self._on_audible is not None:
            if self._background is not None:
                self._background.play(None)
            audible, self._on_audible = self._on_audible, None
            audible()
        return True

    def _put_back(self, audio: bytes) -> None:
        if self._offset:
            self._chunks[0] = self._chunks[0][self._offset :]
            self._offset = 0
        self._chunks.appendleft(audio)
        self._buffered += len(audio)

    @property
    def _sounds_until(self) -> float:
        return self._far_end.ends_at

    def _go_on(self) -> None:
        self._pump()

    def _give_up(self) -> None:
        self._stop_at(self.played_ms)
        self._over = True
        super()._give_up()
        self._pump()

    def _end_if_heard(self, now: float) -> None:
        if self._over or self._paused or not self._finished or self._buffered:
            return
        if self._written_ms and now < self._reply_ends_at:
            return
        self._stop_at(self._written_ms)
        self._over = True
        self._end()

    @property
    def _reply_ends_at(self) -> float:
        """When a reply that is written whole counts as heard."""
        return self._far_end.ends_at + (0.0 if self._marks.last is None else GRACE_S)

    def _recall(self, *, requeue: bool) -> None:
        """Clears what the far end has not played; speech can go back into the queue."""
        now = trio.current_time()
        far_end = self._far_end
        self._sent.settle(now)
        if far_end.left_ms(now) <= 0 and self._marks.last is None:
            self._is_background = False
            return
        begin_ms = far_end.written_ms if self._is_background else self._reply_ms
        heard_ms = far_end.heard_ms(now) - begin_ms
        at_ms = begin_ms + round(heard_ms / FRAME_MS) * FRAME_MS
        at_ms = min(max(at_ms, self._sent.begins_ms), far_end.written_ms)
        rest = self._sent.cut(at_ms)
        if requeue and rest:
            self._put_back(rest)
        if not self._is_background:
            self._written_ms -= far_end.written_ms - at_ms
        self._is_background = False
        far_end.recall(at_ms)
        self._marks.recall(at_ms)
        try:
            self._transport.clear()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the transport's: it ends the call
            self.fail(error)

    # --- Sounds beside speech, and the hooks --------------------------------------------------------------------------

    def _write_background(self, now: float) -> None:
        background, far_end = self._background, self._far_end
        if background is None or background.sound is None or self._ready_ms() or self._closed:
            return
        if not (self._over or self._paused or not self._written_ms):
            return  # a gap in a reply
        piece_ms = PIECE_MS // 2
        while far_end.left_ms(now) <= BACKGROUND_MS - piece_ms:
            audio = background.take(piece_ms // FRAME_MS)
            if not self._transport.write(audio):
                self._refused()
                return  # nobody misses a part of it
            far_end.wrote(piece_ms, now)
            self._sent.append(audio, echoes=background.sound.echoes)
            self._is_background = True

    def _plan(self, now: float) -> None:
        """Finds out when the next thing is due."""
        far_end, self._waits_for, due = self._far_end, "", inf
        left_ms = far_end.left_ms(now)
        if not self._waiting and (ready_ms := self._ready_ms()):
            if ready_ms >= self._piece_ms or self._finished:
                self._waits_for, target_ms = "room", self._ahead_ms - self._piece_ms
            else:
                self._waits_for, target_ms = "more", self._low_ms
                left_ms = far_end.least_left_ms(now)
            due = now + (left_ms - target_ms) / 1000
        elif self._finished and not (self._over or self._paused or self._buffered):
            due = self._reply_ends_at
        if self._is_background and not self._waiting:
            due = min(due, now + (left_ms - BACKGROUND_MS + PIECE_MS / 2) / 1000)
        self._due = max(due, now + FRAME_MS / 4000)

    def _set_timer(self, now: float) -> None:
        when = min(self._due, now + SETTLE_S) if self._sent.is_unsettled else self._due
        if self._closed or when == inf:
            self._timers.remove(self)
        else:
            self._timers.set(self, when)
