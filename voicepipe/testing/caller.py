"""A caller of the test kit, whatever the transport: says and hears what a person would, and records both sides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field

from voicepipe.audio import FRAME_MS, AudioFormat

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOOK_S: Final = 0.02


@define(eq=False)
class _Speech:
    """Audio that waits to be sent, frame by frame."""

    pcm: memoryview
    sent: trio.Event = field(factory=trio.Event)


@define(eq=False)
class _Key:
    """A key that waits to be pressed, or is held for `hold` more frames."""

    digit: str
    hold: int
    sent: trio.Event = field(factory=trio.Event)


class Caller(ABC):
    """A caller who is silent unless told to speak or to press a key, and records both sides.

    Args:
        audio: the format of what the caller says and hears: linear, at the call's rate.

    """

    def __init__(self, audio: AudioFormat) -> None:
        self.audio = audio
        self.muted = False
        """Whether no frames are sent while the caller is silent, as by a muted telephone."""
        self.hung_up = trio.Event()
        """Set when either side has ended the call."""
        self.how = ""
        """The end of the call: `caller`, or the way in which the agent's side ended it."""
        self.arrivals: list[tuple[float, int]] = []
        """Each of the agent's frames: its arrival in s since the call began, and its size in bytes. Silence that only
        keeps the line going between replies is left out."""
        self._frame = audio.bytes_in(FRAME_MS)
        self._began = trio.current_time()
        self._queue: deque[_Speech | _Key] = deque()
        self._said, self._heard = bytearray(), bytearray()
        self._mark = 0  # what was heard up to here is no answer

    @property
    def seconds(self) -> float:
        """The time since the call began, in s."""
        return trio.current_time() - self._began

    async def say(self, pcm: bytes) -> None:
        """Sends `pcm` (16-bit LE mono, in the call's rate) after all earlier speech and keys.

        Returns when it was sent, or the call is over.
        """
        if pcm:
            await self._queue_up(_Speech(memoryview(pcm + bytes(-len(pcm) % self._frame))))

    async def dtmf(self, digit: str, hold_ms: int = 100) -> None:
        """Presses a key for `hold_ms`, without audio meanwhile; like Asterisk, sends the digit at the release."""
        await self._queue_up(_Key(digit, hold_ms // FRAME_MS))

    async def _queue_up(self, item: _Speech | _Key) -> None:
        if self.hung_up.is_set():
            await trio.lowlevel.checkpoint()
            return
        self._queue.append(item)
        await item.sent.wait()
        self._mark = self._now()

    async def agent_spoke(self, *, quiet_ms: int = 800, threshold: int = 300) -> bytes:
        """Waits for the agent's next speech and `quiet_ms` of silence after it; returns the speech, exact to 20 ms.

        Next means after the caller last spoke, pressed a key, or waited here. `threshold` is the level (RMS over
        20 ms, of 32,768) that counts as speech. If the call ends, the speech until then, which may be empty.
        """
        quiet = self.audio.bytes_in(quiet_ms)
        while True:
            over, now = self.hung_up.is_set(), self._now()
            until = len(self._heard) if over else min(now, len(self._heard))
            loud = self._loud(self._mark, until, threshold)
            if over or (loud and now - loud[1] >= quiet):
                self._mark = now
                return bytes(self._heard[slice(*loud)]) if loud else b""
            await trio.sleep(_LOOK_S)

    def _loud(self, start: int, end: int, threshold: int) -> tuple[int, int] | None:
        """Returns the begin and the end of the speech between two positions in the audio heard."""
        frames = -(-(end - start) // self._frame)
        if frames <= 0:
            return None
        import numpy as np  # noqa: PLC0415 - 100 ms, for those who listen

        pcm = bytes(self._heard[start:end]).ljust(frames * self._frame, b"\0")
        samples = np.frombuffer(pcm, "<i2").astype(np.float32).reshape(frames, -1)
        levels = np.sqrt((samples**2).mean(axis=1))
        loud = np.flatnonzero(levels >= threshold)
        return (start + int(loud[0]) * self._frame, start + int(loud[-1] + 1) * self._frame) if loud.size else None

    def recording(self) -> tuple[bytes, bytes]:
        """The caller's and the agent's audio from the start of the call, equally long and on one clock.

        The agent's side is as the caller hears it: a burst is played in real time.
        """
        size = max(len(self._said), len(self._heard))
        return bytes(self._said).ljust(size, b"\0"), bytes(self._heard).ljust(size, b"\0")

    @abstractmethod
    async def hang_up(self) -> None:
        """Hangs up as the caller."""

    def _now(self) -> int:
        return self.audio.bytes_in(self.seconds * 1000)

    def _end(self, how: str) -> None:
        if not self.hung_up.is_set():
            self.how = how
            self.hung_up.set()
            for item in self._queue:
                item.sent.set()

    def _ticks(self) -> Iterator[float]:
        """The times of the caller's frames, every 20 ms on an absolute clock, until the call is over."""
        tick = 0
        while not self.hung_up.is_set():
            yield self._began + tick * FRAME_MS / 1000
            tick += 1

    def _next(self) -> tuple[bytes | memoryview | None, str]:
        """Returns the caller's audio of the next 20 ms, None for none, and the key that is released after it."""
        silence = bytes(self._frame)
        item = self._queue[0] if self._queue else None
        if isinstance(item, _Key):
            self._said += silence
            item.hold -= 1
            if item.hold > 0:
                return None, ""
            self._queue.popleft()
            item.sent.set()
            return None, item.digit
        audio: bytes | memoryview = silence
        if item is not None:
            audio, item.pcm = item.pcm[: self._frame], item.pcm[self._frame :]
            if not item.pcm:
                self._queue.popleft()
                item.sent.set()
        self._said += audio
        return (None if item is None and self.muted else audio), ""
