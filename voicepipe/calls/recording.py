"""Recording: both sides of a call as a stereo WAV file, the caller left, the agent right, each where it was heard.

Two tracks
    A `RecordedTransport` stands between the call and its transport, and adds what passes to two tracks. Neither side
    can simply be appended: transports deliver nothing during silence, and the agent's frames are written ahead of time.
    So each track keeps time by the call's clock. Audio that comes more than `GAP_S` after the end of its track is put
    where it was heard, with silence before it. Less is jitter, and audio that comes early queues up behind.

    Where the transport buffers, the agent's audio is written up to some seconds ahead of time, and may be cleared
    again. So it is not recorded as it passes: playout adds it when it has been heard (`add_agent_audio`).

Three buffers
    1. A track holds the samples that came since the last save.
    2. Every `SAVE_S` the two tracks are cut at the same place, `SETTLED_S` before now: the other side's audio of a
       younger moment may still come. The track that is shorter is filled up with silence.
       With `mute_keys` it is `MUTED_BEFORE_S`, and what is around a key is made silent before it is written.
    3. The two pieces wait in `_queue` for a thread, which interleaves and writes them.

    The file's header is written after each piece, so the file is complete after each save, and a process that dies
    loses little more than `SAVE_S`.

Threads
    Writing never holds a call up: it runs in threads, and no lock is held on the loop. Trio starts threads in any
    order, and the end of a call does not wait for a thread that hangs. So a thread does not bring a piece of its own:
    it takes the lock, and writes whatever is first in the queue. Pieces are in order even if the first thread is the
    last to run. `StereoFile` has a lock too, since an abandoned thread may still write when the file is closed.

A recording that begins later
    With `recording.consent` nothing is recorded before the caller was told of it or has said yes: no audio is kept, and
    no file is made. The tracks keep the call's time all the same, so the file begins with silence of that length, and
    what is said at some second of the call is at that second of the file.

A recording that pauses
    From `pause` to `resume` both tracks get silence in place of what comes, at once: of what is said meanwhile no
    sample is kept, in memory or on disk. The agent's audio that was written ahead of time is silenced too.

When the disk is slow or full
    Audio waits in memory, up to `MOST_HELD_S`. With more, or after an error, the recording ends: `_fail` drops the
    tracks, reports the reason once, and ignores all further audio; the call goes on. The end of a call waits `FINISH_S`
    at most, shielded, since a recording that is cut off by a shutdown would lose the goodbye.

The format
    A transport may learn its format from the first audio. Until something is written, the file takes the new rate, and
    samples that are there are converted; later audio is converted to the rate of the file.
"""

from __future__ import annotations

import re
from collections import deque
from datetime import UTC, datetime
from functools import partial
from math import inf
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Literal

import trio

from voicepipe.audio import AudioFormat, open_converter
from voicepipe.calls.recording_file import StereoFile

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.calls.recording_file import Readers
    from voicepipe.components.requests import CallInfo
    from voicepipe.transports.protocol import CallSink, Capability, Transport

SAVE_S = 5.0
"""The interval at which audio is written to the file, in s."""

SETTLED_S = 0.25
"""The age from which on audio is written, in s: the other side of a younger moment may still come."""

GAP_S = 0.06
"""The time by which a track may lag behind the clock, in s; more is filled with silence."""

MOST_HELD_S = 60.0
"""The most audio that waits for a disk that takes nothing, in s; with more, the recording ends."""

MUTED_BEFORE_S = 2.0
"""How long before a key the recording is silent, with `mute_keys`, in s. A transport may report a key when its tone has
ended, so audio is not written before it is that old."""

MUTED_AFTER_S = 2.0
"""How long after a key the recording is silent, in s."""

