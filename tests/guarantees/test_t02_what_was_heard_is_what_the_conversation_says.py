"""T02: what a caller heard and what the conversation says differ by at most 20 ms, or 250 ms without marks."""

import random

import pytest
import trio
from timed_words import LENGTH_MS, MS_A_CHAR, REPLY, words_within

from tests.transports.asterisk_peer import open_asterisk
from voicepipe.calls.replies.buffered_playout import BufferedPlayout
from voicepipe.clock.timers import Timers
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.config.call_settings import BargeInSettings, TurnsSettings
from voicepipe.testing import (
    BufferingTransport,
    RehearsedCall,
    ScriptedLanguageModel,
    ScriptedSpeechToText,
    ToneTextToSpeech,
    voice,
)

THINKS_S = 0.5


def call_of(transport, **barge_in):
    """A call with a reply of three sentences, which the model begins after `THINKS_S`."""
    return RehearsedCall(
        stt=ScriptedSpeechToText(["wait"]),
        llm=ScriptedLanguageModel(lambda _request: [THINKS_S, TextDelta(REPLY), ReplyDone()]),
        tts=ToneTextToSpeech(ms_a_char=MS_A_CHAR),
        transport=transport,
        settings={"turns": TurnsSettings(barge_in=BargeInSettings(min_speech_ms=20, **barge_in))},
    )


async def interrupted(transport, offset_ms):
    """What the caller heard, in ms, and the first turn of a call in which they speak at `offset_ms` of the reply."""
    call = call_of(transport, resume_ms=0)

    async def caller():
        await transport.be_silent(THINKS_S * 1000 + offset_ms)
        await transport.say(100)
        await transport.be_silent(200)
        await transport.hang_up_as_caller()

    await call.hold(caller)
    return transport.audio.ms_in(len(transport.heard)), call.turns[0]


def jittered(seed):
    """Reports that are up to 20 ms late or early."""
    draw = random.Random(seed)
    return lambda _mark: draw.uniform(-0.02, 0.02)


def unreliable(seed):
    """Reports of which a third are lost, and some are late by up to half a second, so that the next ones are first."""
    draw = random.Random(seed)
    return lambda _mark: None if draw.random() < 0.33 else draw.uniform(0.1, 0.5) * (draw.random() < 0.2)


EXACT = {
    "at once": {},
    "jitter": {"report": jittered(1)},
    "a delay": {"delay_ms": 130},
    "a long delay and jitter": {"delay_ms": 400, "report": jittered(2)},
    "a small buffer": {"room_ms": 900, "delay_ms": 60},
    "a network": {"network_ms": 150},
}

WITH_A_NETWORK = {
    "a network and a delay": {"network_ms": 80, "delay_ms": 40},
    "a network and jitter": {"network_ms": 150, "report": jittered(5)},
}
"""Two measurements, of which each has its error: what they differ by is 40 ms."""

ROUGH = {
    "no marks": {"can": frozenset({"clear"}), "delay_ms": 240},
    "unreliable marks": {"report": unreliable(3), "delay_ms": 200},
    "marks at once": {"report": lambda _mark: -10.0, "delay_ms": 200},
    "lost marks": {"report": lambda _mark: None, "delay_ms": 200},
}

DIFFERENCES = [
    (line, options, most_ms)
    for lines, most_ms in ((EXACT, 20), (WITH_A_NETWORK, 40), (ROUGH, 250))
    for line, options in lines.items()
]


@pytest.mark.parametrize(("line", "options", "most_ms"), DIFFERENCES)
async def test_the_conversation_has_what_was_heard(autojump_clock, line, options, most_ms):
    """A whole call at some offsets; each differs from the others by another part of a frame."""
    for offset_ms in range(100, LENGTH_MS + 400, 613):
        heard_ms, turn = await interrupted(BufferingTransport(**options), offset_ms)
        near = {words_within(heard_ms + by_ms) for by_ms in range(-most_ms, most_ms + 1, 10)}
        assert turn.said in near, (line, offset_ms, heard_ms)


@pytest.mark.parametrize(("line", "options", "most_ms"), DIFFERENCES)
@pytest.mark.parametrize("voice", ["fast", "dripping"])
async def test_at_every_moment_what_counts_as_heard_was_heard(autojump_clock, line, options, most_ms, voice):
    """Two replies, asked at every 9 ms: the second knows the delay of the line."""
    transport, timers = BufferingTransport(**options), Timers()
    async with trio.open_nursery() as nursery:
        playout = BufferedPlayout(transport, timers, 3000, nursery)
        nursery.start_soon(timers.run)
        nursery.start_soon(transport.run, Sink(playout))
        await trio.testing.wait_all_tasks_blocked()
        for _ in range(2):
            network_s = options.get("network_ms", 0) / 1000
            before_ms = transport.audio.ms_in(len(transport.heard))
            reply = playout.begin(lambda: None)
            await trio.sleep(THINKS_S)
            nursery.start_soon(speak, playout, reply, voice)
            over = trio.Event()
            nursery.start_soon(wait_played, playout, reply, over)
            began = trio.current_time()
            while not over.is_set():
                # What will have sounded when a `clear` of this moment arrives.
                heard = transport.heard_by(trio.current_time() + network_s)
                heard_ms = transport.audio.ms_in(len(heard)) - before_ms
                after_ms = (trio.current_time() - began) * 1000
                if line != "lost marks" or after_ms > 600:  # the first of them is waited for
                    assert abs(playout.played_ms - heard_ms) <= most_ms + 1e-3, (line, after_ms, heard_ms)
                await trio.sleep(0.009)
            await trio.sleep(0.7)
            assert transport.audio.ms_in(len(transport.heard)) - before_ms == playout.queued_ms == playout.played_ms
        nursery.cancel_scope.cancel()


async def speak(playout, reply, voice):
    """1.4 s of speech: at once, or as slowly as it sounds, with a gap in the middle."""
    for n in range(70):
        playout.add(reply, bytes(320))
        if voice == "dripping":
            await trio.sleep(0.02 if n != 40 else 0.9)
    playout.finish(reply)


async def wait_played(playout, reply, over):
    await playout.wait_played(reply)
    over.set()


class Sink:
    """The part of a call that takes marks."""

    def __init__(self, playout):
        self.heard = playout.heard


@pytest.mark.parametrize("latency_ms", [0, 30, 120])
async def test_the_conversation_has_what_an_asterisk_has_played(autojump_clock, latency_ms):
    """The transport of chan_websocket, against the model that a real Asterisk's captures are replayed through."""
    for offset_ms in range(130, LENGTH_MS + 300, 457):
        async with open_asterisk(latency_s=latency_ms / 1000) as asterisk:
            call = call_of(asterisk.transport, resume_ms=0)

            async def caller(asterisk=asterisk, offset_ms=offset_ms):
                speech = voice(8000, 100)
                silence = bytes(320)
                for at_ms in range(0, int(THINKS_S * 1000) + offset_ms + 500, 20):
                    into_ms = at_ms - int(THINKS_S * 1000) - offset_ms
                    asterisk.network.give(speech[into_ms * 16 :][:320] if 0 <= into_ms < 100 else silence)
                    await trio.sleep(0.02)
                asterisk.network.break_off()

            await call.hold(caller)
            heard_ms = len(asterisk.heard) * 20  # the last of these frames may have been cut off
        near = {words_within(heard_ms + by_ms) for by_ms in (-21, -10, 0, 10, 20)}
        assert call.turns[0].said in near, (offset_ms, heard_ms)
