"""Recording: both sides of a call as a stereo WAV file, the caller left, the agent right, each where it was heard."""

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
"""How often what was heard goes to the file, in s."""

SETTLED_S = 0.25
"""Audio younger than this may still get something beside it, in s."""

GAP_S = 0.06
"""How far audio may come behind the clock before the time between is taken for silence, in s."""

MOST_HELD_S = 60.0
"""How much audio may wait for a disk that takes nothing, in s; then the recording ends there."""

FINISH_S = 2.0
"""How long the end of a recording may take, in s."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def recording_path(directory: str, call_id: str) -> Path:
    """Where a call that begins now is recorded: `20261123T101500Z-<call id>.wav`."""
    return Path(directory) / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{_UNSAFE.sub('_', call_id)[:100]}.wav"


class _Track:
    """One side: 16-bit samples, with silence where nothing came."""

    def __init__(self, audio: AudioFormat) -> None:
        self._rate = audio.rate
        self._converter = open_converter(audio, AudioFormat(audio.rate), live=True)
        self.taken = 0
        """Samples that went to the file."""
        self._samples = bytearray()
        self._dropped = False

    def add(self, audio: bytes | memoryview, at_s: float) -> None:
        if self._dropped:
            return
        behind = int(at_s * self._rate) - self.length
        if behind > GAP_S * self._rate:
            self._samples += bytes(2 * behind)
        self._samples += audio if self._converter is None else self._converter.convert(bytes(audio))

    def take_format(self, audio: AudioFormat, rate: int) -> None:
        """Gets audio in another format from now on; what is kept of either is kept at `rate` Hz."""
        kept = open_converter(AudioFormat(self._rate), AudioFormat(rate), live=False)
        if kept is not None:
            self._samples = bytearray(kept.convert(bytes(self._samples)) + kept.finish())
        self._rate, self._converter = rate, open_converter(audio, AudioFormat(rate), live=True)

    @property
    def length(self) -> int:
        """Samples so far."""
        return self.taken + len(self._samples) // 2

    def drop(self) -> None:
        """Forgets everything, and takes nothing any more."""
        self._dropped, self._samples = True, bytearray()

    def take(self, samples: int) -> bytes:
        """The next samples, silence if there are not so many."""
        taken = bytes(self._samples[: 2 * samples])
        del self._samples[: 2 * samples]
        self.taken += samples
        return taken + bytes(2 * samples - len(taken))


class RecordedTransport:
    """A transport that is recorded as it is used.

    Args:
        transport: what brings the call's audio.
        path: the file; its directory is made if it is not there.
        readable_by: who may read it.

    """

    def __init__(self, transport: Transport, path: Path, readable_by: Readers = "owner") -> None:
        self._transport, self.path = transport, path
        self.info: CallInfo = transport.info
        """As the transport's."""
        self.audio: AudioFormat = transport.audio
        """As the transport's."""
        self.pacing: Literal["ours", "theirs"] = transport.pacing
        """As the transport's."""
        self.can: frozenset[Capability] = transport.can
        """As the transport's."""
        self._began = trio.current_time()
        self._caller, self._agent = _Track(self.audio), _Track(self.audio)
        self._rate = self.audio.rate  # of what is recorded
        self._file = StereoFile(path, self._rate, readable_by)
        self._asked: deque[Callable[[], None]] = deque()
        self._at_the_file = Lock()
        self._on_failure: Callable[[str], None] = lambda _reason: None
        self._over = self._ending = False

    async def run(self, sink: CallSink) -> None:
        """As the transport's."""
        await self._transport.run(_Tee(sink, self))

    def write(self, audio: bytes | memoryview) -> bool:
        """As the transport's."""
        taken = self._transport.write(audio)
        if taken:
            self._agent.add(audio, trio.current_time() - self._began)
        return taken

    async def wait_writable(self) -> None:
        """As the transport's."""
        await self._transport.wait_writable()

    def clear(self) -> None:
        """As the transport's."""
        self._transport.clear()

    def mark(self, mark: int) -> None:
        """As the transport's."""
        self._transport.mark(mark)

    async def transfer(self, target: str) -> None:
        """As the transport's."""
        await self._transport.transfer(target)

    async def send_dtmf(self, digits: str) -> None:
        """As the transport's."""
        await self._transport.send_dtmf(digits)

    async def hang_up(self) -> None:
        """As the transport's."""
        await self._transport.hang_up()

    def take_format(self, audio: AudioFormat) -> None:
        """Takes notice of the format that the call turns out to have.

        It is recorded so if nothing is in the file yet; else what comes is converted to what the file has.
        """
        self.audio = audio
        if not self._caller.taken:
            self._rate = self._file.rate = audio.rate
        self._caller.take_format(audio, self._rate)
        self._agent.take_format(audio, self._rate)

    def hear(self, audio: bytes | memoryview) -> None:
        """Takes the caller's next audio."""
        self._caller.add(audio, trio.current_time() - self._began)
        if self._caller.length - self._caller.taken > MOST_HELD_S * self._rate:
            self._fail(f"the disk has taken nothing for {MOST_HELD_S:g} s")

    async def save(self, on_failure: Callable[[str], None]) -> None:
        """Makes the file at once, and writes to it every few seconds; the file is whole each time.

        Args:
            on_failure: told once why no more is recorded; the call goes on, and nothing is kept in memory for it.

        """
        self._on_failure = on_failure
        await self._do(self._write, 0)
        while True:
            await trio.sleep(SAVE_S)
            if self._over or self._ending:
                return
            await self._do(self._write, trio.current_time() - self._began - SETTLED_S)

    async def finish(self) -> None:
        """Writes the rest and closes the file; takes `FINISH_S` at most, though it is cancelled."""
        self._ending = True
        with trio.CancelScope(shield=True, deadline=trio.current_time() + FINISH_S) as limit:
            await self._do(self._write, trio.current_time() - self._began)
            await self._do(self._file.close)
        if limit.cancelled_caught:
            self._fail(f"the end of it took over {FINISH_S:g} s")
        self._over = True

    async def _do(self, function: Callable[..., None], until_s: float | None = None) -> None:
        """Runs something that touches the file in a thread."""
        if self._over:
            return
        arguments: tuple[object, ...] = ()
        if until_s is not None:
            samples = max(0, int(until_s * self._rate) - self._caller.taken)
            arguments = (self._caller.take(samples), self._agent.take(samples))
        try:
            # In the order in which it was asked for, also if the thread of what was asked for first begins last: the
            # end of a call does not wait for a thread that writes.
            self._asked.append(partial(function, *arguments))
            await trio.to_thread.run_sync(self._do_what_is_asked, abandon_on_cancel=True)
        except (OSError, ValueError) as error:  # ValueError: a path that no system takes
            self._fail(str(error))

    def _do_what_is_asked(self) -> None:
        """Runs in a thread."""
        with self._at_the_file:
            while self._asked:
                self._asked.popleft()()

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
    """A sink that lets the recording hear what the call hears."""

    def __init__(self, sink: CallSink, recorded: RecordedTransport) -> None:
        self._sink, self._recorded = sink, recorded
        self.dtmf, self.heard, self.hung_up = sink.dtmf, sink.heard, sink.hung_up

    def format_changed(self, audio: AudioFormat) -> None:
        self._recorded.take_format(audio)
        self._sink.format_changed(audio)

    def audio(self, audio: bytes | memoryview) -> None:
        self._recorded.hear(audio)
        self._sink.audio(audio)
