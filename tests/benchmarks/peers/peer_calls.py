"""What the servers of the peers share: AudioSocket on asyncio, what is said in the calls, when turns end.

A peer's server keeps to the contract of `server.py`: it prints its port, takes calls until its input ends, and prints
as JSON its response times in ms.
"""

from __future__ import annotations

import asyncio
import audioop
import gc
import json
import os
import signal
import sys
import time
from collections import deque
from contextlib import suppress

import webrtcvad

REPLY = "This reply takes eight seconds."
GREETING = "Hello."
SAMPLE_RATE = 8000
FRAME_BYTES = 320
FRAMES = [(1000 + n).to_bytes(2, "little") * (FRAME_BYTES // 2) for n in range(400)]
"""20 ms of speech each; the sample tells which."""
SPEECH = [b"".join(FRAMES[at : at + 5]) for at in range(0, len(FRAMES), 5)]
"""What the synthesiser gives at once: 100 ms."""
GREETING_CHUNKS = 2
END_OF_TURN_S = 0.6
"""Silence that ends the caller's turn: voicepipe's `end_of_turn_ms`."""
KEY = "bench-key"
"""For vendors that check none."""
MIN_SPEECH_S = 0.16
"""Speech that interrupts: voicepipe's `min_speech_ms`."""

AUDIO, HANGUP = 0x10, 0x00
AUDIO_HEADER = bytes([AUDIO]) + FRAME_BYTES.to_bytes(2, "big")


def speech(text):
    """The synthesiser's chunks: eight seconds, or a greeting of a fifth of one."""
    return SPEECH if text == REPLY else SPEECH[:GREETING_CHUNKS]


MIN_LEVEL = 180
"""Below it a frame is silence, as 16-bit RMS."""


class Ears:
    """Voice activity detection of the kind that voicepipe's own calls have, so that all servers decide alike."""

    def __init__(self):
        self._vad = webrtcvad.Vad(2)

    def voiced(self, frame):
        """Whether 20 ms are speech."""
        return audioop.rms(frame, 2) >= MIN_LEVEL and self._vad.is_speech(frame, SAMPLE_RATE)


class Line:
    """An AudioSocket call: frames in and out, and the time from a final transcript to the first audio after it."""

    def __init__(self, reader, writer, responses):
        self._reader, self._writer, self._responses = reader, writer, responses
        self._rest = b""
        self._frames = deque()
        self._open = True
        self._final_at = None

    async def receive(self):
        """The next 20 ms of the caller, or None once the call has ended."""
        while not self._frames:
            if not self._open:
                return None
            try:
                data = await self._reader.read(65536)
            except OSError:
                data = b""
            self._open = bool(data) and self._take(self._rest + data)
        return self._frames.popleft()

    def _take(self, data):
        at = 0
        while len(data) - at >= 3:
            end = at + 3 + int.from_bytes(data[at + 1 : at + 3], "big")
            if data[at] == HANGUP:
                return False
            if len(data) < end:
                break
            if data[at] == AUDIO:
                self._frames.append(data[at + 3 : end])
            at = end
        self._rest = data[at:]
        return True

    def send(self, frame):
        """Writes 20 ms; never waits."""
        self._writer.write(AUDIO_HEADER + frame)
        if self._final_at is not None:
            self._responses.append((time.perf_counter() - self._final_at) * 1000)
            self._final_at = None

    def heard(self):
        """The recogniser has its final transcript now."""
        self._final_at = time.perf_counter()


def serve(answer):
    """Runs `await answer(line)` for each call that comes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(_serve(answer))


async def _serve(answer):
    responses = []

    async def take(reader, writer):
        try:
            await answer(Line(reader, writer, responses))
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_server(take, "127.0.0.1", 0, backlog=1024)
    gc.collect()
    gc.freeze()
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    print(json.dumps({"response_ms": responses}), flush=True)
    os._exit(0)  # how a framework takes down many calls at once is not measured, and takes a minute