FINISH_S = 2.0
"""The time for which the end of a call waits for the end of its recording, in s."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def recording_path(directory: str, call_id: str) -> Path:
    """Returns the path of the recording of a call that begins now: `20261123T101500Z-<call id>.wav`."""
    return Path(directory) / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{_UNSAFE.sub('_', call_id)[:100]}.wav"


class _Track:
    """One side of a call: 16-bit samples, with silence where nothing came."""

    def __init__(self, audio: AudioFormat) -> None:
        self._rate = audio.rate
        self._converter = open_converter(audio, AudioFormat(audio.rate), live=True)
        self.taken = 0
        """The number of samples that were taken for the file."""
        self._samples = bytearray()
        self._dropped = False
        self._silences: list[tuple[float, float]] = []  # from and until, in s since the call began, in order

    def add(self, audio: bytes | memoryview, at_s: float) -> None:
        """Adds audio that came `at_s` after the call began."""
        if self._dropped:
            return
        behind = int(at_s * self._rate) - self.length
        if behind > GAP_S * self._rate:
            self._samples += bytes(2 * behind)
        begin = len(self._samples)
        self._samples += audio if self._converter is None else self._converter.convert(bytes(audio))
        if self._silences:
            self._silence(begin)

    def mute(self, from_s: float, until_s: float) -> None:
        """Makes the track silent between two times of the call, in audio that is there and in audio that will come."""
        self._silences.append((from_s, until_s))
        self._silence(0)

    def unmute(self, at_s: float) -> None:
        """Lets what comes after a time of the call be heard, where `mute` was to last for ever."""
        self._silences = [(from_s, at_s if until_s == inf else until_s) for from_s, until_s in self._silences]

    def _silence(self, begin: int) -> None:
        """Makes what is to be silent so, from an index of `_samples` on."""
        for from_s, until_s in self._silences:
            first, last = max(self._index(from_s), begin), self._index(until_s)
            if first < last:
                self._samples[first:last] = bytes(last - first)

    def _index(self, at_s: float) -> int:
        """Returns the index in `_samples` of a time of the call, at most their end."""
        return (
            len(self._samples) if at_s == inf else min(2 * (round(at_s * self._rate) - self.taken), len(self._samples))
        )

    def take_format(self, audio: AudioFormat, rate: int) -> None:
        """Takes audio in another format from now on; the track, with the samples that it has, gets `rate` Hz."""
        converter = open_converter(AudioFormat(self._rate), AudioFormat(rate), live=False)
        if converter is not None:
            self._samples = bytearray(converter.convert(bytes(self._samples)) + converter.finish())
        self._rate, self._converter = rate, open_converter(audio, AudioFormat(rate), live=True)

    @property
    def length(self) -> int:
        """The number of samples so far, taken or not."""
        return self.taken + len(self._samples) // 2

    def drop(self) -> None:
        """Drops all audio, and takes no more."""
        self._dropped, self._samples = True, bytearray()

    def take(self, samples: int) -> bytes:
        """Takes the next samples, filled up with silence if there are fewer."""
        taken = bytes(self._samples[: 2 * samples])
        del self._samples[: 2 * samples]
        self.taken += samples
        if self._silences:
            self._silences = [span for span in self._silences if span[1] * self._rate > self.taken]
        return taken + bytes(2 * samples - len(taken))


class RecordedTransport:
    """A transport that passes everything on to another one, and records it.

    Args:
        transport: the transport to record.
        path: the file; its directory is made if there is none.
        readable_by: the accounts that may read the file.
        waits: whether nothing is recorded before `begin`.
        mute_keys: whether the recording is silent while the caller presses keys.

    """

    def __init__(
        self,
        transport: Transport,
        path: Path,
        readable_by: Readers = "owner",
        *,
        waits: bool = False,
        mute_keys: bool = False,
    ) -> None:
        self._transport, self.path = transport, path
        self.info: CallInfo = transport.info
        """The numbers and the ID, as the transport gives them."""
        self.audio: AudioFormat = transport.audio
        """The transport's format; replaced by `take_format`."""
        self.pacing: Literal["ours", "theirs"] = transport.pacing
        """The transport's pacing."""
        self.can: frozenset[Capability] = transport.can
        """The transport's abilities."""
        self._began = trio.current_time()
        self._caller, self._agent = _Track(self.audio), _Track(self.audio)
        self._rate = self.audio.rate  # of what is recorded
        self._file = StereoFile(path, self._rate, readable_by)
        self._queue: deque[Callable[[], None]] = deque()  # operations on the file that a thread has yet to run
        self._file_lock = Lock()
        self._on_failure: Callable[[str], None] = lambda _reason: None
        self._mute_keys = mute_keys
        self._settled_s = MUTED_BEFORE_S if mute_keys else SETTLED_S
        self._recorded_from = inf if waits else 0.0  # in s since the call began
        self._over = self._ending = self._paused = False

    @property
    def is_kept(self) -> bool:
        """Whether audio is recorded, be it silent; False before `begin`, after a failure and after the end."""
        return self._recorded_from < inf and not (self._over or self._ending)

    def pause(self) -> None:
        """Records silence on both sides from now on; no-op if it does so already."""
        if not self._paused:
            self._paused = True
            for track in (self._caller, self._agent):
                track.mute(trio.current_time() - self._began, inf)

    def resume(self) -> None:
        """Records what is heard from now on; no-op if it does so already."""
        if self._paused:
            self._paused = False
            for track in (self._caller, self._agent):
                track.unmute(trio.current_time() - self._began)

    def begin(self) -> None:
        """Records from now on; there is silence before. `save` is to be run from now on, too."""
        self._recorded_from = trio.current_time() - self._began

    async def run(self, sink: CallSink) -> None:
        """Runs the transport, and records what it delivers to the sink."""
        await self._transport.run(_RecordingSink(sink, self))

    def write(self, audio: bytes | memoryview) -> bool:
        """Writes to the transport, and records what it takes, unless it buffers: see `add_agent_audio`."""
        taken = self._transport.write(audio)
        if taken and self.pacing == "ours":
            self._add(self._agent, audio, trio.current_time())
        return taken

    async def wait_writable(self) -> None:
        """Passes on to the transport."""
        await self._transport.wait_writable()

    def clear(self) -> None:
        """Passes on to the transport."""
        self._transport.clear()

    def mark(self, mark: int) -> None:
        """Passes on to the transport."""
        self._transport.mark(mark)

    async def transfer(self, target: str) -> None:
        """Passes on to the transport."""
        await self._transport.transfer(target)

    async def send_dtmf(self, digits: str) -> None:
        """Passes on to the transport."""
        await self._transport.send_dtmf(digits)

    async def hang_up(self) -> None:
        """Passes on to the transport."""
        await self._transport.hang_up()

    def take_format(self, audio: AudioFormat) -> None:
        """Takes another format of the call's audio from now on.

        The file gets the new rate if nothing is written yet; otherwise audio is converted to the rate of the file.
        """
        self.audio = audio
        if not self._caller.taken:
            self._rate = self._file.rate = audio.rate
        self._caller.take_format(audio, self._rate)
        self._agent.take_format(audio, self._rate)

    def add_caller_audio(self, audio: bytes | memoryview) -> None:
        """Records the caller's next audio."""
        self._add(self._caller, audio, trio.current_time())
        if self._caller.length - self._caller.taken > MOST_HELD_S * self._rate:
            self._fail(f"the disk has taken nothing for {MOST_HELD_S:g} s")

    def key_pressed(self) -> None:
        """Notes that the caller has pressed a key."""
        if self._mute_keys:
            at_s = trio.current_time() - self._began
            for track in (self._caller, self._agent):
                track.mute(at_s - MUTED_BEFORE_S, at_s + MUTED_AFTER_S)

    def add_agent_audio(self, at: float, audio: bytes) -> None:
        """Records audio of the agent's that the caller has heard from `at` on, a time on trio's clock."""
        self._add(self._agent, audio, at)

    def _add(self, track: _Track, audio: bytes | memoryview, at: float) -> None:
        """Adds audio of a time on trio's clock, unless it is of before the recording began."""
        at_s = at - self._began
        if at_s >= self._recorded_from:
            track.add(audio, at_s)

    async def save(self, on_failure: Callable[[str], None]) -> None:
        """Makes the file at once, and writes to it every `SAVE_S` until the end; the file is complete each time.

        Args:
            on_failure: called once with the reason if no more is recorded. The call goes on, and its audio is not kept
                in memory any more.

        """
        self._on_failure = on_failure
        await self._do(self._write, 0)
        while True:
            await trio.sleep(SAVE_S)
            if self._over or self._ending:
                return
            await self._do(self._write, trio.current_time() - self._began - self._settled_s)

    async def finish(self) -> None:
        """Writes the rest and closes the file; takes `FINISH_S` at most, also if it is cancelled.

        A recording that has not begun makes no file.
        """
        self._ending = True
        if self._recorded_from == inf:
            self._over = True
            return
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FINISH_S) as limit:
            await self._do(self._write, trio.current_time() - self._began)
            await self._do(self._file.close)
        if limit.cancelled_caught:
            self._fail(f"the end of it took over {FINISH_S:g} s")
        self._over = True

    async def _do(self, function: Callable[..., None], until_s: float | None = None) -> None:
        """Runs a function that touches the file in a thread, with the audio up to `until_s` if that is given."""
        if self._over:
            return
        arguments: tuple[object, ...] = ()
        if until_s is not None:
            samples = max(0, int(until_s * self._rate) - self._caller.taken)
            arguments = (self._caller.take(samples), self._agent.take(samples))
        try:
            self._queue.append(partial(function, *arguments))
            await trio.to_thread.run_sync(self._run_queue, abandon_on_cancel=True)
        except (OSError, ValueError) as error:  # ValueError: a path that no system takes
            self._fail(str(error))

    def _run_queue(self) -> None:
        """Runs everything that is queued, in order; called in a thread."""
        with self._file_lock:
            while self._queue:
                self._queue.popleft()()

    def _fail(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._caller.drop()
            self._agent.drop()
            self._on_failure(reason)

    def _write(self, caller: bytes, agent: bytes) -> None:
        import numpy as np  # noqa: PLC0415 - 0.1 s of imports, for those who record

        both = np.empty((len(caller) // 2, 2), "<i2")
        both[:, 0], both[:, 1] = np.frombuffer(caller, "<i2"), np.frombuffer(agent, "<i2")
        self._file.append(both.tobytes())


class _RecordingSink:
    """A sink that records what it passes on to the call's sink."""

    def __init__(self, sink: CallSink, recorded: RecordedTransport) -> None:
        self._sink, self._recorded = sink, recorded
        self.heard, self.hung_up = sink.heard, sink.hung_up

    def format_changed(self, audio: AudioFormat) -> None:
        self._recorded.take_format(audio)
        self._sink.format_changed(audio)

    def dtmf(self, digit: str) -> None:
        self._recorded.key_pressed()
        self._sink.dtmf(digit)

    def audio(self, audio: bytes | memoryview) -> None:
        self._recorded.add_caller_audio(audio)
        self._sink.audio(audio)
