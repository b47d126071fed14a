"""The same calls through LiveKit Agents: an `AgentSession` a call, its audio in and out over AudioSocket.

There is no LiveKit room and no media server, so what is measured is the framework alone. In a room, the pace of audio
is kept by LiveKit's native library; here one clock for all calls does it, the cheapest that is known.
`python livekit_server.py [--vendors URL]`; the rest is as for `server.py`. With `--vendors` it has its own plugins for
Deepgram and OpenAI instead of components of ours that take no time, at that address: one of each for all calls, with
an HTTP session of ours, as its documentation has it outside of a job; LiveKit's own would hold 50 connections.
"""

from __future__ import annotations

import asyncio
import time
from argparse import ArgumentParser
from functools import cache

import aiohttp
from livekit import rtc
from livekit.agents import Agent, AgentSession, llm, stt, tts, vad
from livekit.agents.types import DEFAULT_API_CONNECT_OPTIONS
from livekit.agents.utils import shortuuid
from livekit.agents.voice import io
from livekit.plugins import deepgram, openai
from peer_calls import END_OF_TURN_S, FRAME_BYTES, GREETING, KEY, MIN_SPEECH_S, REPLY, SAMPLE_RATE, Ears, serve, speech

FRAME_S = 0.02
FRAMES_AN_UPDATE = 2
"""LiveKit's own detector, Silero, tells its state every 32 ms."""
TURN_HANDLING = {"turn_detection": "vad", "interruption": {"mode": "vad", "min_duration": MIN_SPEECH_S}}


class Clock:
    """Has each output that plays write a frame every 20 ms, in slots of 5 ms; asleep while none plays."""

    STEP_S = 0.005
    SLOTS = 4

    def __init__(self):
        self._slots = [set() for _ in range(self.SLOTS)]
        self._tick = 0
        self._began = None

    def join(self, output):
        """Has it write from 15 to 20 ms from now on."""
        self._slots[self._tick % self.SLOTS].add(output)
        if self._began is None:
            loop = asyncio.get_running_loop()
            self._began = loop.time() - self._tick * self.STEP_S
            self._set(loop)

    def _set(self, loop):
        loop.call_at(self._began + (self._tick + 1) * self.STEP_S, self._run, loop)

    def _run(self, loop):
        self._tick += 1
        slot = self._slots[self._tick % self.SLOTS]
        slot.difference_update([output for output in slot if not output.play()])
        if any(self._slots):
            self._set(loop)
        else:
            self._began = None


