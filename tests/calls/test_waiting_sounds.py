"""Sounds beside speech: when a caller who waits hears them, on a transport that is paced and on one that buffers."""

import struct
import wave
from pathlib import Path

import numpy as np
import pytest
import trio

from voicepipe.audio import AudioFormat, Sound, from_pcm16
from voicepipe.calls.events import SpeechDetected
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import ToolCall, ToolResults, Utterance
from voicepipe.components.values import File
from voicepipe.config.recording_settings import RecordingSettings
from voicepipe.config.sound_settings import HoldSettings, RingbackSettings
from voicepipe.config.wav import sound_of
from voicepipe.pipelines.sounds import Sounds, comfort_noise, ring
from voicepipe.testing import (
    BufferingTransport,
    MemoryTransport,
    RehearsedCall,
    ScriptedLanguageModel,
    ScriptedSpeechToText,
    ToneTextToSpeech,
    voice,
)
from voicepipe.tools.functions import FunctionTool

MUSIC = Sound("music", b"\5\0" * 8000 * 3, AudioFormat(8000))
TRANSPORTS = pytest.mark.parametrize("transport", [MemoryTransport, BufferingTransport])


def hold(after_ms):
    """Settings of a hold sound; the sound itself is given by the test."""
    settings = object.__new__(HoldSettings)
    object.__setattr__(settings, "after_ms", after_ms)
    object.__setattr__(settings, "file", File("/music.wav", b""))
    return settings


def stretches(transport):
    """What the caller heard: (sound, from, until), in s; neighbours of one kind are one."""
    pieces = transport.sounds if isinstance(transport, BufferingTransport) else transport.written
    heard = []
    for at, audio in pieces:
        for offset in range(0, len(audio), 320):
            sample = int.from_bytes(audio[offset : offset + 2], "little", signed=True)
            kind = {5: "music"}.get(sample, "speech" if sample >= 1000 else "ring" if sample == 0 else "noise")
            begins = at + offset / 16000
            if heard and heard[-1][0] == kind and begins - heard[-1][2] < 0.045:
                heard[-1][2] = begins + 0.02
            else:
                heard.append([kind, begins, begins + 0.02])
    return [(kind, round(begins, 2), round(ends, 2)) for kind, begins, ends in heard]


def call_with_a_tool(transport, tool_s, answer="It is done.", after_ms=500, **settings):
    """The model says "Yes." and calls a tool; `answer` follows its result."""

    async def look_up(_arguments, _context):
        await trio.sleep(tool_s)
        return "found"

    def reply(request):
        if isinstance(request.trigger, ToolResults):
            return answer
        if isinstance(request.trigger, Utterance):
            return "Well."
        return [TextDelta("Yes."), ToolCall("1", "look_up", {}), ReplyDone()]

    tool = FunctionTool("look_up", "Looks it up.", {"type": "object", "properties": {}}, look_up)
    return RehearsedCall(
        stt=ScriptedSpeechToText(["hello"]),
        llm=ScriptedLanguageModel(reply),
        tts=ToneTextToSpeech(ms_a_char=100),
        transport=transport,
        settings={
            "tools": ("look_up",),
            "functions": (tool,),
            "hold": hold(after_ms),
            "sounds": Sounds(hold=MUSIC),
            **settings,
        },
    )


