"""A caller behind an Asterisk, for tests, demonstrations and benchmarks: the other end of an AudioSocket."""

from __future__ import annotations

import wave
from contextlib import asynccontextmanager
from math import inf
from os import fspath
from typing import TYPE_CHECKING, Final
from uuid import UUID, uuid4

import trio

from voicepipe.audio import AudioFormat, open_converter
from voicepipe.errors import TransportError
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.testing.caller import Caller
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
_GAP_S: Final = 0.03
"""The gap before a frame of zeros that only keeps the line going, in s: frames of a reply come every 20 ms."""


class AudioSocketCaller(Caller):
    """A caller over AudioSocket.

    `how` is `0x00`, `0xff`, `fin` or `reset` where the agent's side ended the call, `caller`, or an error.
    """

    def __init__(self, stream: trio.SocketStream, call_id: UUID, rate: int) -> None:
        super().__init__(AudioFormat(rate))
        self.call_id = call_id
        self._stream = stream
        self._sending, self._broken = trio.Lock(), False
        self._last_frame_at_s = -inf  # of the agent's
        self._converters: dict[int, Converter | None] = {}  # as Asterisk plays audio of a kind that is not the call's

    async def hang_up(self) -> None:
        """Hangs up as the caller: closes the connection without a hang-up frame."""
        self._end("caller")
        await self._stream.aclose()

    async def send(self) -> None:
        """Sends a frame every 20 ms until the call is over."""
        for due in self._ticks():
            await trio.sleep_until(due)
            audio, digit = self._next()
            message = encode_audio(KINDS[self.audio.rate], audio) if audio is not None else b""
            if digit:
                message = encode_dtmf(digit)
            if message:
                async with self._sending:
                    try:
                        await self._stream.send_all(message)
                    except trio.ClosedResourceError:
                        return
                    except trio.BrokenResourceError:
                        self._broken = True
                        return

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
                async with self._sending:
                    pass
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
