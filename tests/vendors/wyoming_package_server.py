"""A server made with the `wyoming` package, as its users make them; run as a process of its own.

    python wyoming_package_server.py tcp://127.0.0.1:0
    python wyoming_package_server.py unix:///path/of/the/socket

It prints its address when it listens. What it hears is told as a text about the audio; what it speaks is a tone.
"""

from __future__ import annotations

import math
import sys
from array import array
from functools import partial

from wyoming.asr import Transcribe, Transcript, TranscriptChunk, TranscriptStart, TranscriptStop
from wyoming.audio import AudioChunk, AudioChunkConverter, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.info import AsrModel, AsrProgram, Attribution, Describe, Info, TtsProgram, TtsVoice, TtsVoiceSpeaker
from wyoming.server import AsyncEventHandler, AsyncServer
from wyoming.server import asyncio as its_loop  # the package knows no other
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop, SynthesizeStopped

MADE = {"attribution": Attribution("voicepipe's tests", "https://example.org"), "installed": True}
NAMED = {"description": "of the tests", "version": "1", **MADE}
INFO = Info(
    asr=[
        AsrProgram(
            name="ears",
            models=[AsrModel(name="base", languages=["en", "de"], **NAMED)],
            supports_transcript_streaming=True,
            **NAMED,
        )
    ],
    tts=[
        TtsProgram(
            name="mouth",
            voices=[
                TtsVoice(name="alice", languages=["en_US"], speakers=[TtsVoiceSpeaker("low")], **NAMED),
                TtsVoice(name="bernd", languages=["de_DE"], **NAMED),
            ],
            supports_synthesize_streaming="--no-streaming" not in sys.argv,
            **NAMED,
        )
    ],
)
RATE = 22050
PITCHES = {None: 200, "alice": 300, "bernd": 400}


def tone(text: str, voice: str | None) -> bytes:
    """20 ms a character."""
    samples = RATE * len(text) * 20 // 1000
    pitch = PITCHES[voice]
    return array("h", (int(8000 * math.sin(2 * math.pi * pitch * n / RATE)) for n in range(samples))).tobytes()


class Handler(AsyncEventHandler):
    """One connection."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.transcribe = Transcribe()
        self.converter = AudioChunkConverter(rate=16000, width=2, channels=1)
        self.heard = b""
        self.voice = None
        self.in_stream = False
        self.text = ""

    async def handle_event(self, event) -> bool:
        if Describe.is_type(event.type):
            await self.write_event(INFO.event())
        elif Transcribe.is_type(event.type):
            self.transcribe = Transcribe.from_event(event)
        elif AudioStart.is_type(event.type):
            AudioStart.from_event(event)
            await self.write_event(TranscriptStart(language=self.transcribe.language).event())
        elif AudioChunk.is_type(event.type):
            if not self.heard:
                await self.write_event(TranscriptChunk(text="so far").event())
            self.heard += self.converter.convert(AudioChunk.from_event(event)).audio
        elif AudioStop.is_type(event.type):
            asked = self.transcribe
            text = f"{len(self.heard) // 32} ms by {asked.name} of {asked.transcript_terms}"
            await self.write_event(Transcript(text=text, language=asked.language).event())
            await self.write_event(TranscriptStop().event())
            return False
        else:
            return await self.handle_text(event)
        return True

    async def handle_text(self, event) -> bool:
        if SynthesizeStart.is_type(event.type):
            self.in_stream, self.voice = True, SynthesizeStart.from_event(event).voice
        elif SynthesizeChunk.is_type(event.type):
            self.text += SynthesizeChunk.from_event(event).text
        elif Synthesize.is_type(event.type) and not self.in_stream:
            synthesize = Synthesize.from_event(event)
            self.voice = synthesize.voice
            await self.speak(synthesize.text)
        elif SynthesizeStop.is_type(event.type):
            await self.speak(self.text)
            await self.write_event(SynthesizeStopped().event())
        elif not Synthesize.is_type(event.type):
            await self.write_event(Error(text=f"what is {event.type}?", code="unexpected").event())
            return False
        return True

    async def speak(self, text: str) -> None:
        samples = tone(text, self.voice.name if self.voice else None)
        await self.write_event(AudioStart(rate=RATE, width=2, channels=1).event())
        for at in range(0, len(samples), 2048):
            chunk = AudioChunk(rate=RATE, width=2, channels=1, audio=samples[at : at + 2048])
            await self.write_event(chunk.event())
        await self.write_event(AudioStop().event())


async def main(uri: str) -> None:
    server = AsyncServer.from_uri(uri)
    await server.start(partial(Handler))
    name = server._server.sockets[0].getsockname()
    print(f"unix:{name}" if isinstance(name, str) else f"tcp://{name[0]}:{name[1]}", flush=True)  # noqa: T201
    await server._server.serve_forever()


if __name__ == "__main__":
    its_loop.run(main(sys.argv[1]))
