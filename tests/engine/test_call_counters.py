"""The table of counters that calls' events add to: each event with what it counts as."""

from __future__ import annotations

import pytest

from reference_engine.reports.call_counters import COUNTERS, CallCounts, call_counter_families
from voicepipe import (
    CallEnded,
    CallEvent,
    ComponentError,
    ComponentFailed,
    FailedOver,
    RecordingFailed,
    ReplyPrepared,
    ReplyResumed,
    SpeechDetected,
    TurnEnded,
)

PARTS = {"pipelines": ["day", "night"], "stt": ["vosk"], "llm": ["a", "b"], "tts": ["espeak"]}


def turn(*, interrupted):
    return TurnEnded("c", 1.0, 1, "utterance", "so", "yes", interrupted=interrupted, response_ms=1.0)


@pytest.mark.parametrize(
    ("event", "metric", "key"),
    [
        (CallEnded("c", 9.0, "idle", 3), "voicepipe_calls", ("day", "idle")),
        (
            ComponentFailed("c", 1.0, "llm", ComponentError("HTTP 500", component="a")),
            "voicepipe_component_failures",
            ("llm", "a"),
        ),
        (FailedOver("c", 1.0, "tts", "apology", ""), "voicepipe_failovers", ("tts", "apology")),
        (RecordingFailed("c", 1.0, "c.wav", "full"), "voicepipe_recordings_failed", ("day",)),
        (turn(interrupted=True), "voicepipe_interruptions", ("day", "ended")),
        (ReplyResumed("c", 1.0, 1), "voicepipe_interruptions", ("day", "resumed")),
        (ReplyPrepared("c", 1.0, used=True, heard="so"), "voicepipe_prepared_replies", ("day", "used")),
        (ReplyPrepared("c", 1.0, used=False, heard="so"), "voicepipe_prepared_replies", ("day", "wasted")),
    ],
)
def test_an_event_adds_one_to_one_series_that_was_there_at_0(event, metric, key):
    counts = CallCounts()
    counts.begin_at_zero(PARTS)
    assert counts.by_metric[metric][key] == 0
    assert key in counts.by_metric[metric]
    series = {metric: set(keys) for metric, keys in counts.by_metric.items()}
    counts.observe("day", event)
    counts.begin_at_zero(PARTS)
    assert {metric: +counted for metric, counted in counts.by_metric.items() if +counted} == {metric: {key: 1}}
    assert {metric: set(keys) for metric, keys in counts.by_metric.items()} == series


@pytest.mark.parametrize("event", [turn(interrupted=False), SpeechDetected("c", 1.0, interrupts=True)])
def test_other_events_add_nothing(event):
    counts = CallCounts()
    counts.observe("day", event)
    assert not any(counts.by_metric.values())


def test_the_table_is_consistent():
    """Series have a value for each label, and events are those of calls."""
    counts = CallCounts()
    counts.begin_at_zero(PARTS)
    for counter in COUNTERS:
        assert counter.keys.keys() <= set(CallEvent.__args__)
        assert {len(key) for key in counts.by_metric[counter.metric]} == {len(counter.labels)}
    exposed = [family.name for family in call_counter_families([("main", counts)])]
    assert exposed == [counter.metric for counter in COUNTERS]
