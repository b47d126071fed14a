"""F01: failures are laid to whom they belong: a reply without words, or without its model, is not the voice's."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib.util import find_spec
from math import inf

import pytest
import trio
from flaky import FlakyTts, Telephone, Trouble

from voicepipe import ComponentError, ComponentFailed, FailedOver, tool
from voicepipe.components.events import ReplyDone, SpeechAudio, TextDelta
from voicepipe.components.protocols import Resources
from voicepipe.components.requests import CallStarted, Silence, ToolCall, ToolResults
from voicepipe.config.call_settings import BudgetsSettings, LanguageModelBudgets, TextToSpeechBudgets
from voicepipe.testing import RehearsedCall, ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.text.spoken.settings import SpeechSettings

BUDGETS = BudgetsSettings(
    llm=LanguageModelBudgets(first_token_ms=3000, gap_ms=3000),
    tts=TextToSpeechBudgets(connect_ms=900, first_audio_ms=700, gap_ms=500),
)
ANSWER = "nine."

WORDLESS = {
    "nothing but a tool call": [ToolCall("t1", "look", {"day": "mon"}), ReplyDone()],
    "a tool call that comes late": [2.5, ToolCall("t1", "look", {"day": "mon"}), ReplyDone()],
    "an emoji": [TextDelta("\U0001f642"), ReplyDone()],
    "an emoji, and a late end": [TextDelta("\U0001f642"), 2.5, ReplyDone()],
    "a rule": [TextDelta("---\n"), ReplyDone()],
    "code": [TextDelta("```\nprint(1)\n```"), ReplyDone()],
    "a tag": [TextDelta("<br/>"), ReplyDone()],
    "dots": [TextDelta("..."), ReplyDone()],
    "dots, and a late end": [TextDelta("...\n"), 2.5, ReplyDone()],
    "dots, and a tool call": [TextDelta("... "), ToolCall("t1", "look", {"day": "mon"}), ReplyDone()],
    "a dash": [TextDelta("—"), ReplyDone()],
    "a sentence, and a late emoji": [TextDelta("we are open. "), 2.5, TextDelta("\U0001f642"), ReplyDone()],
    "a sentence, and a late tool call": [
        TextDelta("one moment. "),
        2.5,
        ToolCall("t1", "look", {"day": "mon"}),
        ReplyDone(),
    ],
    "a sentence, and late dots": [TextDelta("we are open. "), 1.0, TextDelta("\n...\n"), 2.5, ReplyDone()],
}


@tool
async def look(day: str) -> str:
    """Looks up.

    Args:
        day: which day

    """
    return f"{day}: nine"


class Quiet(FlakyTts):
    """A voice that says letters, digits and nothing else; how it ends a stream that had none is its own affair."""

    def __init__(self, ends=None, **options):
        super().__init__(**options)
        self.ends = ends or {}

    @asynccontextmanager
    async def open_stream(self, output, language):
        async with super().open_stream(output, language) as speech:
            yield _Quietly(speech, self.ends)


class _Quietly:
    def __init__(self, speech, ends):
        self._speech, self._ends, self._said = speech, ends, False
        self.receive = speech.receive

    async def send(self, text, segment):
        letters = "".join(one for one in text if one.isascii() and (one.isalnum() or one in " .,"))
        if any(map(str.isalnum, letters)):
            self._said = True
            await self._speech.send(letters, segment)

    async def finish(self):
        await self._speech.finish()
        if not self._said:
            await trio.sleep(self._ends.get("after_s", 0))
            if (error := self._ends.get("error")) is not None:
                raise error


def scripted(events):
    def reply(request):
        return events if not isinstance(request.trigger, ToolResults | Silence | CallStarted) else ANSWER

    return ScriptedLanguageModel(reply)


def call_with(events, voice, **settings):
    return RehearsedCall(
        stt=ScriptedSpeechToText(["when"]),
        llm=scripted(events),
        tts=voice,
        transport=Telephone(),
        settings={"greeting": "hi.", "tools": ("look",), "functions": (look,), "budgets": BUDGETS, **settings},
    )


async def converse(call, wait_ms=7000):
    async def caller():
        await call.transport.be_silent(800)
        await call.transport.say(400)
        await call.transport.be_silent(wait_ms)
        await call.transport.hang_up_as_caller()

    return await call.hold(caller)


def calls_a_tool(events):
    return any(isinstance(event, ToolCall) for event in events)


ENDINGS = {
    "ends well": {},
    "refuses to end": {"error": ComponentError("no text was sent")},
    "never ends": {"after_s": inf},
}


# Dots are sent to the voice, so it owes an end; of all else it need not even know.
PAIRS = [(name, ends) for name in WORDLESS for ends in ENDINGS if ends == "ends well" or "dots" not in name]


@pytest.mark.parametrize(("name", "ends"), PAIRS, ids=map(", ".join, PAIRS))
async def test_nobody_is_blamed_and_the_call_goes_on(autojump_clock, name, ends):
    """Whatever the voice makes of a stream in which nothing was to be said."""
    call = call_with(WORDLESS[name], Quiet(ENDINGS[ends]))
    ended = await converse(call)
    assert (ended.outcome, call.told(ComponentFailed), call.told(FailedOver)) == ("caller_hung_up", [], [])
    if calls_a_tool(WORDLESS[name]):
        assert call.conversation[-1] == ("", ANSWER)


@pytest.mark.parametrize("text", ["\U0001f642", "ok \U0001f642", "\U0001f642\n\U0001f642", "€", "%"])
async def test_signs_that_are_left_to_the_voice_are_its_own_affair(autojump_clock, text):
    """`speech.emoji: false` sends them; some voices name them, others pass them over."""
    late = [TextDelta(f"we are open.\n{text}\n"), 2.5, ReplyDone()]
    call = call_with(late, Quiet(), speech=SpeechSettings(emoji=False, markup=False))
    ended = await converse(call)
    assert (ended.outcome, call.told(ComponentFailed)) == ("caller_hung_up", [])


@pytest.mark.parametrize("trouble", ["open", "hang", "end"])
async def test_a_tool_is_called_although_no_voice_is_there(autojump_clock, trouble):
    """A voice that is really out is told of; what needs no voice happens all the same."""
    ran = []

    @tool
    async def note(text: str) -> str:
        """Notes.

        Args:
            text: what

        """
        ran.append(text)
        return "noted"

    events = [1.5, ToolCall("t1", "note", {"text": "called"}), ReplyDone()]
    voice = Quiet(troubles=[None, *[Trouble(trouble)] * 20])
    call = call_with(events, voice, tools=("note",), functions=(note,))
    await converse(call)
    assert ran == ["called"]


@pytest.mark.parametrize("ends", ENDINGS)
@pytest.mark.parametrize("said", ["", "we are open. "], ids=["at once", "after a sentence"])
async def test_of_a_model_that_fails_no_voice_is_guilty(autojump_clock, said, ends):
    failing = [*([TextDelta(said)] if said else []), ComponentError("HTTP 500", retryable=False)]
    model = ScriptedLanguageModel(lambda _request: failing)
    call = call_with([], Quiet(ENDINGS[ends]))
    call.llm = model
    await converse(call)
    assert {event.role for event in call.told(ComponentFailed)} == {"llm"}


class Whole(ToneTextToSpeech):
    """A voice that gives each text as one piece of four seconds."""

    @asynccontextmanager
    async def open_stream(self, output, language):
        del language
        texts, made = trio.open_memory_channel(9)

        class Speech:
            async def send(self, text, segment):
                del text
                await texts.send(segment)

            async def finish(self):
                await trio.lowlevel.checkpoint()
                texts.close()

            async def receive(self):
                try:
                    return SpeechAudio(bytes([16, 16]) * output.rate * 4, await made.receive())
                except trio.EndOfChannel:
                    return None

        yield Speech()


async def test_text_that_comes_while_the_caller_still_listens_is_not_late(autojump_clock):
    """What is made faster than it is heard waits for the caller, and so does all that comes after it."""
    events = [TextDelta("one two.\n"), 0.5, TextDelta("three four.\n"), 0.1, TextDelta("five six.\n"), ReplyDone()]
    call = call_with(events, Whole())
    ended = await converse(call, 20_000)
    assert (ended.outcome, call.told(ComponentFailed)) == ("caller_hung_up", [])
    assert call.conversation[-1][1] == "one two. three four. five six."


@pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="espeak needs the extra: pip install .[espeak]")
@pytest.mark.parametrize("name", ["nothing but a tool call", "an emoji", "dots, and a tool call", "code", "a rule"])
async def test_espeak_is_never_blamed(name):
    """The real engine, in its helper process and in real time: whose task sees the end first is decided there."""
    from voicepipe.adapters.espeak.tts import EspeakOptions, tts  # noqa: PLC0415 - with its library

    events = WORDLESS[name]
    async with tts.open(EspeakOptions(), Resources("test", trio.CapacityLimiter(2))) as voice:
        calls = [call_with(events, voice, greeting="a.") for _ in range(10)]
        async with trio.open_nursery() as nursery:
            for call in calls:
                nursery.start_soon(converse, call, 2500)
    assert [call.told(ComponentFailed) for call in calls] == [[]] * len(calls)
    if calls_a_tool(events):
        assert {call.conversation[-1][1] for call in calls} == {ANSWER}