class Input(io.AudioInput):
    """Frames of the caller into the session."""

    def __init__(self, line, ended):
        super().__init__(label="AudioSocket")
        self._line, self._ended = line, ended

    async def __anext__(self):
        frame = await self._line.receive()
        if frame is None:
            self._ended.set()
            raise StopAsyncIteration
        return rtc.AudioFrame(frame, SAMPLE_RATE, 1, len(frame) // 2)


class Output(io.AudioOutput):
    """Audio of the session to the caller: what comes at once is played in its time."""

    def __init__(self, line, clock):
        super().__init__(
            label="AudioSocket", capabilities=io.AudioOutputCapabilities(pause=True), sample_rate=SAMPLE_RATE
        )
        self._line, self._clock = line, clock
        self._audio, self._at = bytearray(), 0
        self._playing = self._paused = False  # whether the clock has it; whether it may play
        self._captured = self._flushed = self._cleared = False  # what has become of the segment

    async def capture_frame(self, frame):
        await super().capture_frame(frame)
        self._audio += frame.data.cast("B")
        if not self._captured:
            self._captured = True
            self.on_playback_started(created_at=time.time())
        self._begin()

    def flush(self):
        super().flush()
        self._flushed = True
        self._end()

    def clear_buffer(self):
        if self._captured:
            self._cleared = True
            self._end()

    def pause(self):
        super().pause()
        self._paused = True

    def resume(self):
        super().resume()
        self._paused = False
        self._begin()

    def _begin(self):
        if not (self._playing or self._paused or self._cleared) and self.play():
            self._playing = True
            self._clock.join(self)

    def play(self):
        """Writes the next 20 ms; False if there are none."""
        frame = bytes(self._audio[self._at : self._at + FRAME_BYTES])
        if self._paused or self._cleared or (len(frame) < FRAME_BYTES and not (frame and self._flushed)):
            self._playing = False
            return False
        self._line.send(frame.ljust(FRAME_BYTES, b"\0"))
        self._at += FRAME_BYTES
        self._end()
        return True

    def _end(self):
        """Tells the session once the segment is over: all of it played, or what was left cleared."""
        if self._captured and self._flushed and (self._cleared or self._at >= len(self._audio)):
            played_s = min(self._at, len(self._audio)) / (2 * SAMPLE_RATE)
            interrupted = self._cleared
            self._audio, self._at = bytearray(), 0
            self._captured = self._flushed = self._cleared = False
            self.on_playback_finished(playback_position=played_s, interrupted=interrupted)


class Detector(vad.VAD):
    """Our detector where Silero would be; says when the caller's speech has ended."""

    def __init__(self, ended):
        super().__init__(capabilities=vad.VADCapabilities(update_interval=FRAME_S * FRAMES_AN_UPDATE))
        self.ended = ended

    def stream(self):
        return Verdicts(self)


class Verdicts(vad.VADStream):
    """The events of LiveKit's own detector, from our verdicts on frames."""

    async def _main_task(self):
        ears = Ears()
        samples, speech_s, silence_s, speaking = 0, 0.0, 0.0, False

        def tell(kind):
            self._event_ch.send_nowait(
                vad.VADEvent(
                    type=kind,
                    samples_index=samples,
                    timestamp=samples / SAMPLE_RATE,
                    speech_duration=speech_s,
                    silence_duration=silence_s,
                    speaking=speaking,
                    raw_accumulated_speech=0.0 if silence_s else speech_s,
                    raw_accumulated_silence=silence_s,
                )
            )

        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                speech_s, silence_s, speaking = 0.0, 0.0, False
                continue
            samples += frame.samples_per_channel
            if ears.voiced(bytes(frame.data)):
                speech_s, silence_s = speech_s + FRAME_S, 0.0
            else:
                silence_s += FRAME_S
                if not speaking:
                    speech_s = 0.0
            if samples // frame.samples_per_channel % FRAMES_AN_UPDATE == 0:
                tell(vad.VADEventType.INFERENCE_DONE)
            if not speaking and speech_s > MIN_SPEECH_S - FRAME_S / 2:
                speaking = True
                tell(vad.VADEventType.START_OF_SPEECH)
            elif speaking and silence_s > END_OF_TURN_S - FRAME_S / 2:
                speaking = False
                self._vad.ended()
                tell(vad.VADEventType.END_OF_SPEECH)
                speech_s = 0.0


class Recogniser(stt.STT):
    """Hears something in every utterance, as soon as it has ended."""

    def __init__(self, line):
        super().__init__(
            capabilities=stt.STTCapabilities(
                streaming=True, interim_results=False, offline_recognize=False, manual_flush=True
            )
        )
        self.line = line

    async def _recognize_impl(self, buffer, *, language=None, conn_options=None):
        raise NotImplementedError

    def stream(self, *, language=None, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return Transcripts(stt=self, conn_options=conn_options)


class Transcripts(stt.RecognizeStream):
    async def _run(self):
        async for frame in self._input_ch:
            if isinstance(frame, self._FlushSentinel):
                self._stt.line.heard()
                said = stt.SpeechData(language="en", text="something")
                self._event_ch.send_nowait(
                    stt.SpeechEvent(type=stt.SpeechEventType.FINAL_TRANSCRIPT, alternatives=[said])
                )


class Model(llm.LLM):
    """Has one answer to everything."""

    def chat(self, *, chat_ctx, tools=None, conn_options=DEFAULT_API_CONNECT_OPTIONS, **_):
        return Reply(self, chat_ctx=chat_ctx, tools=tools or [], conn_options=conn_options)


class Reply(llm.LLMStream):
    async def _run(self):
        delta = llm.ChoiceDelta(role="assistant", content=REPLY)
        self._event_ch.send_nowait(llm.ChatChunk(id=shortuuid(), delta=delta))


class Synthesiser(tts.TTS):
    """Speaks for eight seconds, or shortly to greet."""

    def __init__(self):
        super().__init__(capabilities=tts.TTSCapabilities(streaming=True), sample_rate=SAMPLE_RATE, num_channels=1)

    def synthesize(self, text, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        raise NotImplementedError

    def stream(self, *, conn_options=DEFAULT_API_CONNECT_OPTIONS):
        return Speech(tts=self, conn_options=conn_options)


class Speech(tts.SynthesizeStream):
    async def _run(self, output_emitter):
        output_emitter.initialize(
            request_id=shortuuid(), sample_rate=SAMPLE_RATE, num_channels=1, mime_type="audio/pcm", stream=True
        )
        output_emitter.start_segment(segment_id=shortuuid())
        text = ""
        async for piece in self._input_ch:
            if not isinstance(piece, self._FlushSentinel):
                text += piece
        self._mark_started()
        for chunk in speech(text.strip()):
            output_emitter.push(chunk)
        output_emitter.end_segment()


@cache
def vendors_at(base):
    """LiveKit's plugins for Deepgram and OpenAI; each keeps connections for whoever needs one next."""
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
    listen = deepgram.STT(
        api_key=KEY, base_url=f"{base}/v1/listen", sample_rate=SAMPLE_RATE, endpointing_ms=300, http_session=session
    )
    speak = deepgram.TTS(api_key=KEY, base_url=f"{base}/v1/speak", sample_rate=SAMPLE_RATE, http_session=session)
    return listen, openai.LLM(api_key=KEY, base_url=f"{base}/v1", model="gpt-4.1-mini"), speak


async def call(line, clock, vendors):
    """One call from its first frame to its last."""
    ended = asyncio.Event()
    recogniser, model, synthesiser = vendors_at(vendors) if vendors else (Recogniser(line), Model(), Synthesiser())
    session = AgentSession(
        stt=recogniser,
        vad=Detector(line.heard if vendors else lambda: None),
        llm=model,
        tts=synthesiser,
        turn_handling=TURN_HANDLING,
        aec_warmup_duration=None,
    )
    session.input.audio = Input(line, ended)
    session.output.audio = Output(line, clock)
    await session.start(Agent(instructions="You answer in one sentence."), record=False)
    session.say(GREETING)
    await ended.wait()
    await session.aclose()


def main():
    """Takes calls until its input ends."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--vendors", metavar="URL", help="Deepgram and OpenAI, as `vendor_servers.py` plays them")
    vendors = parser.parse_args().vendors
    clock = Clock()
    serve(lambda line: call(line, clock, vendors))


if __name__ == "__main__":
    main()
