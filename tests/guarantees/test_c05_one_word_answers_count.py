"""C05: a one-word answer is an answer, whenever it comes."""

import wave
from pathlib import Path

import pytest

from voicepipe.config.call_settings import BargeInSettings, TurnsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText

QUESTION = "Would you like to book an appointment now?"  # 2.5 s


def yes():
    """Somebody says "yes": about 240 ms of speech."""
    path = Path(__file__).parents[1] / "data" / "speech" / "yes-8k.wav"
    with wave.open(str(path)) as file:
        return file.readframes(file.getnframes())


def asked(answer_at_ms, say, barge_in):
    """A call in which a question is asked and answered with one word."""
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["yes"]),
        llm=ScriptedLanguageModel(lambda _request: "Very well."),
        settings={"greeting": QUESTION, "turns": TurnsSettings(barge_in=barge_in)},
    )

    async def caller():
        await call.transport.be_silent(answer_at_ms)
        await say(call.transport)
        await call.transport.be_silent(6000)
        await call.transport.hang_up_as_caller()

    return call, caller


BARGE_IN = [
    BargeInSettings(),
    BargeInSettings(enabled=False),
    BargeInSettings(min_words=3),
    BargeInSettings(min_speech_ms=400),
]


@pytest.mark.parametrize("barge_in", BARGE_IN, ids=["usual", "never", "by words", "late"])
@pytest.mark.parametrize("answer_at_ms", [0, 1000, 2000, 2140, 2200, 2300, 2400, 2600, 3500])
async def test_a_real_yes(autojump_clock, answer_at_ms, barge_in):
    """After the question, or into it: if it may not interrupt, it is answered when the question has been asked."""
    call, caller = asked(answer_at_ms, lambda transport: transport.send(yes()), barge_in)
    await call.hold(caller)
    assert call.conversation[1] == ("yes", "Very well.")
    assert len(call.llm.requests) == 1
    if barge_in != BargeInSettings():
        assert call.conversation[0] == ("", QUESTION)


@pytest.mark.parametrize("ms", [80, 120, 200])
async def test_the_shortest_of_words(autojump_clock, ms):
    """Too short to interrupt anything, long enough to be heard."""
    call, caller = asked(3000, lambda transport: transport.say(ms), BargeInSettings())
    await call.hold(caller)
    assert call.conversation[1] == ("yes", "Very well.")


async def test_a_noise_without_words_is_no_answer(autojump_clock):
    call, caller = asked(3000, lambda transport: transport.say(200), BargeInSettings())
    call.stt = ScriptedSpeechToText()
    await call.hold(caller)
    assert call.llm.requests == []
    assert call.conversation == [("", QUESTION)]
