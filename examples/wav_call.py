"""Voicepipe without the engine: a WAV file rings, a pipeline answers, the conversation is written to another WAV.

    python examples/wav_call.py config/ai-agent.yaml caller.wav conversation.wav

Everything that an integrator needs is here: a transport of one's own, a pinned snapshot, a call.
"""

import sys
import wave
from typing import Literal

import trio

import voicepipe


class WavTransport:
    """The caller is a recording (16-bit mono), followed by silence; what the agent says is kept."""

    pacing: Literal["ours", "theirs"] = "ours"
    can: frozenset[voicepipe.Capability] = frozenset()

    def __init__(self, path: str) -> None:
        with wave.open(path) as recording:
            self.audio = voicepipe.AudioFormat(recording.getframerate())
            self._caller = recording.readframes(recording.getnframes())
        self.info = voicepipe.CallInfo(caller=path)
        self.agent = bytearray()
        self._over = False
        self._began = trio.current_time()

    async def run(self, sink: voicepipe.CallSink) -> None:
        size, due = self.audio.bytes_in(20), trio.current_time()
        for at in range(0, len(self._caller) + self.audio.bytes_in(5000), size):
            if self._over:
                return
            sink.audio(self._caller[at : at + size].ljust(size, b"\0"))
            due += 0.02
            await trio.sleep_until(due)
        sink.hung_up("the recording ended")

    def write(self, audio: bytes | memoryview) -> bool:
        now = self.audio.bytes_in((trio.current_time() - self._began) * 1000)
        self.agent += bytes(max(0, now - len(self.agent))) + audio
        return True

    async def wait_writable(self) -> None:
        await trio.lowlevel.checkpoint()

    async def hang_up(self) -> None:
        self._over = True

    # None of these is in `can`, so nobody asks for it.
    def clear(self) -> None:
        raise NotImplementedError

    def mark(self, mark: int) -> None:
        raise NotImplementedError

    async def transfer(self, target: str) -> None:
        raise NotImplementedError

    async def send_dtmf(self, digits: str) -> None:
        raise NotImplementedError


async def main(config: str, caller: str, conversation: str) -> None:
    async with voicepipe.open_pipeline_set(config) as pipelines:
        with pipelines.pin() as snapshot:
            transport = WavTransport(caller)
            async with voicepipe.open_call(snapshot.choose(transport.info), transport, observer=print) as call:
                await call.run()
    with wave.open(conversation, "wb") as file:
        file.setparams((1, 2, transport.audio.rate, 0, "NONE", ""))
        file.writeframes(transport.agent)


if __name__ == "__main__":
    trio.run(main, sys.argv[1], sys.argv[2], sys.argv[3])
