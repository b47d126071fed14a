"""C06: the caller's audio is read from the first frame, while providers connect; and nobody waits for anybody."""

from contextlib import asynccontextmanager

import pytest
import trio

from voicepipe.calls.events import ReplyStarted
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.transport import voice


class SlowSpeechToText(ScriptedSpeechToText):
    """A recogniser that takes its time to connect."""

    connects_s = 0.9

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        await trio.sleep(self.connects_s)
        async with super().open_stream(stream_input, listen) as stream:
            yield stream


class SlowTextToSpeech(ToneTextToSpeech):
    """A synthesiser likewise."""

    @asynccontextmanager
    async def open_stream(self, output, language):
        await trio.sleep(0.9)
        async with super().open_stream(output, language) as stream:
            yield stream


async def speak_at_once(call, then_ms=3000):
    """The caller speaks from the first frame on."""
    await call.transport.say(700)
    await call.transport.be_silent(then_ms)
    await call.transport.hang_up_as_caller()


async def test_what_is_said_while_the_recogniser_connects_is_heard(autojump_clock):
    call = RehearsedCall(stt=SlowSpeechToText(["I want an appointment"]), settings={"greeting": ""})
    await call.hold(lambda: speak_at_once(call))
    assert bytes(call.stt.heard).startswith(voice(8000, 700))
    assert ("I want an appointment", "I see.") in call.conversation


@pytest.mark.parametrize("stt", [ScriptedSpeechToText, SlowSpeechToText])
async def test_the_greeting_needs_no_recogniser(autojump_clock, stt):
    call = RehearsedCall(stt=stt(), settings={"greeting": "Good morning."})

    async def caller():
        await call.transport.be_silent(2000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.told(ReplyStarted)[0].at_s == 0
    assert call.conversation == [("", "Good morning.")]


async def test_a_recogniser_that_never_connects_does_not_keep_the_greeting_or_the_keys(autojump_clock):
    call = RehearsedCall(stt=SlowSpeechToText(), settings={"greeting": "Good morning."})
    SlowSpeechToText.connects_s, usual = 3600, SlowSpeechToText.connects_s

    async def caller():
        await call.transport.be_silent(2000)
        await call.transport.press("1")
        await call.transport.be_silent(2000)
        await call.transport.hang_up_as_caller()

    try:
        await call.hold(caller)
    finally:
        SlowSpeechToText.connects_s = usual
    assert call.conversation == [("", "Good morning."), ("1", "I see.")]


async def test_what_is_said_before_the_greeting_is_heard_too(autojump_clock):
    """The recogniser does not wait for the synthesiser either."""
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["hello"]), tts=SlowTextToSpeech(), settings={"greeting": "Good morning."}
    )
    await call.hold(lambda: speak_at_once(call))
    assert bytes(call.stt.heard).startswith(voice(8000, 700))
    assert ("hello", "I see.") in call.conversation
