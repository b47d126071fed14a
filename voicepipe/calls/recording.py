"""Recording: both sides of a call as a stereo WAV file, the caller left, the agent right, each where it was heard.

A `RecordedTransport` stands between the call and its transport. What passes is added to two tracks, which keep time by
the clock of the call: the transport delivers nothing in a silence, and the agent's frames come ahead of time. Every
`SAVE_S` the two are cut at the same place, joined and written in a thread. Audio younger than `SETTLED_S` is left for
the next time, since the other side's audio of the same moment may still come.

Writing never holds a call up. A disk that takes nothing costs memory, up to `MOST_HELD_S` of audio, and then the
recording; the end of a call waits `FINISH_S` at most. Pieces are written in the order in which they were cut, whichever
thread runs first (`_queue`), and the file's header is right after each piece.
"""

from __future__ import annotations

import re
from collections import deque
from datetime import UTC, datetime
from functools import partial
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
"""How often audio is written to the file, in s."""

SETTLED_S = 0.25
"""The age from which on audio is written, in s: the other side of a younger moment may still come."""

GAP_S = 0.06
"""How far a track may be behind the clock before the time between is filled with silence, in s."""

MOST_HELD_S = 60.0
"""How much audio may wait for a disk that takes nothing, in s; with more, the recording ends."""

FINISH_S = 2.0
"""How long the end of a call may wait for the end of its recording, in s."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def recording_path(directory: str, call_id: str) -> Path:
    """Gives the path of the recording of a call that begins now: `20261123T101500Z-<call id>.wav`."""
    return Path(directory) / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{_UNSAFE.sub('_', call_id)[:100]}.wav"


class _Track:
    """One side of a call: 16-bit samples, with silence where nothing came."""

    def __init__(self, audio: AudioFormat) -> None:
        self._rate = audio.rate
        self._converter = open_converter(audio, AudioFormat(audio.rate), live=True)
        self.taken = 0
        """How many samples were taken for the file."""
        self._samples = bytearray()
        self._dropped = False

    def add(self, audio: bytes | memoryview, at_s: float) -> None:
        """Adds audio that came `at_s` after the call began."""
        if self._dropped:
            return
        behind = int(at_s * self._rate) - self.length
        if behind > GAP_S * self._rate:
            self._samples += bytes(2 * behind)
        self._samples += audio if self._converter is None else self._converter.convert(bytes(audio))

    def take_format(self, audio: AudioFormat, rate: int) -> None:
        """Takes audio in another format from now on, and keeps it, with what is there already, at `rate` Hz."""
        kept = open_converter(AudioFormat(self._rate), AudioFormat(rate), live=False)
        if kept is not None:
            self._samples = bytearray(kept.convert(bytes(self._samples)) + kept.finish())
        self._rate, self._converter = rate, open_converter(audio, AudioFormat(rate), live=True)

    @property
    def length(self) -> int:
        """How many samples there were so far."""
        return self.taken + len(self._samples) // 2

    def drop(self) -> None:
        """Forgets all audio, and takes no more."""
        self._dropped, self._samples = True, bytearray()

    def take(self, samples: int) -> bytes:
        """Takes the next samples, filled up with silence if there are fewer."""
        taken = bytes(self._samples[: 2 * samples])
        del self._samples[: 2 * samples]
        self.taken += samples
        return taken + bytes(2 * samples - len(taken))


class RecordedTransport:
    """A transport that passes everything on to another one, and records it.

    Args:
        transport: the transport to record.
        path: the file; its directory is made if there is none.
        readable_by: the accounts that may read the file.

    """

    def __init__(self, transport: Transport, path: Path, readable_by: Readers = "owner") -> None:
        self._transport, self.path = transport, path
        self.info: CallInfo = transport.info
        """The transport's."""
        self.audio: AudioFormat = transport.audio
        """The transport's format; replaced by `take_format`."""
        self.pacing: Literal["ours", "theirs"] = transport.pacing
        """The transport's."""
        self.can: frozenset[Capability] = transport.can
        """The transport's."""
        self._began = trio.current_time()
        self._caller, self._agent = _Track(self.audio), _Track(self.audio)
        self._rate = self.audio.rate  # of what is recorded
        self._file = StereoFile(path, self._rate, readable_by)
        self._queue: deque[Callable[[], None]] = deque()  # what a thread has still to do with the file
        self._file_lock = Lock()
        self._on_failure: Callable[[str], None] = lambda _reason: None
        self._over = self._ending = False

    async def run(self, sink: CallSink) -> None:
        """Runs the transport, and records what it delivers to the sink."""
        await self._transport.run(_Tee(sink, self))

    def write(self, audio: bytes | memoryview) -> bool:
        """Writes to the transport, and records what it takes."""
        taken = self._transport.write(audio)
        if taken:
            self._agent.add(audio, trio.current_time() - self._began)
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
        self._caller.add(audio, trio.current_time() - self._began)
        if self._caller.length - self._caller.taken > MOST_HELD_S * self._rate:
            self._fail(f"the disk has taken nothing for {MOST_HELD_S:g} s")

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
            await self._do(self._write, trio.current_time() - self._began - SETTLED_S)

    async def finish(self) -> None:
        """Writes the rest and closes the file; takes `FINISH_S` at most, also if it is cancelled."""
        self._ending = True
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
            # Threads may begin in another order than they were started, and the end of a call does not wait for one
            # that writes. So each runs whatever is first in the queue.
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


class _Tee:
    """A sink that records what it passes on to the call's sink."""

    def __init__(self, sink: CallSink, recorded: RecordedTransport) -> None:
        self._sink, self._recorded = sink, recorded
        self.dtmf, self.heard, self.hung_up = sink.dtmf, sink.heard, sink.hung_up

    def format_changed(self, audio: AudioFormat) -> None:
        self._recorded.take_format(audio)
        self._sink.format_changed(audio)

    def audio(self, audio: bytes | memoryview) -> None:
        self._recorded.add_caller_audio(audio)
        self._sink.audio(audio)
