"""A transport in memory, with methods by which a test acts as the caller, for trio's virtual clock."""

from __future__ import annotations

import math
from array import array
from functools import cache
from typing import TYPE_CHECKING, Literal

import trio

from voicepipe.audio import FRAME_MS, AudioFormat, from_pcm16
from voicepipe.components.requests import CallInfo
from voicepipe.errors import TransferFailed

if TYPE_CHECKING:
    from voicepipe.transports.protocol import CallSink, Capability


class MemoryTransport:
    """A call in memory, in which the test is the caller.

    Args:
        audio: the format of the call; by default linear at 8 kHz.
        info: the called and calling numbers.
        can: the optional abilities that the transport claims.

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
        """The called and calling numbers."""
        self.can = can
        """The optional abilities that it claims."""
        self.written: list[tuple[float, bytes]] = []
        """The agent's frames, each with its time on trio's clock."""
        self.transferred_to: str | None = None
        """The target of `transfer`; None if it was not called."""
        self.rings_s = 0.0
        """How long a transfer rings, in s: until somebody takes it, or until it fails."""
        self.transfer_fails = ""
        """The reason for which nobody takes a transfer, and the caller comes back; empty: somebody takes it."""
        self.pressed: list[str] = []
        """The keys that `send_dtmf` was given."""
        self.ended = trio.Event()
        """Set when either side has ended the call."""
        self.blocked = False
        """Whether writes are refused, as by a socket whose buffer is full."""
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
        """Records one frame; False while `blocked`."""
        if self.blocked:
            return False
        self.written.append((trio.current_time(), bytes(audio)))
        return True

    async def wait_writable(self) -> None:
        """Returns after `unblock`, or when the call is over."""
        await self._unblocked.wait()

    def block(self) -> None:
        """Refuses writes until `unblock`."""
        if not self.blocked:
            self.blocked, self._unblocked = True, trio.Event()

    def unblock(self) -> None:
        """Accepts writes again."""
        self.blocked = False
        self._unblocked.set()

    def clear(self) -> None:
        """Does nothing: no audio is buffered."""

    def mark(self, mark: int) -> None:
        """Reports the mark as heard at once."""
        if self._sink is not None:
            self._sink.heard(mark)

    async def transfer(self, target: str) -> None:
        """Records the target, and ends the call after `rings_s`.

        Raises:
            TransferFailed: `transfer_fails` says why, or the caller hung up while it rang.

        """
        self.transferred_to = target
        if self.rings_s:
            with trio.move_on_after(self.rings_s):
                await self.ended.wait()
                raise TransferFailed("the caller hung up")
        if self.transfer_fails:
            raise TransferFailed(self.transfer_fails)
        self._end()

    async def send_dtmf(self, digits: str) -> None:
        """Records the keys."""
        await trio.lowlevel.checkpoint()
        self.pressed.append(digits)

    async def hang_up(self) -> None:
        """Ends the call."""
        self._end()

    def _end(self) -> None:
        self.ended.set()
        self._unblocked.set()

    # --- The test's side -----------------------------------------------------------------------------------------

    @property
    def said(self) -> bytes:
        """All audio of the agent, without the time between frames."""
        return b"".join(frame for _when, frame in self.written)

    async def turn_out_as(self, audio: AudioFormat) -> None:
        """Changes the format of the call, as a transport may before the caller's first audio."""
        await self._ready.wait()
        self.audio = audio
        if self._sink is not None:
            self._sink.format_changed(audio)

    async def send(self, audio: bytes) -> None:
        """Sends the caller's audio in real time, in frames of 20 ms; returns when all is sent or the call is over."""
        await self._ready.wait()
        size, due = self.audio.bytes_in(FRAME_MS), trio.current_time()
        for start in range(0, len(audio), size):
            due += FRAME_MS / 1000
            await trio.sleep_until(due)
            if self.ended.is_set() or self._sink is None:
                return
            self._sink.audio(audio[start : start + size])

    async def say(self, ms: int) -> None:
        """Sends a voice-like sound, which voice activity detection takes for speech."""
        await self.send(from_pcm16(voice(self.audio.rate, ms), self.audio.encoding))

    async def be_silent(self, ms: int) -> None:
        """Sends silence."""
        await self.send(self.audio.silence * int(self.audio.rate * ms / 1000))

    async def press(self, digit: str) -> None:
        """Presses a key as the caller."""
        await self._ready.wait()
        if self._sink is not None:
            self._sink.dtmf(digit)

    async def hang_up_as_caller(self) -> None:
        """Hangs up as the caller."""
        await self._ready.wait()
        if self._sink is not None and not self.ended.is_set():
            self._sink.hung_up("the caller hung up")
            self._end()


@cache
def voice(rate: int, ms: int) -> bytes:
    """Makes a sound with a voice's pitch, formants and syllables: 16-bit linear, `ms` long, at `rate` Hz."""
    samples, wanted = _voices.setdefault(rate, array("h")), int(rate * ms / 1000)
    # Each sample costs up to twenty sines, and sounds of all lengths begin alike.
    samples.extend(_voice_sample(n / rate, rate / 2) for n in range(len(samples), wanted))
    return samples[:wanted].tobytes()


_voices: dict[int, array[int]] = {}
"""The samples of the longest voice that was asked for, by rate."""

_HARMONICS = tuple((k, 1.0 if 3 <= k <= 7 or 10 <= k <= 13 else 0.3) for k in range(1, 20))
"""Multiples of the pitch, and how loud each is: those of two formants stand out."""


def _voice_sample(t: float, nyquist: float) -> int:
    pitch = 120 + 20 * math.sin(2 * math.pi * 3 * t)
    syllable = 0.6 + 0.4 * math.sin(2 * math.pi * 4 * t)
    turn = 2 * math.pi * pitch
    tone = sum([math.sin(turn * k * t) * loudness for k, loudness in _HARMONICS if pitch * k < nyquist])
    return int(max(-1.0, min(1.0, tone / 6)) * syllable * 12000)
