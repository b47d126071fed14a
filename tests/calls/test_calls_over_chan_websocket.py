"""Whole calls over Asterisk's chan_websocket, played by the model that answers as a real Asterisk did."""

from __future__ import annotations

import pytest
import trio
from timed_words import LENGTH_MS, MS_A_CHAR, REPLY, words_within

from tests.transports.asterisk_peer import open_asterisk
from voicepipe.audio import from_pcm16
from voicepipe.config.call_settings import BargeInSettings, KeyAction, LimitsSettings, TurnsSettings
from voicepipe.testing import (
    RehearsedCall,
    ScriptedLanguageModel,
    ScriptedSpeechToText,
    ToneTextToSpeech,
    voice,
)

MOST_MS = 20
"""The most by which what was heard and what the conversation says may differ, without the way there and back: T02."""


def said(asterisk, ms):
    audio = asterisk.transport.audio
    return from_pcm16(voice(audio.rate, ms), audio.encoding)


def silence(asterisk, ms):
    audio = asterisk.transport.audio
    return audio.silence * int(audio.rate * ms / 1000)


def call_of(asterisk, *words, **settings):
    return RehearsedCall(
        stt=ScriptedSpeechToText(words),
        llm=ScriptedLanguageModel(lambda _request: REPLY),
        tts=ToneTextToSpeech(ms_a_char=MS_A_CHAR),
        transport=asterisk.transport,
        settings={"turns": TurnsSettings(barge_in=BargeInSettings(min_speech_ms=20, resume_ms=0)), **settings},
    )


@pytest.mark.parametrize(
    ("format_name", "latency_s", "as_json"),
    [("slin", 0.0, True), ("slin", 0.06, False), ("slin16", 0.02, True), ("ulaw", 0.005, True)],
)
async def test_what_was_heard_before_an_interruption_is_what_the_conversation_says(
    autojump_clock, format_name, latency_s, as_json
):
    for offset_ms in range(100, LENGTH_MS + 300, 613):
        async with open_asterisk(format_name, latency_s=latency_s, as_json=as_json) as asterisk:
            call = call_of(asterisk, "wait")

            async def caller(asterisk=asterisk, offset_ms=offset_ms):
                await asterisk.say(silence(asterisk, offset_ms))
                await asterisk.say(said(asterisk, 100))
                await asterisk.say(silence(asterisk, 300))
                asterisk.network.break_off()

            await call.hold(caller)
            heard_ms = 20 * len(asterisk.heard)
            # Asterisk plays on until the FLUSH_MEDIA has come, its mark is on its way as long, and either may wait for
            # a tick of its clock.
            least_ms = -MOST_MS - round(2000 * latency_s) - 20 * bool(latency_s)
            near = {words_within(heard_ms + by_ms) for by_ms in range(least_ms, MOST_MS + 1, 5)}
            assert call.turns[0].said in near, (offset_ms, heard_ms)
            assert asterisk.chan.dropped_bytes == 0
            assert asterisk.chan.ignored == []
            if offset_ms < LENGTH_MS - 500:
                assert asterisk.chan.flushed_frames


GOODBYE = "Thank you for calling, and goodbye."


@pytest.mark.parametrize("latency_s", [0.0, 0.3])
async def test_a_goodbye_is_heard_whole_before_the_hang_up(autojump_clock, latency_s):
    async with open_asterisk(latency_s=latency_s) as asterisk:
        call = call_of(asterisk, keys={"9": KeyAction(hang_up=True)}, limits=LimitsSettings(goodbye=GOODBYE))

        async def caller():
            await asterisk.say(silence(asterisk, 500))
            asterisk.network.bring_soon(asterisk.chan.digit("9"))
            await asterisk.say(silence(asterisk, 20_000))

        ended = await call.hold(caller)
        assert ended.outcome == "agent_hung_up"
        await asterisk.transport.hang_up()
        assert asterisk.chan.closed == 1000
        sent = len(asterisk.audio) // asterisk.chan.frame_bytes
        assert len(asterisk.heard) + asterisk.chan.flushed_frames == sent
        goodbye = [at for at, _ in asterisk.heard[-len(GOODBYE) * MS_A_CHAR // 20 :]]
        assert goodbye[-1] - goodbye[0] == pytest.approx(len(GOODBYE) * MS_A_CHAR / 1000 - 0.02)
        hung_up_at, last = asterisk.network.sent[-1]
        assert last == '{"command":"HANGUP"}'
        assert hung_up_at > goodbye[-1] + latency_s


async def test_keys_interrupt_and_are_answered(autojump_clock):
    async with open_asterisk("ulaw") as asterisk:
        call = call_of(asterisk, greeting="Hello, and welcome to all of you.", turns=TurnsSettings())

        async def caller():
            await asterisk.say(silence(asterisk, 400))
            await trio.sleep(0.3)  # no audio while the key is pressed
            asterisk.network.bring_soon(asterisk.chan.digit("5"))
            await asterisk.say(silence(asterisk, 9000))
            asterisk.network.break_off()

        await call.hold(caller)
        assert [turn.heard for turn in call.turns] == ["", "5"]
        assert call.turns[0].interrupted
        assert call.turns[1].said == REPLY


@pytest.mark.parametrize("at_s", [0.0, 0.3, 1.0])
async def test_a_connection_that_dies_ends_the_call(autojump_clock, at_s):
    async with open_asterisk() as asterisk:
        call = call_of(asterisk, greeting=REPLY)

        async def caller():
            await trio.sleep(at_s)
            asterisk.network.break_off("the connection was reset")

        began = trio.current_time()
        ended = await call.hold(caller)
        assert ended.outcome == "caller_hung_up"
        assert trio.current_time() - began < at_s + 2


async def test_what_asterisk_does_not_play_yet_is_heard_later(autojump_clock):
    """A channel that is not bridged yet: the reply waits, and all of it is heard."""
    async with open_asterisk() as asterisk:
        call = call_of(asterisk, greeting=REPLY, limits=LimitsSettings(idle_prompt_s=600))
        asterisk.chan.paused = True

        async def caller():
            await trio.sleep(2)
            assert asterisk.heard == []
            asterisk.chan.paused = False
            await trio.sleep(4)
            asterisk.network.break_off()

        await call.hold(caller)
        assert 20 * len(asterisk.heard) == len(REPLY) * MS_A_CHAR
