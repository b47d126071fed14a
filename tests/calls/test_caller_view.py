"""What a transport may show its caller of a call, and what not."""

import json
import logging

import pytest
import trio
from attrs import fields
from flaky import FlakyTts, Trouble

from voicepipe.calls.caller_view import SHOWN, shown_event
from voicepipe.calls.events import (
    CallBegan,
    CallEnded,
    ComponentFailed,
    FailedOver,
    RecordingFailed,
    ReplyContinued,
    ReplyPrepared,
    ReplyStarted,
    Timings,
    ToolEnded,
    ToolStarted,
    TurnEnded,
)
from voicepipe.components.labels import ComponentLabel
from voicepipe.components.requests import CallInfo
from voicepipe.config.call_settings import OnFailure
from voicepipe.config.recording_settings import RecordingSettings
from voicepipe.errors import ComponentError
from voicepipe.testing.calls import RehearsedCall
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText
from voicepipe.testing.transport import MemoryTransport

SECRET = "sk-12345 of the vendor"
LABEL = ComponentLabel("ears", "vosk", "tiny-en")


class Softphone(MemoryTransport):
    """A transport whose other side shows the call."""

    def __init__(self, **options):
        super().__init__(**options)
        self.shown = []

    def call_event(self, event):
        self.shown.append(json.loads(json.dumps(event)))

    def of(self, kind):
        return [event for event in self.shown if event["type"] == kind]


@pytest.mark.parametrize(
    ("event", "shown"),
    [
        (
            CallBegan("c", 0.0, CallInfo(variables={"pin": SECRET}), "main", 3, SECRET, "day", LABEL, LABEL, LABEL),
            {"set": "main", "version": 3, "pipeline": "day", **dict.fromkeys(("stt", "llm", "tts"), "ears (tiny-en)")},
        ),
        (
            TurnEnded("c", 1.23456, 2, "utterance", "7 yes", "Goo", True, 611.987, Timings(600.04), ((0, 1),)),
            {
                "turn": 2,
                "heard": "7 yes",
                "pressed": [[0, 1]],
                "said": "Goo",
                "interrupted": True,
                "response_ms": 612.0,
                "timings": {
                    "final_ms": 600.0,
                    "asked_ms": None,
                    "first_token_ms": None,
                    "first_audio_ms": None,
                    "heard_ms": None,
                },
            },
        ),
        (ToolStarted("c", 1.0, "t1", "book", {"card": SECRET}), {"tool_call_id": "t1", "name": "book"}),
        (
            ToolEnded("c", 1.0, "t1", "book", False, SECRET, 0.25, ValueError(SECRET), SECRET),
            {"tool_call_id": "t1", "name": "book", "ok": False, "seconds": 0.2},
        ),
        (FailedOver("c", 1.0, "llm", "alternate", SECRET), {"role": "llm", "rung": "alternate"}),
        (CallEnded("c", 9.0, "failed", 3, SECRET), {"outcome": "failed", "turns": 3}),
        (ComponentFailed("c", 1.0, "llm", ComponentError(SECRET)), None),
        (RecordingFailed("c", 1.0, "/var/calls/c.wav", "no space"), None),
        (ReplyPrepared("c", 1.0, False, "what was said in the end"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_shown_of_an_event(event, shown):
    was = shown_event(event)
    if shown is None:
        assert was is None
    else:
        about = {"type": SHOWN[type(event)][0], "call_id": "c", "at_s": round(event.at_s, 3)}
        assert was == about | shown
        assert SECRET not in json.dumps(was)


def test_the_table_names_fields_that_are_there():
    for event, (_, names) in SHOWN.items():
        assert set(names) <= {field.name for field in fields(event)}, event


async def test_the_transport_gets_the_conversation_of_its_call(autojump_clock):
    transport = Softphone()
    call = RehearsedCall(
        stt=ScriptedSpeechToText(["two appointments"]),
        llm=ScriptedLanguageModel(lambda request: "Good. When?" if request.messages else "Hello. I am a machine."),
        transport=transport,
    )

    async def caller():
        await transport.be_silent(3000)
        await transport.say(700)
        await transport.be_silent(3500)
        await transport.press("5")
        await transport.be_silent(3500)
        await transport.hang_up_as_caller()

    await call.hold(caller)
    assert transport.shown[0]["type"] == "call_began"
    assert transport.shown[-1] | {"at_s": 0} == {
        "type": "call_ended",
        "call_id": call.call.call_id,
        "at_s": 0,
        "outcome": "caller_hung_up",
        "turns": len(call.turns),
    }
    assert [turn["heard"] for turn in transport.of("turn_ended")] == [turn.heard for turn in call.turns]
    assert [event["text"] for event in transport.of("transcribed")] == ["two", "two appointments"]
    assert [event["digit"] for event in transport.of("dtmf_received")] == ["5"]
    seen = [(event["type"], event.get("text")) for event in transport.shown if event.get("turn") == 1]
    assert seen == [
        ("reply_started", None),
        ("reply_continued", "Hello."),
        ("reply_continued", "Hello. I am a machine."),
        ("turn_ended", None),
    ]


@pytest.mark.parametrize("ms", [5 * 60, 25 * 60, 33 * 60], ids=["in the first", "in the next", "at its end"])
async def test_words_of_a_reply_come_with_its_sound_and_once(autojump_clock, ms):
    """Also where a voice fails in mid-reply, and the next one goes on."""
    text = "the first sentence. the second one. the last."
    call = RehearsedCall(
        tts=[FlakyTts([Trouble("fail", ms)]), FlakyTts(second=True)],
        llm=ScriptedLanguageModel(lambda _: text),
        settings={"on_failure": OnFailure(retries=0)},
    )

    async def caller():
        await call.transport.be_silent(6000)
        await call.transport.hang_up_as_caller()

    await call.hold(caller)
    told = [event.text for event in call.told(ReplyContinued)]
    assert told[-1] == text
    assert all(text.startswith(words) for words in told)
    assert call.events.index(call.told(ReplyStarted)[0]) < call.events.index(call.told(ReplyContinued)[0])


async def test_a_transport_that_raises_ends_nothing_and_is_reported_once(autojump_clock, caplog):
    class Broken(Softphone):
        def call_event(self, event):
            raise KeyError(event["type"])

    call = RehearsedCall(transport=Broken())

    async def caller():
        await call.transport.say(700)
        await trio.sleep(1)
        await call.transport.hang_up_as_caller()

    with caplog.at_level(logging.ERROR, "voicepipe.observers"):
        ended = await call.hold(caller)
    assert ended.outcome == "caller_hung_up"
    assert call.events[-1] == ended
    assert len(caplog.records) == 1


async def test_a_recording_does_not_hide_the_transport(autojump_clock, tmp_path):
    transport = Softphone()
    call = RehearsedCall(transport=transport, settings={"recording": RecordingSettings(directory=str(tmp_path))})
    await call.hold(transport.hang_up_as_caller)
    assert transport.of("call_ended")