async def held(call, seconds, then=None):
    async def caller():
        await call.transport.be_silent(seconds * 1000 if then is None else then[0] * 1000)
        if then is not None:
            await then[1]()
            await call.transport.be_silent((seconds - then[0]) * 1000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    return stretches(call.transport)


@TRANSPORTS
async def test_the_sound_plays_while_a_tool_runs_and_ends_with_the_first_word(autojump_clock, transport):
    call = call_with_a_tool(transport(), 4.0)
    yes, music, answer = await held(call, 8)
    assert yes == ("speech", 0.0, pytest.approx(0.4, abs=0.03))
    assert music == ("music", pytest.approx(0.9, abs=0.08), pytest.approx(4.0, abs=0.05))
    assert answer == ("speech", pytest.approx(4.0, abs=0.05), pytest.approx(5.1, abs=0.08))
    assert [turn.said for turn in call.turns] == ["Yes.", "It is done."]
    assert not any(turn.interrupted for turn in call.turns)


@TRANSPORTS
async def test_a_tool_that_is_quick_is_not_heard(autojump_clock, transport):
    call = call_with_a_tool(transport(), 0.7)
    assert [kind for kind, _, _ in await held(call, 4)] == ["speech", "speech"]


@TRANSPORTS
async def test_it_goes_on_after_a_filler(autojump_clock, transport):
    call = call_with_a_tool(transport(), 5.0)
    (tool,) = call.settings["functions"]
    call.settings["functions"] = (
        FunctionTool(tool.name, tool.description, tool.parameters, tool.function, filler="Wait.", filler_after_ms=1500),
    )
    heard = await held(call, 9)
    assert [kind for kind, _, _ in heard] == ["speech", "music", "speech", "music", "speech"]
    assert heard[2][1] == pytest.approx(1.9, abs=0.05)


@TRANSPORTS
async def test_it_ends_if_no_words_follow(autojump_clock, transport):
    call = call_with_a_tool(transport(), 2.0, answer="")
    heard = await held(call, 20)
    assert heard[1][0] == "music"
    assert heard[1][2] == pytest.approx(2.0, abs=0.1)


@TRANSPORTS
async def test_a_caller_who_speaks_over_it_interrupts_no_reply(autojump_clock, transport):
    call = call_with_a_tool(transport(), 6.0)

    async def speak():
        await call.transport.say(600)

    await held(call, 9, then=(2.0, speak))
    assert [event.interrupts for event in call.told(SpeechDetected)] == [False]
    assert [turn.said for turn in call.turns][:2] == ["Yes.", "Well."]
    assert not any(turn.interrupted for turn in call.turns)


@TRANSPORTS
async def test_the_line_rings_until_the_first_word(autojump_clock, transport):
    call = RehearsedCall(
        llm=ScriptedLanguageModel(lambda _request: [3.0, TextDelta("Good morning."), ReplyDone()]),
        tts=ToneTextToSpeech(ms_a_char=100),
        transport=transport(),
        settings={"ringback": RingbackSettings(), "sounds": Sounds(ringback=MUSIC)},
    )
    heard = await held(call, 6)
    assert heard[0] == ("music", pytest.approx(0.5, abs=0.03), pytest.approx(3.0, abs=0.05))
    assert [kind for kind, _, _ in heard] == ["music", "speech"]
    assert call.turns[0].said == "Good morning."
    assert call.turns[0].response_ms is None


@TRANSPORTS
async def test_a_greeting_that_is_ready_is_not_rung_for_and_a_tone_has_an_end(autojump_clock, transport):
    settings = {"ringback": RingbackSettings(most_s=2.0), "sounds": Sounds(ringback=MUSIC)}
    call = RehearsedCall(transport=transport(), settings={**settings, "greeting": "Hello."})
    assert [kind for kind, _, _ in await held(call, 4)] == ["speech"]
    late = RehearsedCall(
        llm=ScriptedLanguageModel(lambda _request: [3.9, TextDelta("Good morning."), ReplyDone()]),
        transport=transport(),
        settings=settings,
    )
    heard = await held(late, 6)
    assert heard[0][2] - heard[0][1] == pytest.approx(2.0, abs=0.35)


@TRANSPORTS
async def test_noise_fills_the_silence_between_words(autojump_clock, transport):
    noise = Sound("noise", b"\x07\0" * 8000, AudioFormat(8000), echoes=False)
    call = RehearsedCall(
        tts=ToneTextToSpeech(ms_a_char=100),
        transport=transport(),
        settings={"greeting": "Hello.", "sounds": Sounds(noise=noise)},
    )
    heard = await held(call, 3)
    assert [kind for kind, _, _ in heard] in (["speech", "noise"], ["noise", "speech", "noise"])
    assert heard[-1] == ("noise", pytest.approx(0.6, abs=0.05), pytest.approx(3.0, abs=0.35))
    assert call.turns[0].said == "Hello."


async def test_the_sound_is_in_the_recording(autojump_clock, tmp_path, threads_take_no_time):
    for transport in (MemoryTransport(), BufferingTransport()):
        directory = tmp_path / transport.pacing
        call = call_with_a_tool(transport, 3.0, recording=RecordingSettings(str(directory)))
        await held(call, 6)
        (path,) = directory.iterdir()
        with wave.open(str(path)) as file:
            agent = np.frombuffer(file.readframes(file.getnframes()), "<i2")[1::2]
        music = np.flatnonzero(agent == 5) / 8000
        assert (music[0], music[-1]) == pytest.approx((0.9, 3.0), abs=0.2)


@pytest.mark.parametrize("pacing", ["ours", "theirs"])
async def test_nothing_plays_on_after_the_call(autojump_clock, pacing):
    transport = MemoryTransport() if pacing == "ours" else BufferingTransport()
    noise = Sound("noise", b"\x07\0" * 8000, AudioFormat(8000), echoes=False)
    call = call_with_a_tool(transport, 30.0, sounds=Sounds(hold=MUSIC, noise=noise))
    await held(call, 3)
    written = len(transport.written)
    await trio.sleep(5)
    assert len(transport.written) == written
    assert max(when for when, _ in transport.written) <= 3.2


@pytest.mark.parametrize("audio", [AudioFormat(8000, "mulaw"), AudioFormat(16000), AudioFormat(24000)])
@pytest.mark.parametrize("sound", [ring(), comfort_noise(-60), MUSIC], ids=["ring", "noise", "music"])
def test_a_sound_is_whole_frames_of_any_format_and_made_once(sound, audio):
    samples = sound.in_format(audio)
    assert len(samples) % audio.bytes_in(20) == 0
    assert audio.ms_in(len(samples)) == pytest.approx(AudioFormat(8000).ms_in(len(sound.audio)), abs=40)
    assert sound.in_format(audio) is samples


@pytest.mark.parametrize("dbov", [-90, -65, -30])
def test_noise_has_its_level(dbov):
    samples = np.frombuffer(comfort_noise(dbov).audio, "<i2").astype(float)
    assert np.sqrt(np.mean(samples**2)) == pytest.approx(32767 * 10 ** (dbov / 20), rel=0.25)


def test_a_ringing_tone_is_a_second_of_425_hz_and_four_of_silence():
    samples = np.frombuffer(ring().audio, "<i2").astype(float)
    assert len(samples) == 5 * 8000
    assert not samples[8000:].any()
    assert np.argmax(np.abs(np.fft.rfft(samples[:8000]))) == 425
    assert np.sqrt(np.mean(samples[:8000] ** 2)) == pytest.approx(3277, rel=0.02)


@pytest.mark.parametrize("encoding", ["pcm16", "alaw", "mulaw"])
def test_a_file_may_have_any_encoding_of_telephones(encoding):
    audio = AudioFormat(8000, encoding)
    codec, bits = {"pcm16": (1, 16), "alaw": (6, 8), "mulaw": (7, 8)}[encoding]
    samples = from_pcm16(voice(8000, 500), encoding)
    header = struct.pack("<4sIHHIIHH", b"fmt ", 16, codec, 1, 8000, 8000 * bits // 8, bits // 8, bits)
    content = b"RIFF" + bytes(4) + b"WAVE" + header + struct.pack("<4sI", b"data", len(samples)) + samples
    sound = sound_of(File(Path("/a.wav"), content))
    assert (sound.format, sound.audio) == (audio, samples)
    assert len(sound.in_format(AudioFormat(16000))) == 16000
