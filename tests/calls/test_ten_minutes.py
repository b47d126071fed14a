"""Ten minutes with everything in them, on the virtual clock: what the record says is what was heard, and reads well."""

import wave
from contextlib import asynccontextmanager

import numpy as np
import pytest
import trio

from voicepipe.calls.events import FailedOver, ReplyResumed, ReplyStarted, ToolEnded, TurnEnded
from voicepipe.calls.record import CallRecorder
from voicepipe.components.events import ReplyDone, SpeechAudio, TextDelta
from voicepipe.components.requests import Dtmf, Silence, ToolCall, ToolResults
from voicepipe.config.call_settings import DtmfSettings, KeyAction, LimitsSettings, TurnsSettings
from voicepipe.config.settings import RecordingSettings
from voicepipe.errors import ComponentError
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.tools.functions import FunctionTool

CHAR_MS = 60
CHAR_SAMPLES = 8 * CHAR_MS
TEN_S = 10

HAMLET = "On Saturday there is Hamlet at seven, and a concert at nine. Which one would you like?"
ANSWERS = {
    "hello I need tickets for saturday": HAMLET,
    "the first one": "Hamlet at seven. How many seats?",
    "two": "Two seats. Shall I book them?",
    "sorry yes I am here": "Good. What else can I do for you?",
    "where can I park": "Behind the house, it is free.",
    "is there a break": "Yes, after the third act, for twenty minutes.",
    "thank you": "You are welcome.",
}


class SpellingTextToSpeech(ToneTextToSpeech):
    """Speaks every character as a level of its own: what was heard can be read off the audio."""

    @asynccontextmanager
    async def open_stream(self, output, language):
        async with super().open_stream(output, language) as stream:
            yield _Spelling(stream)


