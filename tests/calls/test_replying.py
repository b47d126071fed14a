"""Replying: text from the model to speech in playout, streamed, and what of it was heard."""

from contextlib import asynccontextmanager

import pytest
import trio

from voicepipe.calls.events import ComponentFailed, ReplyStarted
from voicepipe.components.events import ReplyDone, SpeechAudio, SpeechMark, TextDelta, ToolCall, Usage
from voicepipe.config.call_settings import OnFailure
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech

TEXT = "Good morning to you all. How are you?"


class Speaker(ToneTextToSpeech):
    """Says what `speech(text, segment)` makes of it."""

    speech = None

    @asynccontextmanager
    async def open_stream(self, output, language):
        async with super().open_stream(output, language) as stream:
            owner = self

            async def send(text, segment):
                await trio.lowlevel.checkpoint()
                owner.texts.append(text)
                for event in owner.speech(text, segment):
                    stream._inbox.put(event)

            stream.send = send
            yield stream


def speaking(speech):
    tts = Speaker()
    tts.speech = speech
    return tts


def one_chunk(text, segment):
    """A sentence in one piece of 100 ms a character: much more than playout holds."""
    return [SpeechAudio(b"\1\1" * 800 * len(text), segment)]


def with_marks(text, segment):
    """Marks say that everything but the first word is spoken in the last tenth."""
    audio = SpeechAudio(b"\1\1" * 800 * len(text), segment)
    first = text.index(" ")
    return [SpeechMark(segment, first, 90 * len(text)), SpeechMark(segment, len(text), 100 * len(text)), audio]


async def interrupted(tts, text, at_ms):
    """What is kept of a reply that a key interrupts."""
    call = RehearsedCall(tts=tts, llm=ScriptedLanguageModel(lambda _: text))

    async def caller():
        await call.transport.be_silent(at_ms)
        await call.transport.press("1")
        await call.transport.be_silent(100)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.turns[0].interrupted
    return call.turns[0].said


# "Good morning to you all." takes 2.4 s here, "How are you?" 1.2 s.
@pytest.mark.parametrize(
    ("at_ms", "said"),
    [
        (300, ""),
        (600, "Good"),
        (1300, "Good morning"),
        (2300, "Good morning to you"),
        (2500, "Good morning to you all."),
        (3300, "Good morning to you all. How are"),
    ],
)
async def test_speech_in_large_pieces_is_not_all_heard_at_once(autojump_clock, at_ms, said):
    assert await interrupted(speaking(one_chunk), TEXT, at_ms) == said


@pytest.mark.parametrize(("at_ms", "said"), [(1300, ""), (2250, "Good"), (2500, "Good morning to you all.")])
async def test_marks_say_what_was_heard(autojump_clock, at_ms, said):
    assert await interrupted(speaking(with_marks), TEXT, at_ms) == said


async def test_a_long_sentence_in_one_piece(autojump_clock):
    """Six seconds in one chunk, which waits for room: its length counts from the moment that it comes."""
    text = "one two three four five six seven eight nine ten eleven twelve."
    said = await interrupted(speaking(one_chunk), text, 3000)
    assert said == "one two three four five six"


async def test_each_sentence_is_spoken_while_the_model_goes_on(autojump_clock):
    call = RehearsedCall(
        llm=ScriptedLanguageModel(
            lambda _: [
                TextDelta("Good morning to you"),
                0.1,
                TextDelta(" all. How"),
                2.0,
                TextDelta(" are you?"),
                ReplyDone(),
            ]
        )
    )
    heard = []

    async def caller():
        await call.transport.be_silent(1000)
        heard.extend(call.tts.texts)
        await call.transport.be_silent(3000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert heard == ["Good morning to you all."]
    assert call.tts.texts == ["Good morning to you all.", "How are you?"]
    assert call.told(ReplyStarted)[0].at_s == pytest.approx(0.1)
    assert call.turns[0].said == TEXT
    assert not call.turns[0].interrupted


async def test_between_sentences_the_model_may_pause_and_be_interrupted(autojump_clock):
    """The first sentence was heard whole, though the synthesiser has more to come."""
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["hello"]),
        llm=ScriptedLanguageModel(lambda _: [TextDelta("One moment. "), 5.0, ReplyDone()]),
    )

    async def caller():
        await call.transport.be_silent(1500)
        await call.transport.say(600)
        await call.transport.be_silent(1000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert call.turns[0].said == "One moment."


async def test_usage_and_tools_are_not_spoken(autojump_clock):
    call = RehearsedCall(
        llm=ScriptedLanguageModel(
            lambda _: [Usage(1, 2), TextDelta("Bye."), ToolCall("1", "hang_up"), Usage(3, 4), ReplyDone()]
        )
    )
    ended = await call.hold()
    assert ended.outcome == "agent_hung_up"
    assert call.tts.texts == ["Bye."]


async def test_speech_for_text_that_was_never_sent_is_a_failure_of_the_synthesiser(autojump_clock):
    tts = speaking(lambda _text, _segment: [SpeechAudio(b"\1\1" * 800, 7)])
    call = RehearsedCall(tts=tts, settings={"on_failure": OnFailure(retries=0)})
    ended = await call.hold()
    assert ended.outcome == "returned_to_dialplan"
    assert [failed.role for failed in call.told(ComponentFailed)] == ["tts", "tts"]


async def test_speech_at_another_rate_keeps_its_length(autojump_clock):
    call = RehearsedCall(tts=ToneTextToSpeech(rate=22050), settings={"greeting": TEXT})

    async def caller():
        await call.transport.be_silent(5000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    spoken_ms = (len(TEXT)) * 60
    assert len(call.transport.written) * 20 == pytest.approx(spoken_ms, abs=20)
    assert call.turns[0].said == TEXT
