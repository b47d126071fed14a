"""The log's table of call events: a whole record for each, and no event that was forgotten."""

from __future__ import annotations

import pytest

from reference_engine.reports.call_log import ROWS, log_call_event
from voicepipe import (
    CallBegan,
    CallEnded,
    CallEvent,
    CallInfo,
    CallSteered,
    ComponentError,
    ComponentFailed,
    ComponentLabel,
    ComponentUsage,
    ComponentUsed,
    DtmfReceived,
    FailedOver,
    LastWordsUnconfirmed,
    ModelAnswered,
    RecordingConsent,
    RecordingFailed,
    ReplyContinued,
    ReplyPrepared,
    ReplyResumed,
    ReplyStarted,
    SpeechDetected,
    Timings,
    ToolEnded,
    ToolStarted,
    Transcribed,
    TransferEnded,
    TransferStarted,
    TurnEnded,
)

LABEL = ComponentLabel("v", "vosk", "tiny")
ERROR = ValueError("no such day")

OF = {"call_id": "c", "set": "main"}
WITH_TRANSPORT = {"call_id": "c", "transport_id": "t", "set": "main"}

RECORDS = [
    (
        CallBegan("c", 0.0, CallInfo(caller="1", called="2"), "main", 3, "d", "day", LABEL, LABEL, LABEL),
        ("info", "call.started"),
        WITH_TRANSPORT
        | {"version": 3, "pipeline": "day", "caller": "1", "called": "2"}
        | {key: {"name": "v", "adapter": "vosk", "model": "tiny"} for key in ("stt", "llm", "tts")},
    ),
    (SpeechDetected("c", 1.23456, interrupts=True), ("debug", "call.interrupted"), OF | {"at_s": 1.235}),
    (ReplyResumed("c", 1.23456, 2), ("debug", "call.resumed"), OF | {"turn": 2, "at_s": 1.235}),
    (
        ReplyPrepared("c", 1.23456, used=False, heard="two"),
        ("debug", "call.prepared"),
        OF | {"used": False, "heard": "two", "at_s": 1.235},
    ),
    (
        TurnEnded("c", 9.0, 2, "dtmf", "so 1", "Yes.", True, 12.345, Timings(1.26, None, 4.0), ((3, 4),)),
        ("info", "call.turn"),
        OF
        | {"turn": 2, "trigger": "dtmf", "heard": "so 1", "pressed": ((3, 4),), "said": "Yes.", "interrupted": True}
        | {"response_ms": 12.3}
        | {
            "timings": {
                "final_ms": 1.3,
                "asked_ms": None,
                "first_token_ms": 4.0,
                "first_audio_ms": None,
                "heard_ms": None,
            }
        },
    ),
    (
        RecordingConsent("c", 7.0, "given", "calls/c.wav"),
        ("info", "recording.consent"),
        OF | {"consent": "given", "recording": "calls/c.wav", "at_s": 7.0},
    ),
    (
        RecordingConsent("c", 7.0, "refused"),
        ("info", "recording.consent"),
        OF | {"consent": "refused", "at_s": 7.0},
    ),
    (
        RecordingFailed("c", 7.0, "calls/c.wav", "No space left"),
        ("warning", "recording.failed"),
        OF | {"path": "calls/c.wav", "reason": "No space left", "at_s": 7.0},
    ),
    (
        LastWordsUnconfirmed("c", 7.0, 4.5),
        ("warning", "call.last_words_unconfirmed"),
        OF | {"waited_s": 4.5, "at_s": 7.0},
    ),
    (
        ComponentFailed("c", 1.23456, "llm", ComponentError("HTTP 429", answered="slow down", hint="buy more")),
        ("warning", "component.failed"),
        OF
        | {"role": "llm", "component": "", "at_s": 1.235, "message": "HTTP 429", "retryable": True}
        | {"fault": "component", "answered": "slow down", "hint": "buy more"},
    ),
    (
        FailedOver("c", 1.0, "tts", "alternate", "espeak"),
        ("warning", "component.failed_over"),
        OF | {"role": "tts", "rung": "alternate", "component": "espeak", "at_s": 1.0},
    ),
    (
        FailedOver("c", 1.0, "tts", "apology", ""),
        ("error", "component.failed_over"),
        OF | {"role": "tts", "rung": "apology", "component": "", "at_s": 1.0},
    ),
    (
        ToolStarted("c", 1.0, "i", "hours", {"day": "monday"}),
        ("info", "tool.started"),
        OF | {"tool": "hours", "tool_call_id": "i", "arguments": {"day": "monday"}},
    ),
    (
        ToolEnded("c", 1.0, "i", "hours", ok=True, result="", seconds=0.12345),
        ("info", "tool.ended"),
        OF | {"tool": "hours", "tool_call_id": "i", "ok": True, "seconds": 0.123, "result": ""},
    ),
    (
        ToolEnded("c", 1.0, "i", "hours", ok=False, result="no", seconds=0.1, error=ERROR, hint="look"),
        ("warning", "tool.ended"),
        OF
        | {"tool": "hours", "tool_call_id": "i", "ok": False, "seconds": 0.1, "result": "no", "hint": "look"}
        | {"exc_info": ERROR},
    ),
    (
        CallSteered("c", 1.0, "say", "We close."),
        ("info", "call.steered"),
        OF | {"action": "say", "by": "program", "text": "We close.", "at_s": 1.0},
    ),
    (
        CallSteered("c", 1.0, "set_variables", variables={"vip": "yes"}, by="tool:book"),
        ("info", "call.steered"),
        OF | {"action": "set_variables", "by": "tool:book", "changed": {"vip": "yes"}, "at_s": 1.0},
    ),
    (TransferStarted("c", 1.0, "100"), ("info", "transfer.started"), OF | {"target": "100", "at_s": 1.0}),
    (TransferEnded("c", 1.0, "100", "", 0.12345), ("info", "transfer.ended"), OF | {"target": "100", "seconds": 0.123}),
    (
        TransferEnded("c", 1.0, "100", "busy", 2.0),
        ("warning", "transfer.ended"),
        OF | {"target": "100", "failure": "busy", "seconds": 2.0},
    ),
    (
        CallEnded("c", 12.3456, "idle", 4, "waited"),
        ("info", "call.ended"),
        WITH_TRANSPORT | {"outcome": "idle", "turns": 4, "duration_s": 12.35, "detail": "waited"},
    ),
]

