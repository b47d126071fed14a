"""A call that learns its format from the caller's first audio, after it has begun to speak: both ways, whole calls."""

from __future__ import annotations

import math
import wave
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from voicepipe.audio import FRAME_MS, AudioFormat, to_pcm16
from voicepipe.calls.events import ComponentFailed, FailedOver
from voicepipe.components.events import SpeechAudio
from voicepipe.config.settings import RecordingSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedSpeechToText
from voicepipe.testing.transport import MemoryTransport, voice

NARROW, WIDE = AudioFormat(8000), AudioFormat(16000)
HERTZ = 440


class Whistle:
    """A voice that whistles 60 ms a character at 440 Hz, at its own rate or the call's."""

    def __init__(self, rate=None):
        self.rate, self.asked_for = rate, []

    def output_for(self, call):
        self.asked_for.append(call)
        return AudioFormat(self.rate or call.rate)

    @asynccontextmanager
    async def open_stream(self, output, language):
        yield Whistling(output)


class Whistling:
    def __init__(self, output):
        self.output, self.samples = output, 0
        self.put, self.get = trio.open_memory_channel(math.inf)

    async def send(self, text, segment):
        for _ in text:
            times = np.arange(self.samples, self.samples + self.output.bytes_in(60) // 2) / self.output.rate
            self.samples += len(times)
            tone = (9000 * np.sin(2 * np.pi * HERTZ * times)).astype("<i2")
            await self.put.send(SpeechAudio(tone.tobytes(), segment))

    async def finish(self):
        await self.put.send(None)

    async def receive(self):
        return await self.get.receive()


def pitch(audio, rate):
    """By zero crossings, in Hz, of the part that is not silent."""
    samples = np.trim_zeros(np.frombuffer(audio, "<i2").astype(int))
    return np.count_nonzero(np.diff(np.signbit(samples))) / 2 / (len(samples) / rate)


def rates(transport):
    """Of the frames that were written, in order, each with the moment of its first."""
    found = []
    for when, frame in transport.written:
        rate = len(frame) // 2 * 1000 // FRAME_MS
        if not found or found[-1][1] != rate:
            found.append((when, rate))
    return found


def said_at(transport, rate):
    return b"".join(frame for _, frame in transport.written if len(frame) == AudioFormat(rate).bytes_in(FRAME_MS))


async def held(late, *, after_ms=900, tts=None, stt=None, early=NARROW, **settings):
    stt = stt or ScriptedSpeechToText(["two tickets"])
    call = RehearsedCall(
        stt=stt,
        tts=tts or Whistle(),
        transport=MemoryTransport(early),
        settings={"greeting": "Good morning, this is a greeting.", **settings},
    )

    async def caller():
        await trio.sleep(after_ms / 1000)
        await call.transport.turn_out_as(late)
        await call.transport.be_silent(2000)
        await call.transport.say(500)
        await call.transport.be_silent(2000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    return call, ended


@pytest.mark.parametrize("late", [WIDE, AudioFormat(44100), AudioFormat(12000)], ids=str)
@pytest.mark.parametrize("rate", [None, 22050])
async def test_what_is_spoken_goes_out_in_the_format_that_came(autojump_clock, late, rate):
    tts = Whistle(rate)
    call, ended = await held(late, tts=tts)
    assert ended.outcome == "caller_hung_up"
    assert call.conversation == [("", "Good morning, this is a greeting."), ("two tickets", "I see.")]
    transport = call.transport
    (_, first), (turned_at, second) = rates(transport)
    assert (first, second) == (8000, late.rate)
    greeting = [when for when, _ in transport.written if when < 2.5]
    assert all(gap < 0.026 for gap in np.diff(greeting)), "no pause where it turns"
    assert turned_at == pytest.approx(0.9, abs=0.026)
    assert pitch(said_at(transport, 8000), 8000) == pytest.approx(HERTZ, abs=8)
    wide = said_at(transport, late.rate)
    split = len(wide) - late.bytes_in(360)  # the reply, six characters of 60 ms
    assert pitch(wide[:split], late.rate) == pytest.approx(HERTZ, abs=8)
    assert pitch(wide[split:], late.rate) == pytest.approx(HERTZ, abs=8)
    assert tts.asked_for == [NARROW, late], "the reply is made for it"


@pytest.mark.parametrize("late", [WIDE, AudioFormat(24000), AudioFormat(8000, "mulaw")], ids=str)
async def test_the_caller_is_heard_in_it_from_the_first_sample(autojump_clock, late):
    stt = ScriptedSpeechToText(["two tickets"])
    call, _ = await held(late, stt=stt)
    spoken = to_pcm16(bytes(stt.heard), late.encoding)
    assert voice(late.rate, 500)[:-640] in spoken or late.encoding == "mulaw"
    assert len(stt.heard) >= late.bytes_in(1000)
    assert len(stt.listened_for) == 2, "opened anew"
    assert not call.told(ComponentFailed)
    assert not call.told(FailedOver)
    assert call.turns[-1].heard == "two tickets"


async def test_a_format_that_is_as_was_thought_changes_nothing(autojump_clock):
    call, _ = await held(NARROW)
    assert [rate for _, rate in rates(call.transport)] == [8000]
    assert call.turns[-1].heard == "two tickets"


class SlowToOpen(ScriptedSpeechToText):
    """Takes a second to open."""

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        self.inputs = [*getattr(self, "inputs", []), stream_input.format]
        await trio.sleep(1.0)
        async with super().open_stream(stream_input, listen) as stream:
            yield stream


@pytest.mark.parametrize("after_ms", [0, 500, 1500])
async def test_a_recogniser_that_is_still_being_opened_is_opened_for_it(autojump_clock, after_ms):
    stt = SlowToOpen(["two tickets"])
    call, _ = await held(WIDE, stt=stt, after_ms=after_ms)
    assert stt.inputs == [NARROW, WIDE]
    assert not call.told(ComponentFailed)
    assert call.turns[-1].heard == "two tickets"


async def test_a_frame_that_waits_for_the_transport_turns_too(autojump_clock):
    call = RehearsedCall(tts=Whistle(), settings={"greeting": "Good morning, this is a greeting."})

    async def caller():
        await trio.sleep(0.51)
        call.transport.block()
        await trio.sleep(0.2)
        await call.transport.turn_out_as(WIDE)
        await trio.sleep(0.1)
        call.transport.unblock()
        await trio.sleep(5)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    (_, first), (when, second) = rates(call.transport)
    assert (first, second, when) == (8000, 16000, pytest.approx(0.81, abs=0.01))
    spoken_ms = NARROW.ms_in(len(said_at(call.transport, 8000))) + WIDE.ms_in(len(said_at(call.transport, 16000)))
    assert spoken_ms == 60 * len("Good morning, this is a greeting.")
    assert call.conversation == [("", "Good morning, this is a greeting.")]


async def test_a_caller_may_interrupt_the_greeting_with_the_first_audio(autojump_clock):
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["stop"]), tts=Whistle(), settings={"greeting": "Good morning, " * 10 + "welcome."}
    )

    async def caller():
        await trio.sleep(0.9)
        await call.transport.turn_out_as(WIDE)
        await call.transport.say(500)
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    greeting, reply = call.turns
    assert greeting.interrupted
    assert len(greeting.said) < 40
    assert (reply.heard, reply.said) == ("stop", "I see.")


