"""What counts as the caller's words, by whole calls in memory: noises, backchannels, phrases that end the call."""

from contextlib import asynccontextmanager

import pytest

from voicepipe.calls.events import ReplyResumed, Transcribed
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import Listen
from voicepipe.config.call_settings import BargeInSettings, LimitsSettings, TurnsSettings
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText

LONG = "This is the first sentence of a reply. Here is a second one. And a third one ends it at last."


def reply(request):
    return LONG if len(request.messages) < 3 else "All right."


class WithoutPartials(ScriptedSpeechToText):
    """Says nothing before it is asked."""

    @asynccontextmanager
    async def open_stream(self, stream_input, listen):
        async with super().open_stream(stream_input, listen) as stream:
            yield _Finals(stream)


class _Finals:
    def __init__(self, stream):
        self._stream = stream
        self.send, self.end_utterance, self.listen_for = stream.send, stream.end_utterance, stream.listen_for

    async def receive(self):
        while not (event := await self._stream.receive()).final:
            pass
        return event


RECOGNISERS = pytest.mark.parametrize("stt", [ScriptedSpeechToText, WithoutPartials])


async def talk(*words, stt=WithoutPartials, answer=reply, **turns):
    """A call whose caller asks something, and says the rest of `words` over the reply or into the silence after it."""
    call = RehearsedCall(
        stt=stt(["what are your hours", *words]),
        llm=ScriptedLanguageModel(answer),
        settings={
            "greeting": "Hello.",
            "turns": TurnsSettings(echo_guard=False, **turns),
            "limits": LimitsSettings(idle_prompt_s=100),
        },
    )

    async def caller():
        await call.transport.be_silent(1500)
        await call.transport.say(700)
        await call.transport.be_silent(2500)
        for _ in words:
            await call.transport.say(400)
            await call.transport.be_silent(6000)
        await call.transport.hang_up_as_caller()

    ended = await call.hold(caller)
    return call, ended


@RECOGNISERS
@pytest.mark.parametrize("noise", ["[BLANK_AUDIO]", "(coughs)", ".", "♪", "Thanks for watching!"])
@pytest.mark.parametrize("min_words", [0, 1])
async def test_a_noise_over_a_reply_interrupts_nothing(autojump_clock, stt, noise, min_words):
    call, _ = await talk(noise, stt=stt, barge_in=BargeInSettings(min_words=min_words))
    asked, answered = call.conversation[1]
    assert (asked, answered) == ("what are your hours", LONG)
    assert not any(turn.interrupted for turn in call.turns)
    assert len(call.llm.requests) == 1


@pytest.mark.parametrize("noise", ["[Musik]", "(rires)", "...", "Untertitel der Amara.org-Community"])
async def test_a_noise_into_the_silence_is_no_turn(autojump_clock, noise):
    call, _ = await talk("yes", noise)
    assert [request.trigger.text for request in call.llm.requests] == ["what are your hours", "yes"]
    assert noise not in [told.text for told in call.told(Transcribed)]


async def test_labels_are_cut_out_of_words(autojump_clock):
    call, _ = await talk("okay", "[noise] Monday (coughs), please.")
    assert call.llm.requests[-1].trigger.text == "Monday, please."


@RECOGNISERS
@pytest.mark.parametrize("words", ["Yeah, yeah.", "Okay, got it.", "mhm, mhm, mhm", "oui, d’accord", "हाँ, ठीक है"])  # noqa: RUF001
async def test_a_backchannel_said_twice_is_one(autojump_clock, stt, words):
    call, _ = await talk(words, stt=stt)
    assert not any(turn.interrupted for turn in call.turns)
    assert len(call.told(ReplyResumed)) == 1
    assert len(call.llm.requests) == 1


@RECOGNISERS
@pytest.mark.parametrize("words", ["Yeah, no.", "No, no.", "stop, stop", "oui, mais", "हाँ, रुको"])
async def test_another_word_beside_it_interrupts(autojump_clock, stt, words):
    call, _ = await talk(words, stt=stt)
    assert call.turns[1].interrupted
    assert call.llm.requests[-1].trigger.text == words


@pytest.mark.parametrize(
    ("phrase", "said", "over"),
    [
        ("हो गया", "हो गया।", True),
        ("हो गया", "हाँ गया", False),
        ("ไม่", "ไม้", False),
        ("ไม่ เอา", "ไม่เอา", True),
        ("au revoir, c'est tout", "Au revoir, c’est tout !", True),  # noqa: RUF001
        ("再见", "再 见。", True),
    ],
)
async def test_only_its_own_phrase_ends_a_call(autojump_clock, phrase, said, over):
    _, ended = await talk("okay", said, hang_up_phrases=(phrase,))
    assert (ended.outcome == "said_goodbye") == over


@pytest.mark.parametrize(
    ("words", "interrupts"), [("等一下", True), ("等", False), ("wait please", True), ("wait", False)]
)
async def test_words_are_counted_where_no_space_ends_them(autojump_clock, words, interrupts):
    call, _ = await talk(words, barge_in=BargeInSettings(min_words=2))
    assert call.turns[1].interrupted == interrupts


@RECOGNISERS
@pytest.mark.parametrize("word", ["Oui.", "Ja.", "Yes.", "हाँ।"])
async def test_yes_alone_is_an_answer_once_it_is_final(autojump_clock, word, stt):
    call, _ = await talk(word, stt=stt)
    assert call.turns[1].interrupted
    assert call.llm.requests[-1].trigger.text == word


async def test_all_that_was_expected_in_its_order_is_an_echo_of_it(autojump_clock):
    def answer(request):
        return [TextDelta(reply(request)), ReplyDone(listen=Listen(phrases=("yes", "no", "operator")))]

    call, _ = await talk("yes, no, operator", "operator", answer=answer)
    assert [request.trigger.text for request in call.llm.requests] == ["what are your hours", "operator"]
