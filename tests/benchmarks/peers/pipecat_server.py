"""The same calls through Pipecat: a pipeline, a `PipelineWorker` and a `WorkerRunner` a call, as its quickstart has it.

`python pipecat_server.py [--lean] [--vendors URL]`; the rest is as for `server.py`. With `--vendors` it has its own
services for Deepgram and OpenAI instead of ours that take no time, at that address. Lean is without whatever a call can
do without: RTVI, turn tracking and the idle timeout, each of which observes every frame at every step; and voice
activity detection is called where the frame is, without the thread and the measure of loudness that Pipecat's base
class has for it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from argparse import ArgumentParser

from loguru import logger
from peer_calls import END_OF_TURN_S, GREETING, KEY, MIN_SPEECH_S, REPLY, SAMPLE_RATE, Ears, serve, speech
from pipecat.audio.vad.vad_analyzer import VADAnalyzer, VADParams, VADState
from pipecat.frames.frames import (
    InputAudioRawFrame,
    InterruptionFrame,
    LLMContextFrame,
    LLMFullResponseEndFrame,
    LLMFullResponseStartFrame,
    TranscriptionFrame,
    TTSAudioRawFrame,
    TTSSpeakFrame,
    VADUserStoppedSpeakingFrame,
)
from pipecat.pipeline.pipeline import Pipeline
from pipecat.pipeline.worker import PipelineParams, PipelineWorker
from pipecat.processors.aggregators.llm_context import LLMContext
from pipecat.processors.aggregators.llm_response_universal import LLMContextAggregatorPair, LLMUserAggregatorParams
from pipecat.services.deepgram.stt import DeepgramSTTService
from pipecat.services.deepgram.tts import DeepgramTTSService
from pipecat.services.llm_service import LLMService
from pipecat.services.openai.llm import OpenAILLMService
from pipecat.services.settings import LLMSettings, STTSettings, TTSSettings
from pipecat.services.stt_service import STTService
from pipecat.services.tts_service import TTSService
from pipecat.transports.base_input import BaseInputTransport
from pipecat.transports.base_output import BaseOutputTransport
from pipecat.transports.base_transport import BaseTransport, TransportParams
from pipecat.turns.user_stop import SpeechTimeoutUserTurnStopStrategy
from pipecat.turns.user_turn_strategies import UserTurnStrategies
from pipecat.utils.time import time_now_iso8601
from pipecat.workers.runner import WorkerRunner

FRAME_S = 0.02
UNDERRUN_S = 1.0
"""After so long without audio a schedule begins anew; a shorter stall is made up for."""
LEAN = {"enable_rtvi": False, "enable_turn_tracking": False, "idle_timeout_secs": None, "check_dangling_tasks": False}
VAD_PARAMS = VADParams(start_secs=MIN_SPEECH_S, stop_secs=END_OF_TURN_S)


class Input(BaseInputTransport):
    """Frames of the caller into the pipeline."""

    def __init__(self, line, ended, params):
        super().__init__(params)
        self._line, self._ended = line, ended
        self._reading = None

    async def start(self, frame):
        await super().start(frame)
        await self.set_transport_ready(frame)
        self._reading = self.create_task(self._read())

    async def cleanup(self):
        await super().cleanup()
        if self._reading:
            await self.cancel_task(self._reading)
            self._reading = None

    async def _read(self):
        while (frame := await self._line.receive()) is not None:
            await self.push_audio_frame(InputAudioRawFrame(frame, SAMPLE_RATE, 1))
        self._ended.set()


class Output(BaseOutputTransport):
    """Audio of the pipeline to the caller, at the pace of a sound device: Pipecat writes as fast as it is let."""

    def __init__(self, line, params):
        super().__init__(params)
        self._line = line
        self._due = 0.0

    async def start(self, frame):
        await super().start(frame)
        await self.set_transport_ready(frame)

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, InterruptionFrame):
            self._due = 0.0

    async def write_audio_frame(self, frame):
        self._line.send(frame.audio)
        now = time.monotonic()
        if now - self._due > UNDERRUN_S:
            self._due = now
        self._due += FRAME_S
        await asyncio.sleep(max(0.0, self._due - now))
        return True


class Telephone(BaseTransport):
    """AudioSocket."""

    def __init__(self, line, ended):
        super().__init__()
        params = TransportParams(audio_in_enabled=True, audio_out_enabled=True, audio_out_10ms_chunks=2)
        self._input, self._output = Input(line, ended, params), Output(line, params)

    def input(self):
        return self._input

    def output(self):
        return self._output


class Detector(VADAnalyzer):
    """Our detector where Silero would be."""

    def __init__(self):
        super().__init__(params=VAD_PARAMS)
        self._ears = Ears()

    def num_frames_required(self):
        return SAMPLE_RATE // 50

    def voice_confidence(self, buffer):
        return float(self._ears.voiced(buffer))


class LeanDetector(Detector):
    """The same decisions, without a thread and without loudness; says when the caller's speech has ended."""

    def __init__(self, ended):
        super().__init__()
        self._ended = ended
        self._speaking = False
        self._others = 0  # frames in a row that are not what the state is

    async def analyze_audio(self, buffer):
        if self._ears.voiced(buffer) == self._speaking:
            self._others = 0
        else:
            self._others += 1
            if self._others >= (END_OF_TURN_S if self._speaking else MIN_SPEECH_S) / FRAME_S:
                self._speaking, self._others = not self._speaking, 0
                if not self._speaking:
                    self._ended()
        return VADState.SPEAKING if self._speaking else VADState.QUIET


