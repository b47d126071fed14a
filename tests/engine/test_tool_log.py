"""What the log says of tools."""

from __future__ import annotations

import json

from reference_engine.log.line_writer import LineWriter
from reference_engine.log.log import open_log
from reference_engine.reports.call_log import log_call_event
from voicepipe import ToolEnded, ToolStarted


def logged(tmp_path, event):
    with (tmp_path / "log").open("w+b") as file:
        with LineWriter(file.fileno()) as writer:
            log_call_event(open_log(writer, "json", lambda _set: "INFO"), "main", event)
        file.seek(0)
        (line,) = file.read().decode().splitlines()
    return json.loads(line)


def test_the_beginning(tmp_path):
    record = logged(tmp_path, ToolStarted("c", 1.0, "call_7", "book", {"day": "monday"}))
    assert (record["event"], record["level"], record["call_id"], record["set"]) == ("tool.started", "info", "c", "main")
    assert (record["tool"], record["tool_call_id"], record["arguments"]) == ("book", "call_7", {"day": "monday"})


def test_the_end(tmp_path):
    record = logged(tmp_path, ToolEnded("c", 1.0, "call_7", "book", ok=True, result="booked", seconds=0.12345))
    assert (record["event"], record["level"], record["tool"]) == ("tool.ended", "info", "book")
    assert (record["ok"], record["result"], record["seconds"]) == (True, "booked", 0.123)
    assert "exception" not in record


def test_a_failure_that_an_operator_can_mend_has_a_hint(tmp_path):
    event = ToolEnded("c", 1.0, "call_7", "book", ok=False, result="error: ...", seconds=0.1, hint="set ca_file")
    assert logged(tmp_path, event)["hint"] == "set ca_file"


def test_a_tool_that_broke_has_its_traceback(tmp_path):
    try:
        raise ValueError("the calendar is gone")  # noqa: TRY301 - so that it has a traceback
    except ValueError as error:
        event = ToolEnded("c", 1.0, "call_7", "book", ok=False, result="error: ...", seconds=0.1, error=error)
    record = logged(tmp_path, event)
    assert record["level"] == "warning"
    assert "test_tool_log.py" in record["exception"]
    assert "ValueError: the calendar is gone" in record["exception"]
