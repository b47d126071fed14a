"""An integrator's program: a transport of its own, a tool in Python, a conversation. Nothing of the engine is in it.

python examples/integrator.py tests/data/speech/two-turns-8k.wav
"""

import sys
import wave
from pathlib import Path
from typing import Literal

import trio

import voicepipe


@voicepipe.tool(filler="One moment, please.")
async def support_hours(product: str) -> str:
    """Tells when somebody who knows a product can be reached.

    Args:
        product: its name, as the caller says it.

    """
    await trio.sleep(0.1)  # stands for a look into a calendar
    return f"until five o'clock, for {product}"


class Recording:
    """The caller is a WAV file, 16-bit mono, and nobody listens."""

    pacing: Literal["ours", "theirs"] = "ours"
    can: frozenset[voicepipe.Capability] = frozenset()

    def __init__(self, path: str) -> None:
        with wave.open(path) as file:
            self.audio, self.speech = voicepipe.AudioFormat(file.getframerate()), file.readframes(file.getnframes())
        self.info, self.over = voicepipe.CallInfo(caller=path), trio.Event()

    async def run(self, sink: voicepipe.CallSink) -> None:
        frame, began = self.audio.bytes_in(20), trio.current_time()
        for number in range(len(self.speech) // frame + 250):  # then five seconds of silence
            if not self.over.is_set():
                sink.audio(self.speech[number * frame :][:frame].ljust(frame, b"\0"))
                await trio.sleep_until(began + number * 0.02)

    def write(self, audio: bytes | memoryview) -> bool:
        return bool(audio)

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()

    async def hang_up(self) -> None:
        self.over.set()

    # None of these is in `can`, so nobody asks for it.
    def clear(self) -> None:
        raise NotImplementedError

    def mark(self, mark: int) -> None:
        raise NotImplementedError

    async def transfer(self, target: str) -> None:
        raise NotImplementedError

    async def send_dtmf(self, digits: str) -> None:
        raise NotImplementedError


async def main(recording: str) -> None:
    async with voicepipe.open_pipeline_set(Path(__file__).with_suffix(".yaml"), tools=[support_hours]) as pipelines:
        with pipelines.pin() as snapshot:
            async with voicepipe.open_call(snapshot.active, Recording(recording), observer=print) as call:
                await call.run()


if __name__ == "__main__":
    trio.run(main, sys.argv[1])
