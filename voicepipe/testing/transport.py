"""A transport in memory, and a caller who speaks over it, for tests on trio's virtual clock."""

from __future__ import annotations

import math
from array import array
from functools import cache
from typing import TYPE_CHECKING, Literal

import trio

from voicepipe.audio import FRAME_MS, AudioFormat, from_pcm16
from voicepipe.components.requests import CallInfo

if TYPE_CHECKING:
    from voicepipe.transports.protocol import CallSink, Capability


class MemoryTransport:
    """A call without a telephone: the test is the caller.

    Args:
        audio: the call's format.
        info: who rings whom.
        can: what the transport claims to be able to do.

    """

    pacing: Literal["ours", "theirs"] = "ours"

    def __init__(
        self,
        audio: AudioFormat | None = None,
        info: CallInfo | None = None,
        can: frozenset[Capability] = frozenset({"transfer"}),
    ) -> None:
        self.audio = audio or AudioFormat(8000)
        """The call's format."""
        self.info = info or CallInfo(transport_id="test-call")
        """Who rings whom."""
        self.can = can
        """What it is able to do."""
        self.written: list[tuple[float, bytes]] = []
        """Every frame of the agent: when, on trio's clock, and its bytes."""
        self.transferred_to: str | None = None
        """Where `transfer` sent the caller."""
        self.pressed: list[str] = []
        """What `send_dtmf` was given."""
        self.ended = trio.Event()
        """The call is over, by whichever side."""
        self.blocked = False
        """True: takes nothing, like a socket whose buffer is full."""
        self._unblocked = trio.Event()
        self._sink: CallSink | None = None
        self._ready = trio.Event()

    async def run(self, sink: CallSink) -> None:
        """Delivers what the test sends, until either side hangs up."""
        self._sink = sink
        self._ready.set()
        try:
            await self.ended.wait()
        finally:
            self._sink = None

    def write(self, audio: bytes | memoryview) -> bool:
        """Takes one frame, unless `blocked`."""
        if self.blocked:
            return False
        self.written.append((trio.current_time(), bytes(audio)))
        return True

    async def wait_writable(self) -> None:
        """Returns after `unblock`."""
        await self._unblocked.wait()

    def block(self) -> None:
        """Takes nothing from now on."""
        if not self.blocked:
            self.blocked, self._unblocked = True, trio.Event()

    def unblock(self) -> None:
        """Takes frames again."""
        self.blocked = False
        self._unblocked.set()

    def clear(self) -> None:
        """Nothing is buffered here."""

    def mark(self, mark: int) -> None:
        """What was written was played."""
        if self._sink is not None:
            self._sink.heard(mark)

    async def transfer(self, target: str) -> None:
        """Notes the target and ends the call."""
        self.transferred_to = target
        self.ended.set()

    async def send_dtmf(self, digits: str) -> None:
        """Notes the keys."""
        await trio.lowlevel.checkpoint()
        self.pressed.append(digits)

    async def hang_up(self) -> None:
        """Ends the call."""
        self.ended.set()

    # --- The test's side -----------------------------------------------------------------------------------------

    @property
    def said(self) -> bytes:
        """All audio of the agent, without its gaps."""
        return b"".join(frame for _when, frame in self.written)

    async def turn_out_as(self, audio: AudioFormat) -> None:
        """The call has another format than was said: to be told before the caller's first audio."""
        await self._ready.wait()
        self.audio = audio
        if self._sink is not None:
            self._sink.format_changed(audio)

    async def send(self, audio: bytes) -> None:
        """Sends the caller's audio in frames of 20 ms, as time passes; returns when all of it is sent."""
        await self._ready.wait()
        size, due = self.audio.bytes_in(FRAME_MS), trio.current_time()
        for start in range(0, len(audio), size):
            due += FRAME_MS / 1000
            await trio.sleep_until(due)
            if self.ended.is_set() or self._sink is None:
                return
            self._sink.audio(audio[start : start + size])

    async def say(self, ms: int) -> None:
        """The caller speaks: a voice-like sound that voice activity detection takes for speech."""
        await self.send(from_pcm16(voice(self.audio.rate, ms), self.audio.encoding))

    async def be_silent(self, ms: int) -> None:
        """The caller sends silence."""
        await self.send(self.audio.silence * int(self.audio.rate * ms / 1000))

    async def press(self, digit: str) -> None:
        """The caller presses a key."""
        await self._ready.wait()
        if self._sink is not None:
            self._sink.dtmf(digit)

    async def hang_up_as_caller(self) -> None:
        """The caller hangs up."""
        await self._ready.wait()
        if self._sink is not None and not self.ended.is_set():
            self._sink.hung_up("the caller hung up")
            self.ended.set()


@cache
def voice(rate: int, ms: int) -> bytes:
    """A sound with a voice's pitch, formants and syllables: 16-bit linear, `ms` long, at `rate` Hz."""
    samples = array("h")
    for n in range(int(rate * ms / 1000)):
        t = n / rate
        pitch = 120 + 20 * math.sin(2 * math.pi * 3 * t)
        syllable = 0.6 + 0.4 * math.sin(2 * math.pi * 4 * t)
        tone = sum(
            math.sin(2 * math.pi * pitch * k * t) * (1.0 if 3 <= k <= 7 or 10 <= k <= 13 else 0.3)
            for k in range(1, 20)
            if pitch * k < rate / 2
        )
        samples.append(int(max(-1.0, min(1.0, tone / 6)) * syllable * 12000))
    return samples.tobytes()
