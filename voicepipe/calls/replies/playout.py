"""Playout: the queue of a reply's speech before the line; the one writer of a call's audio is at its far end.

Theory of operation
-------------------

Speech comes in pieces of any size, faster than it sounds, and with gaps. The line takes whole frames of 20 ms. Playout
is the queue between the two. It has two forms, by the transport's `pacing`:

- `TimedPlayout` for `ours`: writes a frame every 20 ms, on a schedule of its own;
- `BufferedPlayout` for `theirs`: writes as much as the far end may hold, and follows by its marks what has sounded.

`speaking` explains the clocks (queued, written, heard) by which a reply is accounted for.

The queue is a deque of pieces (`_chunks`), an offset into the first, and the bytes in all (`_buffered`). More than
`HIGH_WATER_MS` makes the voice wait (`wait_for_room`) until half of it is left.

A reply's audio ends in one of three ways: it is finished and all of it was heard, it is dropped, or it is given up,
since the line has taken nothing for `CONFIRM_S`. All set `_played`. If the transport fails, the call ends, and that
drops it. `_sound` tells replies apart: a voice that still gives audio
for a dropped reply shows a sound that is not the present one, and the audio goes nowhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final

import trio

from voicepipe.audio import FRAME_MS
from voicepipe.calls.replies.reply_sound import ReplySound

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat, Sound
    from voicepipe.calls.tasks import Tasks
    from voicepipe.transports.protocol import Transport

HIGH_WATER_MS = 2000
"""How much speech is held ready, in ms; a reply that is made faster has to wait."""

CONFIRM_S: Final = 5.0
"""How long the report of a call's last words may be late, and how long a line may take nothing of a reply, in s."""


def raise_it(error: Exception | SystemExit) -> None:
    """Raises a transport's exception: the default, where nobody takes it."""
    raise error