class Recogniser(STTService):
    """Hears something in every utterance, as soon as it has ended."""

    def __init__(self, line):
        super().__init__(ttfs_p99_latency=0.0, settings=STTSettings(model=None, language=None))
        self._line = line

    async def run_stt(self, audio):
        yield None

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, VADUserStoppedSpeakingFrame):
            self._line.heard()
            await self.push_frame(TranscriptionFrame("something", "caller", time_now_iso8601(), finalized=True))


class Model(LLMService):
    """Has one answer to everything."""

    def __init__(self):
        unset = dict.fromkeys(
            (
                "model",
                "system_instruction",
                "temperature",
                "max_tokens",
                "top_p",
                "top_k",
                "frequency_penalty",
                "presence_penalty",
                "seed",
                "filter_incomplete_user_turns",
                "user_turn_completion_config",
            )
        )
        super().__init__(settings=LLMSettings(**unset))

    async def process_frame(self, frame, direction):
        await super().process_frame(frame, direction)
        if isinstance(frame, LLMContextFrame):
            await self.push_frame(LLMFullResponseStartFrame())
            await self._push_llm_text(REPLY)
            await self.push_frame(LLMFullResponseEndFrame())
        else:
            await self.push_frame(frame, direction)


class Synthesiser(TTSService):
    """Speaks for eight seconds, or shortly to greet."""

    def __init__(self):
        settings = TTSSettings(model=None, voice=None, language=None)
        super().__init__(push_start_frame=True, push_stop_frames=True, settings=settings)

    async def run_tts(self, text, context_id):
        for chunk in speech(text):
            yield TTSAudioRawFrame(chunk, SAMPLE_RATE, 1, context_id=context_id)


class OpenAIModel(OpenAILLMService):
    """Pipecat's own, with one client for all calls, which keeps connections for the next reply of any of them."""

    client = None

    def create_client(self, **options):
        if OpenAIModel.client is None:
            OpenAIModel.client = super().create_client(**options)
        return OpenAIModel.client


def vendors_at(base):
    """Pipecat's services of Deepgram and OpenAI, for one call: each has connections to Deepgram of its own."""
    return (
        DeepgramSTTService(api_key=KEY, base_url=base, ttfs_p99_latency=0.0),
        OpenAIModel(api_key=KEY, base_url=f"{base}/v1", settings=OpenAIModel.Settings(model="gpt-4.1-mini")),
        DeepgramTTSService(api_key=KEY, base_url=f"ws{base.removeprefix('http')}", sample_rate=SAMPLE_RATE),
    )


async def call(line, *, lean, vendors):
    """One call from its first frame to its last."""
    ended = asyncio.Event()
    telephone = Telephone(line, ended)
    context = LLMContext([{"role": "system", "content": "You answer in one sentence."}])
    strategies = UserTurnStrategies(stop=[SpeechTimeoutUserTurnStopStrategy(user_speech_timeout=0)])
    user, assistant = LLMContextAggregatorPair(
        context,
        user_params=LLMUserAggregatorParams(
            vad_analyzer=LeanDetector(line.heard if vendors else lambda: None) if lean else Detector(),
            user_turn_strategies=strategies,
        ),
    )
    recogniser, model, synthesiser = vendors_at(vendors) if vendors else (Recogniser(line), Model(), Synthesiser())
    worker = PipelineWorker(
        Pipeline([telephone.input(), recogniser, user, model, synthesiser, telephone.output(), assistant]),
        params=PipelineParams(audio_in_sample_rate=SAMPLE_RATE, audio_out_sample_rate=SAMPLE_RATE),
        **(LEAN if lean else {}),
    )
    await worker.queue_frame(TTSSpeakFrame(GREETING))
    runner = WorkerRunner(handle_sigint=False, check_dangling_tasks=not lean)
    await runner.add_workers(worker)

    async def hang_up():
        await ended.wait()
        await runner.cancel()

    hanging_up = asyncio.create_task(hang_up())
    await runner.run()
    await hanging_up


if __name__ == "__main__":
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--lean", action="store_true", help="without whatever can be done without")
    parser.add_argument("--vendors", metavar="URL", help="Deepgram and OpenAI, as `vendor_servers.py` plays them")
    chosen = parser.parse_args()
    logger.remove()
    logger.add(sys.stderr, level="ERROR")
    serve(lambda line: call(line, lean=chosen.lean, vendors=chosen.vendors))
