"""What the log says of replies that were stopped or begun early, and of recordings that fail."""

from __future__ import annotations

import json

import pytest

from reference_engine.log.line_writer import LineWriter
from reference_engine.log.log import open_log
from reference_engine.reports.call_log import log_call_event
from voicepipe import RecordingFailed, ReplyPrepared, ReplyResumed, SpeechDetected


def logged(tmp_path, event, level):
    with (tmp_path / "log").open("w+b") as file:
        with LineWriter(file.fileno()) as writer:
            log_call_event(open_log(writer, "json", lambda _set: level), "main", event)
        file.seek(0)
        return [json.loads(line) for line in file.read().decode().splitlines()]


@pytest.mark.parametrize(
    ("event", "name", "fields"),
    [
        (SpeechDetected("c", 1.23456, interrupts=True), "call.interrupted", {}),
        (ReplyResumed("c", 1.23456, 3), "call.resumed", {"turn": 3}),
        (ReplyPrepared("c", 1.23456, used=False, heard="two"), "call.prepared", {"used": False, "heard": "two"}),
    ],
)
def test_what_happens_in_passing_is_for_debugging(tmp_path, event, name, fields):
    (record,) = logged(tmp_path, event, "DEBUG")
    expected = {"event": name, "level": "debug", "call_id": "c", "set": "main", "at_s": 1.235, **fields}
    assert {key: record[key] for key in expected} == expected
    assert set(record) == {*expected, "timestamp"}
    assert logged(tmp_path, event, "INFO") == []


def test_a_recording_that_fails_is_a_warning(tmp_path):
    (record,) = logged(tmp_path, RecordingFailed("c", 7.0, "calls/c.wav", "No space left"), "INFO")
    assert (record["event"], record["level"]) == ("recording.failed", "warning")
    assert (record["path"], record["reason"], record["call_id"]) == ("calls/c.wav", "No space left", "c")


def test_speech_that_stops_nothing_is_not_logged(tmp_path):
    assert logged(tmp_path, SpeechDetected("c", 1.0, interrupts=False), "DEBUG") == []
