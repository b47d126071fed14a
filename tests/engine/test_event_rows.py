"""The rows of a call that other components than its first choices served, and of what their providers said."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from reference_engine.records.event_rows import CallRows
from voicepipe import (
    CallBegan,
    CallEnded,
    CallInfo,
    ComponentError,
    ComponentFailed,
    ComponentLabel,
    ComponentUsage,
    ComponentUsed,
    FailedOver,
)

EARS, MIND, VOICE = (ComponentLabel(name, "scripted", None) for name in ("ears", "mind", "voice"))


def rows_of_call():
    info = CallInfo("c-1", listener="desk", transport_id="t-1")
    began = CallBegan("c-1", 0.0, info, "main", 3, "d" * 64, "default", EARS, MIND, VOICE)
    return CallRows(began, datetime(2026, 12, 1, tzinfo=UTC), run="r", transport="audiosocket")


def used(role, component):
    usage = ComponentUsage(role=role, component=component, adapter="scripted", model=None, requests=1, reported=1)
    return ComponentUsed("c-1", 9.0, usage)


def failed(component="voice"):
    error = ComponentError("HTTP 429", component=component, answered="quota exceeded", hint="check the plan")
    return ComponentFailed("c-1", 1.0, "tts", error)


@pytest.mark.parametrize(
    ("events", "fails", "fails_over"),
    [
        ((used("stt", "ears"), used("tts", "voice")), False, False),
        ((), False, False),  # nothing was used
        ((failed(), FailedOver("c-1", 1.0, "tts", "retry", "voice"), used("tts", "voice")), True, False),
        ((failed(), FailedOver("c-1", 1.0, "tts", "apology", "")), True, False),
        ((failed(), FailedOver("c-1", 1.0, "tts", "alternate", "spare"), used("tts", "voice")), True, True),
        ((used("tts", "spare"), used("stt", "ears")), False, True),  # the first was passed over
        ((used("stt", "ears"), used("stt", "second_opinion")), False, False),
    ],
)
def test_a_call_has_failed_over_if_another_than_the_first_choice_served_it(events, fails, fails_over):
    rows = rows_of_call()
    assert (rows.begin().row["failed"], rows.begin().row["failed_over"]) == (False, False)
    for event in events:
        rows.add(event)
    ended = rows.add(CallEnded("c-1", 10.0, "caller_hung_up", 2)).row
    assert (ended["failed"], ended["failed_over"]) == (fails, fails_over)


def test_a_failure_has_the_providers_words_and_the_remedy():
    rows = rows_of_call()
    told = {"message": "HTTP 429", "answered": "quota exceeded", "hint": "check the plan"}
    assert rows.add(failed()).row.items() >= told.items()
    step = rows.add(FailedOver("c-1", 1.0, "tts", "alternate", "spare")).row
    assert (step["position"], step["what"], step["answered"], step["hint"]) == (1, "alternate", "", "")
