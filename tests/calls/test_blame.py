"""Who is blamed: a component for what its own methods raise or give, and for nothing that happens while it is used."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest
import trio

from voicepipe import (
    AudioFormat,
    ComponentFailed,
    EndOfTurn,
    ReplyDone,
    SpeechAudio,
    SpeechMark,
    StreamInput,
    TextDelta,
    ToolCall,
    Transcript,
)
from voicepipe.components.events import TurnResumed, Usage
from voicepipe.components.requests import Listen
from voicepipe.components.validation import (
    fault_of_input,
    fault_of_output,
    fault_of_reply,
    fault_of_speech,
    fault_of_transcript,
)
from voicepipe.testing import RehearsedCall, ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech

LINEAR, MU_LAW = AudioFormat(8000), AudioFormat(8000, "mulaw")
NAN = float("nan")

GOOD = {
    fault_of_transcript: [
        None,
        Transcript("", final=True),
        Transcript("yes", final=False, language="en", confidence=0.5, audio_end_ms=20),
        Transcript("yes", final=True, audio_end_ms=20.5),
        EndOfTurn(),
        EndOfTurn(eager=True),
        TurnResumed(),
    ],
    fault_of_reply: [
        None,
        TextDelta(""),
        TextDelta(" yes"),
        ToolCall("", "look_up"),
        ToolCall("1", "look_up", {"day": "monday"}),
        Usage(1, 2),
        ReplyDone(),
        ReplyDone("truncated", state=object(), listen=Listen()),
    ],
    fault_of_input: [StreamInput(LINEAR), StreamInput(MU_LAW, 20)],
    fault_of_output: [LINEAR, MU_LAW],
}
BAD = {
    fault_of_transcript: {
        "gave str where": "yes",
        "gave TextDelta where Transcript or": TextDelta("yes"),
        "whose text is NoneType": Transcript(None, final=True),
        "whose text is bytes": Transcript(b"yes", final=False),
        "whose audio_end_ms is str": Transcript("yes", final=True, audio_end_ms="20"),
        "whose audio_end_ms is nan": Transcript("yes", final=True, audio_end_ms=NAN),
        "whose confidence is str": Transcript("yes", final=True, confidence="high"),
        "whose language is dict": Transcript("yes", final=True, language={}),
    },
    fault_of_reply: {
        "gave str where TextDelta or": "yes",
        "gave Transcript where": Transcript("yes", final=True),
        "whose text is NoneType": TextDelta(None),
        "whose text is list": TextDelta(["yes"]),
        "whose name is NoneType": ToolCall("1", None),
        "whose id is int": ToolCall(1, "look_up"),
        "whose arguments is str": ToolCall("1", "look_up", '{"day": "monday"}'),
        "whose listen is list": ReplyDone(listen=["yes"]),
    },
    fault_of_input: {
        "gave AudioFormat where StreamInput": LINEAR,
        "gave NoneType where": None,
        "whose format is str": StreamInput("mulaw"),
        "whose chunk_ms is NoneType": StreamInput(LINEAR, None),
    },
    fault_of_output: {"gave NoneType where AudioFormat": None, "gave int where": 8000},
}
BAD_SPEECH = {
    "gave bytes where SpeechAudio or": bytes(320),
    "whose audio is str": SpeechAudio("no", 0),
    "whose audio is NoneType": SpeechAudio(None, 0),
    "gave 321 bytes of audio, which end within a sample": SpeechAudio(bytes(321), 0),
    "whose segment is NoneType": SpeechAudio(bytes(320), None),
    "whose segment is float": None,
    "whose at_ms is nan": SpeechMark(0, 3, NAN),
    "whose chars is str": SpeechMark(0, "3", 20),
}


@pytest.mark.parametrize(("fault_of", "value"), [(of, value) for of, values in GOOD.items() for value in values])
def test_what_is_promised_has_no_fault(fault_of, value):
    assert fault_of(value) == ""


@pytest.mark.parametrize(
    ("fault_of", "message", "value"), [(of, *fault) for of, faults in BAD.items() for fault in faults.items()]
)
def test_what_is_not_promised_has_one(fault_of, message, value):
    assert message in fault_of(value)


@pytest.mark.parametrize("audio", [bytes(320), bytearray(2), memoryview(b"\0\0"), b""])
def test_speech_of_whole_samples_has_no_fault(audio):
    assert fault_of_speech(SpeechAudio(audio, 0), LINEAR) == fault_of_speech(SpeechMark(0, 1, 2.5), LINEAR) == ""
    assert fault_of_speech(SpeechAudio(b"\0", 1), MU_LAW) == fault_of_speech(None, LINEAR) == ""


@pytest.mark.parametrize(("message", "event"), [fault for fault in BAD_SPEECH.items() if fault[1] is not None])
def test_other_speech_has_one(message, event):
    assert message in fault_of_speech(event, LINEAR)


# --- In a call ----------------------------------------------------------------------------------------------------


class Giving:
    """A component of any role, each stream of which gives one thing and then nothing more for a while."""

    def __init__(self, gives, inner):
        self.gives, self.inner = gives, inner

    def input_for(self, call):
        return self.inner.input_for(call)

    def output_for(self, call):
        return self.inner.output_for(call)

    @asynccontextmanager
    async def open_stream(self, *_args):
        yield self

    respond = open_stream

    async def send(self, *_args):
        await trio.lowlevel.checkpoint()

    finish = end_utterance = listen_for = send

    async def receive(self):
        await trio.sleep(0.1)
        return self.gives


async def rehearse(rehearsed, seconds=6):
    transport = rehearsed.transport

    async def caller():
        await transport.be_silent(500)
        await transport.say(600)
        await transport.be_silent(int(seconds * 1000))
        await transport.hang_up_as_caller()

    return await rehearsed.hold(caller)


def call_with(role, broken):
    working = {
        "stt": ScriptedSpeechToText(["hello"] * 9),
        "llm": ScriptedLanguageModel(lambda _request: "I see."),
        "tts": ToneTextToSpeech(),
    }
    components = {**working, role: [broken(working[role]), working[role]]}
    return RehearsedCall(**components, settings={"greeting": "Hello there."})


RUBBISH = [
    *(("stt", message, value) for message, value in BAD[fault_of_transcript].items()),
    *(("llm", message, value) for message, value in BAD[fault_of_reply].items()),
    *(("tts", message, value) for message, value in BAD_SPEECH.items() if value is not None),
    ("tts", "spoke segment 5, which it was not given", SpeechAudio(bytes(320), 5)),
    ("tts", "spoke segment -1, which it was not given", SpeechAudio(bytes(320), -1)),
    ("tts", "spoke segment 1, which it was not given", SpeechMark(1, 3, 20)),
]


@pytest.mark.parametrize(("role", "message", "value"), RUBBISH)
async def test_rubbish_is_the_component_s_fault_and_is_failed_over(autojump_clock, role, message, value):
    rehearsed = call_with(role, lambda inner: Giving(value, inner))
    ended = await rehearse(rehearsed)
    failures = rehearsed.told(ComponentFailed)
    assert {(event.role, event.error.component) for event in failures} == {(role, f"test_{role}")}
    assert all(message in event.error.message for event in failures)
    assert ended.outcome == "caller_hung_up"
    assert ("hello", "I see.") in rehearsed.conversation


@pytest.mark.parametrize(("role", "method"), [("stt", "input_for"), ("tts", "output_for")])
async def test_so_is_a_format_that_is_none(autojump_clock, role, method):
    def broken(inner):
        made = Giving(None, inner)
        setattr(made, method, lambda _call: None)
        return made

    rehearsed = call_with(role, broken)
    ended = await rehearse(rehearsed)
    assert {(event.role, event.error.component) for event in rehearsed.told(ComponentFailed)} == {
        (role, f"test_{role}")
    }
    assert ended.outcome == "caller_hung_up"


@pytest.mark.parametrize("of", ["on_transcript", "on_recogniser", "on_edge"])
@pytest.mark.parametrize("error", [ValueError("ours"), ExceptionGroup("", [KeyError("ours")])], ids=["one", "group"])
async def test_what_our_own_code_raises_beside_a_recogniser_is_not(autojump_clock, monkeypatch, of, error):
    """It comes out of `run`, as it went in, and no component is blamed."""

    def fail(*_args):
        raise error

    monkeypatch.setattr(f"voicepipe.calls.turn_driver.TurnDriver.{of}", fail)
    rehearsed = call_with("tts", lambda inner: inner)
    own = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
    with pytest.RaisesGroup(type(own), flatten_subgroups=True, allow_unwrapped=True) as caught:
        await rehearse(rehearsed)
    assert own in {caught.value, *getattr(caught.value, "exceptions", ())}
    assert rehearsed.told(ComponentFailed) == []
    assert rehearsed.events[-1].outcome == "failed"


@pytest.mark.parametrize(
    "of",
    [
        "calls.replies.playout.Playout.add",
        "calls.replies.playout.Playout.wait_for_room",
        "calls.replies.replies.Replies._on_audible",
        "text.segmenting.Segmenter.feed",
        "calls.replies.reply_text.ReplyText.add",
        "calls.replies.replies.Replies._commit",
    ],
)
async def test_nor_is_what_it_raises_beside_a_voice_or_a_model(autojump_clock, monkeypatch, of):
    def fail(*_args, **_others):
        raise ValueError("ours")

    monkeypatch.setattr(f"voicepipe.{of}", fail)
    rehearsed = call_with("stt", lambda inner: inner)
    rehearsed.settings["greeting"] = None  # so that the model is asked for one
    if of.endswith("wait_for_room"):
        monkeypatch.setattr("voicepipe.calls.replies.playout.Playout.is_full", property(lambda _playout: True))
    with pytest.RaisesGroup(ValueError, flatten_subgroups=True, allow_unwrapped=True):
        await rehearse(rehearsed)
    assert rehearsed.told(ComponentFailed) == []
    assert rehearsed.events[-1].outcome == "failed"
    assert rehearsed.events[-1].detail.endswith("ours")
