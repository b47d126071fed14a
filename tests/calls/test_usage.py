"""What a call uses of its components: in its record, whether the call counts it or the provider tells."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import pytest
from attrs import asdict, evolve

from voicepipe.audio import AudioFormat
from voicepipe.calls.events import CallEnded, ComponentUsed
from voicepipe.calls.record import CallRecorder
from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.validation import fault_of_reply, fault_of_speech, fault_of_transcript
from voicepipe.errors import ComponentError
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.transport import MemoryTransport
from voicepipe.text.spoken.settings import SpeechSettings

NO_GREETING = {"greeting": ""}
NAMES = ("requests", "reported", "input_tokens", "output_tokens", "characters", "audio_s")


class Broken(ScriptedLanguageModel):
    def respond(self, request):
        raise ComponentError("has left", retryable=False)


class Charging:
    """A component whose streams tell, before all else, what they will cost."""

    def __init__(self, component, *usages):
        self.component, self.usages = component, usages
        self.input_for = getattr(component, "input_for", None)
        self.output_for = getattr(component, "output_for", None)
        self.languages = []

    @asynccontextmanager
    async def open_stream(self, audio, told):
        self.languages.append(told)
        async with self.component.open_stream(audio, told) as stream:
            left, receive = list(self.usages), stream.receive

            async def charging():
                return left.pop(0) if left else await receive()

            stream.receive = charging
            yield stream


async def used(call, *, ms=4000):
    """What the record says of each component, by its name, with the figures that are in `NAMES`."""
    recorder = CallRecorder()

    class Observed(list):
        def append(self, event):
            recorder.observe(event)
            super().append(event)

    call.events = Observed()

    async def caller():
        await call.transport.be_silent(1000)
        await call.transport.say(1000)
        await call.transport.be_silent(ms)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    assert isinstance(call.events[-1], CallEnded)
    told = call.told(ComponentUsed)
    assert call.events[-1 - len(told) : -1] == told
    assert [event.usage for event in told] == list(recorder.record.usage)
    assert json.loads(json.dumps(recorder.record.as_data()))["usage"] == [
        {name: round(value, 3) if isinstance(value, float) else value for name, value in asdict(usage).items()}
        for usage in recorder.record.usage
    ]
    return {usage.component: usage for usage in recorder.record.usage}


def figures(usage):
    return tuple(getattr(usage, name) for name in NAMES)


async def test_it_is_counted_where_no_provider_tells(autojump_clock):
    tts = ToneTextToSpeech()
    found = await used(RehearsedCall(stt=ScriptedSpeechToText(["two"]), tts=tts, settings={"greeting": "Hello."}))
    assert figures(found["test_llm"]) == (1, 0, None, None, None, None)
    text = "".join(tts.texts)
    spoken_s = pytest.approx(len(text) * tts.ms_a_char / 1000)
    assert figures(found["test_tts"]) == (2, 0, None, None, len(text), spoken_s)
    assert figures(found["test_stt"]) == (1, 0, None, None, None, pytest.approx(6, abs=0.2))
    assert (found["test_tts"].charged_characters, found["test_stt"].charged_audio_s) == (None, None)
    assert (found["test_tts"].role, found["test_tts"].adapter, found["test_tts"].model) == ("tts", "scripted", None)


class Wideband(ScriptedSpeechToText):
    def input_for(self, call):
        return evolve(super().input_for(call), format=AudioFormat(16000))


async def test_audio_is_counted_in_the_format_of_the_component(autojump_clock):
    """At another rate than the call's there are more bytes of it, and not more seconds."""
    stt, tts = Wideband(["two"]), ToneTextToSpeech(rate=24000)
    found = await used(RehearsedCall(stt=stt, tts=tts, settings=NO_GREETING))
    assert found["test_stt"].audio_s == pytest.approx(6, abs=0.2)
    assert found["test_tts"].audio_s == pytest.approx(len("I see.") * 0.06, abs=0.01)


async def test_tokens_of_several_replies_add_up(autojump_clock):
    """The model greets, and answers; that one figure is missing of one reply doesn't make it 0."""
    costs = iter([Usage(10, 2), Usage(30, None)])
    llm = ScriptedLanguageModel(lambda _: [TextDelta("I see."), next(costs), ReplyDone()])
    call = RehearsedCall(stt=ScriptedSpeechToText(["two"]), llm=llm)
    assert figures((await used(call))["test_llm"])[:4] == (2, 2, 40, 2)


async def test_a_reply_that_told_nothing_is_no_reply_for_nothing(autojump_clock):
    """A model that breaks off, as one whose reply is interrupted, has not told what it cost; the next one has."""
    llms = [Broken(lambda _: ""), ScriptedLanguageModel(lambda _: [TextDelta("Here."), Usage(5, 1), ReplyDone()])]
    found = await used(RehearsedCall(stt=ScriptedSpeechToText(["two"]), llm=llms, settings=NO_GREETING))
    assert figures(found["test_llm"]) == (1, 0, None, None, None, None)
    assert figures(found["test_llm_2"])[:4] == (1, 1, 5, 1)


async def test_an_interrupted_reply_was_asked_for_too(autojump_clock):
    llm = ScriptedLanguageModel(lambda _: [TextDelta("I see. And"), 60.0, Usage(5, 1), ReplyDone()])
    found = await used(RehearsedCall(stt=ScriptedSpeechToText(["two"]), llm=llm, settings=NO_GREETING), ms=2000)
    assert figures(found["test_llm"])[:4] == (1, 0, None, None)
    assert found["test_tts"].characters == len("I see.")


async def test_what_a_provider_charges_for_stands_beside_what_was_counted(autojump_clock):
    stt = Charging(ScriptedSpeechToText(["two"]), Usage(12, 3, audio_s=4.0), Usage(audio_s=0.5))
    tts = Charging(ToneTextToSpeech(), Usage(characters=2), Usage(characters=1))
    found = await used(RehearsedCall(stt=stt, tts=tts, settings=NO_GREETING))
    assert figures(found["test_stt"])[:4] == (1, 1, 12, 3)
    assert found["test_stt"].charged_audio_s == 4.5
    assert found["test_stt"].audio_s == pytest.approx(6, abs=0.2)
    assert (found["test_tts"].reported, found["test_tts"].charged_characters) == (1, 3)
    assert found["test_tts"].characters == len("I see.")


@pytest.mark.parametrize(
    "usage",
    [Usage(-1), Usage(1, float("nan")), Usage("3"), Usage(characters=-2), Usage(audio_s=float("inf"))],
    ids=str,
)
def test_what_can_be_no_figure_is_the_components_fault(usage):
    output = MemoryTransport().audio
    for fault in (fault_of_reply(usage), fault_of_transcript(usage), fault_of_speech(usage, output)):
        assert "not a number from 0 on, or None" in fault
    assert fault_of_reply(Usage(0, 3)) == fault_of_transcript(Usage(audio_s=0.5)) == ""


@pytest.mark.parametrize("language", [None, "de-AT"])
async def test_a_voice_is_told_the_language_of_the_reply(autojump_clock, language):
    tts = Charging(ToneTextToSpeech())
    settings = {"greeting": "Hello.", "speech": SpeechSettings(language=language)}
    await used(RehearsedCall(stt=ScriptedSpeechToText(["two"]), tts=tts, settings=settings))
    assert tts.languages == [language, language]