async def test_the_format_can_not_change_once_audio_has_come(autojump_clock):
    call = RehearsedCall(tts=Whistle(), settings={"greeting": "Good morning."})

    async def caller():
        await call.transport.be_silent(100)
        await call.transport.turn_out_as(WIDE)
        await call.transport.be_silent(100)

    ended = await call.hold(caller)
    assert ended.outcome == "failed"
    assert ended.detail == "the transport changed from pcm16 at 8000 Hz to pcm16 at 16000 Hz in mid-call"


@pytest.fixture
def _files_are_written_at_once(monkeypatch):
    async def run_sync(function, *arguments, **_options):
        await trio.lowlevel.checkpoint()
        return function(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)


@pytest.mark.parametrize(("after_ms", "rate"), [(900, 16000), (6000, 8000)], ids=["early", "when some is in the file"])
@pytest.mark.usefixtures("_files_are_written_at_once")
async def test_a_recording_has_one_rate_and_the_right_pitch(autojump_clock, tmp_path, after_ms, rate):
    greeting = "Good morning. " * 8
    await held(WIDE, after_ms=after_ms, greeting=greeting, recording=RecordingSettings(str(tmp_path / "recordings")))
    (path,) = (tmp_path / "recordings").iterdir()
    with wave.open(str(path)) as file:
        assert file.getframerate() == rate
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    caller, agent = both[:, 0], both[:, 1]
    spoken = np.flatnonzero(np.abs(caller) > 1000)
    assert spoken[0] / rate == pytest.approx(after_ms / 1000 + 2.0, abs=0.05)
    assert (spoken[-1] - spoken[0]) / rate == pytest.approx(0.5, abs=0.05)
    for start, end in (0.1, after_ms / 1000 - 0.1), (after_ms / 1000 + 0.1, after_ms / 1000 + 0.6):
        part = agent[int(start * rate) : int(end * rate)]
        assert pitch(part.tobytes(), rate) == pytest.approx(HERTZ, abs=8)
    assert len(both) / rate == pytest.approx(after_ms / 1000 + 4.5, abs=0.1)
