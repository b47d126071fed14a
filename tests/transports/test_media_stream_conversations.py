"""Conversations over media streams on the virtual clock: carriers buffer, report marks, and drop at a clear."""

from __future__ import annotations

import pytest
import trio
from media_streams import CARRIERS, wire

from voicepipe.audio import from_pcm16, to_pcm16
from voicepipe.calls.events import TurnEnded
from voicepipe.config.call_settings import TurnsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.transport import voice
from voicepipe.transports.media_stream.dialects import DIALECTS
from voicepipe.transports.media_stream.transport import MediaStreamTransport

GREETING = "This is a greeting that goes on for quite a while, as they do."
MS_A_CHAR = 40


class CarrierSocket:
    """A `CallSocket` to a carrier that plays what it gets in real time."""

    def __init__(self, stream, audio, nursery):
        self.stream, self.audio = stream, audio
        self.heard, self.clears, self.closed = b"", 0, trio.Event()
        self.transport = None
        self._queue, self._changed = b"", trio.Event()
        self._marks = []  # (how much must have been played, name)
        self._taken = 0
        nursery.start_soon(self._play)

    def send_nowait(self, message):
        kind, content = self.stream.heard(message)
        if kind == "audio":
            self._queue += content
            self._taken += len(content)
        elif kind == "mark":
            self._marks.append((self._taken, content))
        elif kind == "clear":
            self.clears += 1
            self._taken -= len(self._queue)
            self._queue = b""
        self._changed.set()
        return True

    async def wait_writable(self):
        await trio.lowlevel.checkpoint()

    async def close(self, code=1000, reason=""):
        await trio.lowlevel.checkpoint()
        self.closed.set()

    async def _play(self):
        frame = self.audio.bytes_in(20)
        while True:
            while self._marks and self._marks[0][0] <= len(self.heard):  # those of what was cleared are due as well
                self.transport.take_message(wire(self.stream.mark(self._marks.pop(0)[1])))
            if not self._queue:
                self._marks = [(min(due, len(self.heard)), name) for due, name in self._marks]
                if not self._marks:
                    self._changed = trio.Event()
                    await self._changed.wait()
                continue
            played, self._queue = self._queue[:frame], self._queue[frame:]
            await trio.sleep(0.02)
            self.heard += played

    def speech(self):
        """What was played, linear."""
        return to_pcm16(self.heard, self.audio.encoding)

    async def say(self, audio):
        """The caller's linear audio, in real time."""
        frame = self.audio.bytes_in(20)
        encoded = from_pcm16(audio, self.audio.encoding)
        for at in range(0, len(encoded), frame):
            self.transport.take_message(wire(self.stream.media(encoded[at : at + frame])))
            await trio.sleep(0.02)


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("after_s", [0.6, 1.5])
async def test_a_caller_who_interrupts_hears_no_more(carrier, after_s, autojump_clock, nursery):
    stream = carrier()
    dialect = DIALECTS[stream.name]
    audio = dialect.audio[0]
    socket = CarrierSocket(stream, audio, nursery)
    socket.transport = transport = MediaStreamTransport(socket, dialect, audio, listener="carrier")
    for message in stream.opening():
        transport.take_message(wire(message))
    assert await transport.answer()
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["Stop."]),
        llm=ScriptedLanguageModel(lambda _request: "Well."),
        tts=ToneTextToSpeech(ms_a_char=MS_A_CHAR),
        transport=transport,
        settings={"greeting": GREETING, "turns": TurnsSettings(echo_guard=False)},
    )
    heard_s = 0.0

    async def caller():
        nonlocal heard_s
        silence = bytes(int(audio.rate * after_s) * 2)
        await socket.say(silence)
        await socket.say(voice(audio.rate, 600))
        heard_s = len(socket.speech()) / 2 / audio.rate
        assert socket.clears == 1
        await socket.say(bytes(audio.rate * 2 * 3))
        if (stop := stream.stop()) is not None:
            transport.take_message(wire(stop))
        else:
            transport.closed("closed with 1000")

    ended = await call.hold(caller)
    assert ended.outcome == "caller_hung_up"
    greeting, reply = [event for event in call.events if isinstance(event, TurnEnded)]
    assert greeting.interrupted
    said_s = len(greeting.said) * MS_A_CHAR / 1000
    # The caller heard the greeting until some tenths of a second after the first word, and the words end there too.
    assert after_s < heard_s < after_s + 0.5
    assert said_s == pytest.approx(heard_s, abs=0.35)  # the words end where a word ends
    assert GREETING.startswith(greeting.said.rstrip(" .…-"))
    assert (reply.heard, reply.said) == ("Stop.", "Well.")
    assert socket.closed.is_set() or transport._delivery.is_over