class Playout(ABC):
    """Queues a reply's speech and writes it as the transport's pacing asks for.

    A reply is `begin`, `play` as often as there is audio, `finish`, `wait_played`; `drop` ends it at once.

    Args:
        transport: where the audio goes.
        tasks: where the wait for a transport that takes nothing runs.
        failed: called with what the transport raises. Audio may be written in the task of a voice, of the ticker or of
            the timers, and none of them is to blame for it.

    """

    def __init__(
        self, transport: Transport, tasks: Tasks, *, failed: Callable[[Exception | SystemExit], None] = raise_it
    ) -> None:
        self._transport, self._tasks, self._failed = transport, tasks, failed
        self._use(transport.audio)
        self._chunks: deque[bytes] = deque()
        self._offset = 0  # into the first chunk
        self._buffered = 0  # bytes in the chunks from there on
        self._sound: ReplySound | None = None  # of the present reply: what is shown for any other is dropped
        self._finished = True
        self._paused = False
        self._waiting = False  # for a transport that takes nothing at present
        self._waits_since = 0.0  # when it was first refused what it is to take next
        self._patience = trio.CancelScope()  # its deadline is when the reply is given up
        self._is_stuck = False  # the present reply was given up
        self._room: trio.Event | None = None  # somebody waits for room
        self._played: trio.Event | None = None  # set when the reply has been heard, or dropped
        self._on_audible: Callable[[], None] | None = None

    def _use(self, audio: AudioFormat) -> None:
        """Takes the format in which the next reply is given."""
        self._format = audio
        self._frame_bytes, self._high_water = audio.bytes_in(FRAME_MS), audio.bytes_in(HIGH_WATER_MS)

    @property
    def audio(self) -> AudioFormat:
        """The format in which the present reply is given: the transport's at its beginning."""
        return self._format

    @property
    @abstractmethod
    def played_ms(self) -> float:
        """The part of the reply that the caller has heard, or will have heard in a moment, in ms."""

    @property
    @abstractmethod
    def heard_until(self) -> float:
        """The time at which the caller last heard the reply, on trio's clock, or in a moment will; with `played_ms`."""

    @property
    @abstractmethod
    def silent_ms(self) -> float:
        """How long the caller has heard nothing for want of speech, in ms; 0 if there is some, or in a pause."""

    @property
    @abstractmethod
    def queued_ms(self) -> float:
        """How much of the reply has been added so far, written or not, in ms."""

    @property
    def is_unconfirmed(self) -> bool:
        """Whether the last words may be on their way to the caller still, or were given up; see `wait_confirmed`."""
        return self._is_stuck

    async def wait_confirmed(self) -> bool:
        """Waits until the far end has reported that it has played everything; False: it has not, for too long."""
        return not self._is_stuck

    @abstractmethod
    def heard(self, mark: int) -> None:
        """Takes the transport's report that everything before a mark was played."""

    def begin(self, on_audible: Callable[[], None]) -> ReplySound:
        """Drops the reply that is on, and starts the next.

        Args:
            on_audible: called when its first audio is written.

        Returns:
            The new reply's sound. All other methods for a reply take it, and do nothing once the reply is dropped.

        """
        self.drop()
        self._use(self._transport.audio)
        self._finished, self._is_stuck, self._on_audible = False, False, on_audible
        self._played = trio.Event()
        self._sound = sound = ReplySound()
        return sound

    @abstractmethod
    def take_format(self, audio: AudioFormat) -> None:
        """Takes another format of the transport from now on; the present reply is converted."""

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
            if self._waiting and not self._buffered:
                self._be_patient()
            self._chunks.append(audio)
            self._buffered += len(audio)
            self._start()

    @abstractmethod
    def take_back(self, sound: ReplySound, to_ms: float) -> None:
        """Forgets the audio of a reply from `to_ms` on, in ms of its audio, as far as it can't be heard any more."""

    def _keep(self, size: int) -> None:
        """Keeps that many bytes of the queue, and forgets the rest."""
        while self._buffered > max(0, size):
            last, too_many = self._chunks[-1], self._buffered - max(0, size)
            there = len(last) - (self._offset if len(self._chunks) == 1 else 0)
            if there <= too_many:
                self._chunks.pop()
                self._buffered -= there
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
        """Ends the present reply at once: no more of it is heard. No-op if there is none."""
        self._forget_rest()
        self._paused = False
        self._sound = None
        self._end()

    def _forget_rest(self) -> None:
        self._finished = True
        self._chunks.clear()
        self._offset = self._buffered = 0
        self._on_audible = None

    @abstractmethod
    def close(self) -> None:
        """Ends the present reply and all sounds beside it, with the call: nothing more is written."""

    @abstractmethod
    def pause(self) -> None:
        """Stops the reply until `resume`; what was not heard of it is kept."""

    @abstractmethod
    def resume(self) -> None:
        """Goes on where `pause` stopped. No-op if it did not."""

    @abstractmethod
    def play_background(self, sound: Sound | None) -> None:
        """Plays a sound in a loop whenever no speech is played, until the next speech begins; None: stops it.

        It does not count as heard, and no speech waits for it. What was already written of it still sounds on a
        transport that takes audio in real time: at most the lead.
        """

    @abstractmethod
    def fail(self, error: Exception | SystemExit) -> None:
        """Takes what was raised while something was written: nothing more is, and the call ends."""

    @abstractmethod
    def _start(self) -> None:
        """Begins to write, if there is anything to write and nothing else will see to it."""

    # --- A transport that takes nothing ------------------------------------------------------------------------------

    @property
    def _sounds_until(self) -> float:
        """When all that the line has taken has sounded: it has a reason to take nothing until then."""
        return 0.0

    @property
    def _has_unwritten(self) -> bool:
        """Whether there is anything of the reply that the transport has not taken."""
        return self._buffered > 0

    def _refused(self) -> None:
        """Takes notice that the transport takes nothing: a task waits until it does again."""
        if not self._waiting:
            self._waiting, self._patience = True, trio.CancelScope()
            self._be_patient()
            self._tasks.start_soon(self._wait_writable)

    def _be_patient(self) -> None:
        """Begins to count how long what is to be written next has been refused."""
        self._waits_since = trio.current_time()
        self._patience.deadline = self._stuck_at

    @property
    def _stuck_at(self) -> float:
        return max(self._waits_since, self._sounds_until) + CONFIRM_S

    async def _wait_writable(self) -> None:
        """Waits until the transport takes audio again, and gives up the reply that has waited for that too long."""
        while True:
            with self._patience:
                await self._transport.wait_writable()
            if not self._patience.cancelled_caught:
                break
            stuck_at = self._stuck_at  # reports of marks may have moved it
            is_over = trio.current_time() >= stuck_at
            self._patience = trio.CancelScope(deadline=inf if is_over else stuck_at)
            if is_over and self._has_unwritten and not self._paused:
                self._give_up()
        self._waiting = False
        self._go_on()

    @abstractmethod
    def _go_on(self) -> None:
        """Writes again after the transport took nothing for a time."""

    def _give_up(self) -> None:
        """Ends the present reply, since the line takes nothing of it: nobody hears the rest."""
        self._is_stuck = True
        self._forget_rest()
        if self._sound is not None:
            self._sound.give_up()
        self._end()

    # --- The queue ---------------------------------------------------------------------------------------------------

    def _take(self, size: int) -> bytes | None:
        """Takes audio from the queue, filled up with silence at the end of the reply; None: there is less."""
        if self._buffered < size and not (self._finished and self._buffered):
            return None
        head = self._chunks[0]
        if len(head) - self._offset >= size:
            audio = head[self._offset : self._offset + size]
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
            audio = b"".join(pieces) + self._format.silence * (size // self._format.sample_bytes)
        self._next_chunk_if_spent()
        if self._buffered < self._high_water / 2:
            self._make_room()
        return audio

    def _next_chunk_if_spent(self) -> None:
        if self._chunks and self._offset == len(self._chunks[0]):
            self._chunks.popleft()
            self._offset = 0

    def _make_room(self) -> None:
        if self._room is not None:
            self._room.set()
            self._room = None

    def _end(self) -> None:
        self._make_room()
        if self._played is not None:
            self._played.set()
