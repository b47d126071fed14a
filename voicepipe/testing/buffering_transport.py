"""A transport in memory with a far end that buffers and plays in real time, as Asterisk and carriers do."""

from __future__ import annotations

from collections import deque
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING

import trio

from voicepipe.testing.transport import MemoryTransport

if TYPE_CHECKING:
    from collections.abc import Callable

    from voicepipe.audio import AudioFormat
    from voicepipe.components.requests import CallInfo
    from voicepipe.transports.protocol import CallSink, Capability


def _at_once(_mark: int) -> float:
    return 0.0


class BufferingTransport(MemoryTransport):
    """A call in memory whose far end takes audio at any speed, and plays it in real time.

    `clear` drops what has not sounded, and its marks. A mark is reported when everything before it has sounded.

    Args:
        audio: the format of the call; by default linear at 8 kHz.
        info: the called and calling numbers.
        can: the optional abilities; without `mark`, nothing is reported.
        delay_ms: the time from the arrival of audio to its sound, in ms, if nothing else is left to play.
        network_ms: the time that everything takes to the far end, and that a report takes back, in ms.
        report: called with each mark; returns by how much its report is late, in s (less than 0: early, but not before
            the mark was requested); None: it is lost.
        room_ms: the audio that fits into the buffer, in ms; with more, `write` takes nothing until half of it is left.

    """

    pacing = "theirs"

    def __init__(
        self,
        audio: AudioFormat | None = None,
        info: CallInfo | None = None,
        can: frozenset[Capability] = frozenset({"clear", "mark", "transfer"}),
        *,
        delay_ms: float = 0.0,
        network_ms: float = 0.0,
        report: Callable[[int], float | None] = _at_once,
        room_ms: float = inf,
    ) -> None:
        super().__init__(audio, info, can)
        self.sounds: list[tuple[float, bytes]] = []
        """The audio that sounds or has sounded, each piece with the time at which it begins to, on trio's clock."""
        self.marks: list[int] = []
        """All marks that were requested, in order."""
        self.cleared: list[float] = []
        """The times of `clear`."""
        self._delay_s, self._network_s = delay_ms / 1000, network_ms / 1000
        self._report, self._room_ms = report, room_ms
        self._over_at = 0.0  # everything has sounded by then
        self._reports: list[tuple[float, float, int]] = []  # when each is due, when its audio ends, the mark
        self._changed = trio.lowlevel.ParkingLot()
        self._ended_at = inf

    async def run(self, sink: CallSink) -> None:
        """Delivers what the test sends, and reports marks, until either side hangs up."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report_marks)
            await super().run(sink)
            nursery.cancel_scope.cancel()

    def write(self, audio: bytes | memoryview) -> bool:
        """Takes audio, which sounds after what is there already; False while `blocked`, or if the buffer is full."""
        now = trio.current_time() + self._network_s
        if not self.blocked and (self._over_at - now) * 1000 > self._room_ms:
            self.block()
            self._changed.unpark_all()
        if not super().write(audio):
            return False
        begins_at = self._over_at if self._over_at > now else now + self._delay_s
        self.sounds.append((begins_at, bytes(audio)))
        self._over_at = begins_at + self.audio.ms_in(len(audio)) / 1000
        return True

    def clear(self) -> None:
        """Drops the audio that has not sounded yet, and the marks in it."""
        self.cleared.append(trio.current_time())
        now = trio.current_time() + self._network_s
        while self.sounds:
            begins_at, audio = self.sounds[-1]
            size = self.audio.bytes_in(max(0.0, (now - begins_at) * 1000))
            if size >= len(audio):
                break
            self.sounds.pop()
            if size:
                self.sounds.append((begins_at, audio[:size]))
                break
        self._over_at = min(self._over_at, now)
        self._reports = [entry for entry in self._reports if entry[1] <= now]
        heapify(self._reports)
        self._changed.unpark_all()

    def mark(self, mark: int) -> None:
        """Reports the mark when everything that was written has sounded, and as late as `report` says."""
        self.marks.append(mark)
        if (late_s := self._report(mark)) is not None:
            now = trio.current_time()
            heard_at = max(self._over_at, now + self._network_s)
            heappush(self._reports, (max(heard_at + self._network_s + late_s, now), heard_at, mark))
            self._changed.unpark_all()

    def _end(self) -> None:
        self._ended_at = min(self._ended_at, trio.current_time())  # what has not sounded is lost
        super()._end()

    # --- The test's side -----------------------------------------------------------------------------------------

    @property
    def heard(self) -> bytes:
        """The audio that has sounded so far, up to the end of the call, without the silence between."""
        return self.heard_by(trio.current_time())

    def heard_by(self, when: float) -> bytes:
        """Returns the audio that has sounded by a moment on trio's clock, or will have if nothing is cleared."""
        until, heard = min(when, self._ended_at), deque[bytes]()
        for begins_at, audio in self.sounds:
            if begins_at < until:
                heard.append(audio[: self.audio.bytes_in((until - begins_at) * 1000 + 1e-6)])
        return b"".join(heard)

    async def _report_marks(self) -> None:
        while True:
            now = trio.current_time()
            while self._reports and self._reports[0][0] <= now:
                mark = heappop(self._reports)[2]
                if self._sink is not None and "mark" in self.can:
                    self._sink.heard(mark)
            free_at = inf
            if self.blocked and self._room_ms < inf:
                free_at = self._over_at - self._room_ms / 2000
                if free_at <= now:
                    self.unblock()
                    free_at = inf
            with trio.move_on_at(min(self._reports[0][0] if self._reports else inf, free_at)):
                await self._changed.park()
