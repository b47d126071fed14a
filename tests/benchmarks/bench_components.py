"""The components of the benchmark: they take no time, so that what is measured is the call itself.

`bench_components.dist-info`, which `bench.py` writes, makes them installed adapters of the name `bench`.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import asynccontextmanager

import trio
from attrs import frozen

from voicepipe import (
    Adapter,
    AudioFormat,
    ReplyDone,
    SpeechAudio,
    StreamInput,
    TextDelta,
    Transcript,
)
from voicepipe.audio import level

REPLY = "This reply takes eight seconds."
REPLY_S = 8
GREETING_FRAMES = 10
FRAME_BYTES = 320
FRAMES = [(1000 + n).to_bytes(2, "little") * (FRAME_BYTES // 2) for n in range(50 * REPLY_S)]
"""20 ms of speech each, at 8 kHz; the sample tells which."""
CHUNK_FRAMES = 5
"""Frames in what the synthesiser gives at once: 100 ms."""
SPEECH = [b"".join(FRAMES[at : at + CHUNK_FRAMES]) for at in range(0, len(FRAMES), CHUNK_FRAMES)]

FINAL = "final at "
"""What the caller says, with the time on `time.perf_counter` at which the recogniser said so."""

LOUD = 300
"""The RMS level, of 32767, from which 20 ms are speech."""

PRECISELY = " precisely."
"""What comes after that, for a number at the end may have more digits to come."""


@frozen
class BenchOptions:
    """What there is to choose, whatever the role."""

    voice: str = "bench"
    """Any."""
    looks: bool = False
    """Whether the recogniser looks at what it gets."""
    chunk_ms: int = 100
    """How much audio the recogniser gets at once, in ms."""


class Inbox:
    """Events for one receiver."""

    def __init__(self, events=()):
        self._events = deque(events)
        self._arrived = trio.Event()

    def put(self, event):
        self._events.append(event)
        self._arrived.set()

    async def get(self):
        while not self._events:
            self._arrived = trio.Event()
            await self._arrived.wait()
        return self._events.popleft()


class Ears:
    """Hears something in every utterance, as soon as it is asked."""

    def __init__(self, options):
        self._transcripts = LookingTranscripts if options.looks else Transcripts
        self._chunk_ms = options.chunk_ms

    def input_for(self, call):
        return StreamInput(call, self._chunk_ms)

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        yield self._transcripts()


class Transcripts:
    def __init__(self):
        self._inbox = Inbox()
        self.receive = self._inbox.get

    async def send(self, audio):
        pass

    async def end_utterance(self):
        self._inbox.put(Transcript(f"{FINAL}{time.perf_counter()}{PRECISELY}", final=True))

    async def listen_for(self, listen):
        pass

    async def finish(self):
        self._inbox.put(None)


class LookingTranscripts(Transcripts):
    """Looks at every 20 ms: how loud it is, and for how long it has been so."""

    def __init__(self):
        super().__init__()
        self._rest = b""
        self.loud_frames = self.quiet_frames = 0

    async def send(self, audio):
        self.send_nowait(audio)

    def send_nowait(self, audio):
        audio = self._rest + audio
        whole = len(audio) - len(audio) % FRAME_BYTES
        self._rest = audio[whole:]
        for at in range(0, whole, FRAME_BYTES):
            if level(audio[at : at + FRAME_BYTES]) >= LOUD:
                self.loud_frames, self.quiet_frames = self.loud_frames + 1, 0
            else:
                self.quiet_frames += 1


class Mind:
    """Has one answer to everything."""

    def __init__(self, options):
        del options

    @asynccontextmanager
    async def respond(self, request):
        yield Reply()


class Reply:
    def __init__(self):
        self.receive = Inbox((TextDelta(REPLY), ReplyDone(), None)).get


class Voice:
    """Speaks for eight seconds, whatever the text, or shortly if it is no whole reply."""

    def __init__(self, options):
        del options

    def output_for(self, call):
        return AudioFormat(8000)

    @asynccontextmanager
    async def open_stream(self, output, language):
        yield Speech()


class Speech:
    def __init__(self):
        self._inbox = Inbox()
        self.receive = self._inbox.get

    async def send(self, text, segment):
        for audio in SPEECH if text == REPLY else SPEECH[: GREETING_FRAMES // CHUNK_FRAMES]:
            self._inbox.put(SpeechAudio(audio, segment))

    async def finish(self):
        self._inbox.put(None)


def _adapter(role, component):
    @asynccontextmanager
    async def open_it(options, resources):
        yield component(options)

    return Adapter(name="bench", role=role, options=BenchOptions, open=open_it)


stt = _adapter("stt", Ears)
llm = _adapter("llm", Mind)
tts = _adapter("tts", Voice)