class _Spelling:
    def __init__(self, stream):
        self._stream, self._texts, self._at = stream, {}, {}
        self.finish = stream.finish

    async def send(self, text, segment):
        self._texts[segment], self._at[segment] = text, 0
        await self._stream.send(text, segment)

    async def receive(self):
        event = await self._stream.receive()
        if not isinstance(event, SpeechAudio):
            return event
        character = self._texts[event.segment][self._at[event.segment]]
        self._at[event.segment] += 1
        return SpeechAudio((10 * ord(character)).to_bytes(2, "little") * (len(event.audio) // 2), event.segment)


def read_off(samples):
    """The characters that were heard to their end."""
    return "".join(
        chr(samples[start] // 10) for start in range(0, len(samples) - CHAR_SAMPLES + 1, CHAR_SAMPLES) if samples[start]
    )


class Caller:
    """Somebody who books seats, and likes to talk."""

    def __init__(self, call):
        self._call, self._transport = call, call.transport

    @property
    def state(self):
        return self._call.call._turns.phase

    async def hear(self, *, ms=0):
        """Listens to the end of what is being said, or for so long."""
        if ms:
            await self._transport.be_silent(ms)
            return
        while self.state in {"thinking", "speaking", "interrupted"}:
            await self._transport.be_silent(20)

    async def wait_for_words(self):
        """Is silent until something is said."""
        while self.state != "speaking" and not self._transport.ended.is_set():
            await self._transport.be_silent(20)

    async def say(self, text):
        """Says something, and hears the answer begin."""
        self._call.stt.texts.append(text)
        await self._transport.say(max(300, 200 * len(text.split())))
        answered = len(self._call.told(ReplyStarted))
        while len(self._call.told(ReplyStarted)) == answered and not self._transport.ended.is_set():
            await self._transport.be_silent(20)

    async def murmur(self, text=""):
        """Makes a noise, or a sign of listening."""
        if text:
            self._call.stt.texts.append(text)
        await self._transport.say(400)
        await self._transport.be_silent(600)

    async def press(self, keys):
        for key in keys:
            await self._transport.press(key)
            await self._transport.be_silent(400)

    async def talk(self):
        """All of the call."""
        await self.hear(ms=1500)
        await self.say("hello I need tickets for saturday")  # into the greeting
        await self.hear(ms=1700)
        await self.murmur("uh-huh")
        await self.hear()
        await self.say("the first one")
        await self.hear(ms=400)
        await self.murmur()  # a door
        await self.hear()
        await self.say("two")
        await self.hear()
        await self.say("yes")
        await self.hear()
        await self.wait_for_words()  # the tool takes long: something is said meanwhile
        await self.hear()
        await self.wait_for_words()  # it has ended
        await self.hear()
        await self.press("4711#")
        await self.hear()
        for _ in range(2):
            await self.wait_for_words()  # nothing is said for ten seconds
            await self.hear()
        await self.say("sorry yes I am here")
        await self.hear()
        await self.say("where can I park")  # and the language model is gone
        await self.hear(ms=500)
        await self.press("9")
        await self.hear()
        number = 0
        while trio.current_time() < 9.8 * 60:
            number += 1
            await self.say(f"question {number}")
            if number % 3 == 0:
                await self.hear(ms=137 * number % 2400)
                await self.say("is there a break")
            if number % 4 == 0:
                await self.hear(ms=211 * number % 900)
                await self.murmur("mm-hmm" if number % 8 else "")
            await self.hear()
        await self.say("thank you")
        await self.hear()
        await self.wait_for_words()  # the warning
        await self.hear()
        await self.say("goodbye")
        await self.hear(ms=5000)


def test_what_is_read_off_is_what_was_spelt():
    spelt = np.repeat([10 * ord(character) for character in "Ab c"], CHAR_SAMPLES)
    assert read_off(spelt) == "Ab c"
    assert read_off(spelt[:-1]) == "Ab "


@pytest.mark.usefixtures("threads_take_no_time")
async def test_ten_minutes_with_everything_in_them(autojump_clock, tmp_path):
    call = booking_call(tmp_path)
    ended = await call.hold(Caller(call).talk)
    recorder = CallRecorder()
    for event in call.events:
        recorder.observe(event)
    record = recorder.record
    turns = [(turn.heard, turn.said) for turn in record.turns]
    assert (ended.outcome, ended.detail) == ("said_goodbye", "goodbye")
    assert ended.at_s > 10 * 60

    # It reads like the conversation that it was.
    assert turns[:15] == [
        ("", "Good morning, Odeon theatre."),
        ("hello I need tickets for saturday", HAMLET),
        ("uh-huh the first one", "Hamlet at seven. How many seats?"),
        ("two", "Two seats. Shall I book them?"),
        ("yes", "One moment, please."),
        ("", "I am still at it."),
        ("", "Booked: row five. Key in your phone number, then hash."),
        ("4711", "Thank you, I have 4711."),
        ("", "Are you still there? 1"),
        ("", "Are you still there? 2"),
        ("sorry yes I am here", "Good. What else can I do for you?"),
        ("where can I park", "Behind"),
        ("9", "We are open from ten to six."),
        ("question 1", "The answer to question 1, which is a long one, for what it is worth."),
        ("question 2", "The answer to question 2, which is a long one, for what it is worth."),
    ]
    assert turns[-3:] == [
        ("thank you", "You are welcome."),
        ("", "We have to finish in a moment."),
        ("goodbye", "Goodbye, and enjoy the play."),
    ]
    assert [turn.turn for turn in record.turns] == list(range(1, len(turns) + 1))
    interrupted = [turn for turn in record.turns if turn.interrupted]
    assert len(interrupted) > 10
    assert len(call.told(ReplyResumed)) > 10
    assert [event.rung for event in call.told(FailedOver)][:2] == ["retry", "alternate"]
    assert [(event.name, event.ok, event.result) for event in call.told(ToolEnded)] == [("book", True, "row five")]

    # And what it says is what was heard, to the word.
    for turn, samples in zip(record.turns, heard_of_each(call), strict=True):
        text, said = read_off(samples).replace(" ", ""), turn.said.replace(" ", "")
        assert text.startswith(said), turn
        assert turn.interrupted or text == said, turn
        assert len(text) - len(said) < len("restoration"), turn  # no more than a word that was not heard to its end

    # The recording has the same, sample by sample, and the caller beside it.
    (path,) = tmp_path.iterdir()
    assert str(path) == record.recording
    with wave.open(str(path), "rb") as file:
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    assert len(both) / 8000 >= ended.at_s - 0.1
    agent, written = both[:, 1], np.frombuffer(call.transport.said, "<i2")
    assert np.array_equal(agent[agent != 0], written[written != 0])
    assert np.abs(both[:, 0]).max() > 5000

    # The model was told nothing else than what was heard.
    told = [(message.role, message.text) for message in call.llm[1].requests[-1].messages]
    assert ("agent", "Behind") in told
    assert [text for role, text in told if role == "agent" and text] == [
        turn.said for turn in record.turns if turn.said
    ][: -len(told_later(record))]


def told_later(record):
    """What was said after the model was last asked, and in the reply to that."""
    last = max(
        index for index, turn in enumerate(record.turns) if turn.trigger == "utterance" and turn.heard != "goodbye"
    )
    return record.turns[last:]


def heard_of_each(call):
    """The samples of each turn, from when it is first heard to when it ends."""
    started = {event.turn: event.at_s for event in call.told(ReplyStarted)}
    for turn in call.told(TurnEnded):
        begin = started.get(turn.turn, turn.at_s)
        frames = [audio for when, audio in call.transport.written if begin <= when <= turn.at_s]
        yield np.frombuffer(b"".join(frames), "<i2")


def booking_call(directory):
    async def book(_arguments, _context):
        await trio.sleep(4)
        return "row five"

    def answer(request):
        match request.trigger:
            case Silence(prompts):
                return f"Are you still there? {prompts}"
            case Dtmf(digits):
                return f"Thank you, I have {digits}."
            case ToolResults(results):
                return f"Booked: {next(iter(results.values()))}. Key in your phone number, then hash."
        said = request.messages[-1].text
        if said == "yes":
            return [TextDelta("One moment, please."), ToolCall("1", "book"), ReplyDone()]
        return ANSWERS.get(said, f"The answer to {said}, which is a long one, for what it is worth.")

    def answer_or_fail(request):
        if any(message.text == "where can I park" for message in request.messages):
            raise ComponentError("was refused with status 500")
        return answer(request)

    tool = FunctionTool(
        "book",
        "Books seats.",
        {"type": "object", "properties": {}},
        book,
        filler="I am still at it.",
        filler_after_ms=1500,
    )
    return RehearsedCall(
        stt=ScriptedSpeechToText(),
        llm=[ScriptedLanguageModel(answer_or_fail), ScriptedLanguageModel(answer)],
        tts=SpellingTextToSpeech(ms_a_char=CHAR_MS),
        settings={
            "greeting": "Good morning, Odeon theatre. What can I do for you?",
            "turns": TurnsSettings(hang_up_phrases=("goodbye",), dtmf=DtmfSettings(gap_ms=1500)),
            "keys": {"9": KeyAction(say="We are open from ten to six.")},
            "limits": LimitsSettings(
                max_call_minutes=10.8, warning_s=48, idle_prompt_s=TEN_S, goodbye="Goodbye, and enjoy the play."
            ),
            "tools": ("book",),
            "functions": (tool,),
            "recording": RecordingSettings(str(directory)),
        },
    )