UNLOGGED = [
    SpeechDetected("c", 1.0, interrupts=False),
    Transcribed("c", 1.0, "two", final=True),
    DtmfReceived("c", 1.0, "1"),
    ReplyStarted("c", 1.0, 2, None),
    ReplyContinued("c", 1.0, 2, "Hello."),
    ModelAnswered("c", 1.0, ComponentLabel("chat", "openai", "gpt-5-mini"), 0.5, None, "cancelled"),
    ComponentUsed(
        "c", 1.0, ComponentUsage(role="stt", component="ears", adapter="vosk", model=None, requests=1, reported=0)
    ),
]


class Log(list):
    """A log that keeps each record, with its fields in their order."""

    def __getattr__(self, level):
        return lambda name, **fields: self.append(((level, name), list(fields.items())))


@pytest.mark.parametrize(("event", "head", "fields"), RECORDS, ids=[head[1] for _, head, _ in RECORDS])
def test_an_event_has_one_record_with_these_fields_in_this_order(event, head, fields):
    log = Log()
    log_call_event(log, "main", event, "t")
    assert log == [(head, list(fields.items()))]


@pytest.mark.parametrize("event", UNLOGGED, ids=lambda event: type(event).__name__)
def test_what_others_report_or_comes_with_every_word_has_no_record(event):
    log = Log()
    log_call_event(log, "main", event, "t")
    assert log == []


def test_every_event_of_a_call_is_either_logged_or_known_not_to_be():
    logged, unlogged = {type(event) for event, _, _ in RECORDS}, {type(event) for event in UNLOGGED}
    assert logged == ROWS.keys()
    assert logged | unlogged == set(CallEvent.__args__)
