"""A caller behind an Asterisk, for tests, demonstrations and benchmarks: the other end of an AudioSocket."""

from __future__ import annotations

import wave
from collections import deque
from contextlib import asynccontextmanager
from math import inf
from os import fspath
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import trio
from attrs import define, field

from voicepipe.audio import FRAME_MS, AudioFormat, open_converter
from voicepipe.errors import TransportError
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.transports.audiosocket.wire_format import (
    KIND_ERROR,
    KIND_HANGUP,
    KINDS,
    RATES,
    Decoder,
    encode_audio,
    encode_dtmf,
    encode_uuid,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from os import PathLike

    from voicepipe.audio import Converter

JITTER_BUFFER_MS: Final = 40
"""The delay with which the caller's telephone plays the first audio after a pause, in s."""
_LOOK_S: Final = 0.02
_GAP_S: Final = 0.03
"""The gap before a frame of zeros that only keeps the line going, in s: frames of a reply come every 20 ms."""


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


class AudioSocketCaller:
    """A caller over AudioSocket, who is silent unless told to speak or to press a key, and records both sides."""

    def __init__(self, stream: trio.SocketStream, call_id: UUID, rate: int) -> None:
        self.call_id, self.audio = call_id, AudioFormat(rate)
        self.muted = False
        """Whether no frames are sent while the caller is silent, as by a muted telephone."""
        self.hung_up = trio.Event()
        """Set when either side has ended the call."""
        self.how = ""
        """The end of the call: `0x00`, `0xff`, `fin` or `reset` by the agent's side, `caller`, or an error."""
        self.arrivals: list[tuple[float, int]] = []
        """Each of the agent's frames: its arrival in s since the call began, and its size in bytes. Silence that only
        keeps the line going between replies is left out."""
        self._stream = stream
        self._frame = self.audio.bytes_in(FRAME_MS)
        self._began = trio.current_time()
        self._queue: deque[_Speech | _Key] = deque()
        self._said, self._heard = bytearray(), bytearray()
        self._sending, self._broken = trio.Lock(), False
        self._mark = 0  # what was heard up to here is no answer
        self._last_frame_at_s = -inf  # of the agent's
        self._converters: dict[int, Converter | None] = {}  # as Asterisk plays audio of a kind that is not the call's

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

    async def hang_up(self) -> None:
        """Hangs up as the caller: closes the connection without a hang-up frame."""
        self._end("caller")
        await self._stream.aclose()

    def _now(self) -> int:
        return self.audio.bytes_in(self.seconds * 1000)

    def _end(self, how: str) -> None:
        if not self.hung_up.is_set():
            self.how = how
            self.hung_up.set()
            for item in self._queue:
                item.sent.set()

    async def send(self) -> None:
        """Sends a frame every 20 ms until the call is over."""
        tick = 0
        while not self.hung_up.is_set():
            await trio.sleep_until(self._began + tick * FRAME_MS / 1000)
            tick += 1
            audio, message = self._next()
            self._said += audio
            if message:
                async with self._sending:
                    try:
                        await self._stream.send_all(message)
                    except trio.ClosedResourceError:
                        return
                    except trio.BrokenResourceError:
                        self._broken = True
                        return

    def _next(self) -> tuple[bytes | memoryview, bytes]:
        """Returns the caller's audio of the next 20 ms, and the message for it."""
        silence = bytes(self._frame)
        item = self._queue[0] if self._queue else None
        if isinstance(item, _Key):
            item.hold -= 1
            if item.hold > 0:
                return silence, b""
            self._queue.popleft()
            item.sent.set()
            return silence, encode_dtmf(item.digit)
        audio: bytes | memoryview = silence
        if item is not None:
            audio, item.pcm = item.pcm[: self._frame], item.pcm[self._frame :]
            if not item.pcm:
                self._queue.popleft()
                item.sent.set()
        elif self.muted:
            return silence, b""
        return audio, encode_audio(KINDS[self.audio.rate], audio)

    async def receive(self) -> None:
        """Receives from the agent until the call is over."""
        decoder = Decoder()
        try:
            async for data in self._stream:
                for kind, payload in decoder.feed(data):
                    if kind in {KIND_HANGUP, KIND_ERROR}:
                        self._end(f"0x{kind:02x}")
                        await self._stream.aclose()
                        return
                    self._hear(kind, payload)
            with trio.move_on_after(0.1):  # a reset is told only once: perhaps to who is sending just now
                await self._sending.acquire()
            self._end("reset" if self._broken else "fin")
        except trio.BrokenResourceError:
            self._end("reset")
        except trio.ClosedResourceError:
            self._end("caller")
        except TransportError as error:
            self._end(str(error))
        await self._stream.aclose()

    def _hear(self, kind: int, payload: memoryview) -> None:
        if kind not in RATES:
            raise TransportError(f"a frame of kind 0x{kind:02x}, which is no audio")
        audio: bytes | memoryview = payload
        if kind != KINDS[self.audio.rate]:
            if kind not in self._converters:
                self._converters[kind] = open_converter(AudioFormat(RATES[kind]), self.audio, live=True)
            if (converter := self._converters[kind]) is not None:
                audio = converter.convert(bytes(payload))
        at_s, self._last_frame_at_s = self._last_frame_at_s, self.seconds
        if self._last_frame_at_s - at_s < _GAP_S or any(payload):
            self.arrivals.append((self._last_frame_at_s, len(audio)))
        now = self._now()
        if now > len(self._heard):
            self._heard += bytes(now + self.audio.bytes_in(JITTER_BUFFER_MS) - len(self._heard))
        self._heard += audio


@asynccontextmanager
async def open_audiosocket_call(
    host: str = "127.0.0.1", port: int = 9092, *, call_id: UUID | None = None, rate: int = 8000
) -> AsyncIterator[AudioSocketCaller]:
    """Opens a call as Asterisk does: the UUID, then audio every 20 ms on an absolute clock. Leaving hangs up.

    Raises:
        OSError: the connection was refused or failed.

    """
    stream = await trio.open_tcp_stream(host, port)
    async with stream, open_hidden_nursery() as nursery:
        caller = AudioSocketCaller(stream, call_id or uuid4(), rate)
        await stream.send_all(encode_uuid(caller.call_id))
        nursery.start_soon(caller.send)
        nursery.start_soon(caller.receive)
        try:
            yield caller
        finally:
            with trio.CancelScope(shield=True):  # closing a socket does not block
                await caller.hang_up()
            nursery.cancel_scope.cancel()


def write_stereo_wav(path: str | PathLike[str], left: bytes, right: bytes, rate: int) -> None:
    """Writes two sides of 16-bit LE mono PCM as a stereo WAV file; the shorter is padded with silence."""
    import numpy as np  # noqa: PLC0415

    size = max(len(left), len(right))
    both = np.stack([np.frombuffer(side.ljust(size, b"\0"), "<i2") for side in (left, right)], axis=1)
    with wave.open(fspath(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(both.tobytes())
