"""The log by itself: its two forms, its levels, and readers that misbehave."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from contextlib import contextmanager

import pytest
from patience import LONG_S

from reference_engine.log.line_writer import MAX_LINES, LineWriter
from reference_engine.log.log import adopt_standard_logging, open_log
from reference_engine.reports.reload_log import reload_log
from voicepipe import Retired


@pytest.fixture
def levels():
    return {"main": "INFO", "other": "ERROR"}


@pytest.fixture
def written(tmp_path, levels):
    """Runs a block with a log of that form; what it wrote is the list that it is given, afterwards."""

    @contextmanager
    def writing(form):
        lines: list[str] = []
        with (tmp_path / "log").open("w+b") as file:
            with LineWriter(file.fileno()) as writer:
                yield open_log(writer, form, levels.__getitem__), lines
            file.seek(0)
            lines += file.read().decode().splitlines()

    return writing


def test_a_record_is_one_json_object_on_one_line(written):
    with written("json") as (log, lines):
        log.info("call.turn", set="main", said="two\nlines \udcff \x1b[31m", path=os.environ)
    (line,) = lines
    record = json.loads(line)
    assert list(record)[:3] == ["timestamp", "level", "event"]
    assert record["said"] == "two\nlines \udcff \x1b[31m"


def test_a_set_s_level_is_asked_for_each_record_and_the_engine_s_own_are_kept(written, levels):
    with written("json") as (log, lines):
        log.info("kept", set="main")
        log.info("dropped", set="other")
        log.debug("dropped", set="main")
        log.error("kept", set="other")
        log.info("engine.ready", set="other")
        log.info("kept")
        levels["main"] = "WARNING"
        log.info("dropped", set="main")
        reload_log(log)(Retired(set="main", version=1))
        levels["main"] = "DEBUG"
        log.debug("kept", set="main")
    assert [json.loads(line)["event"] for line in lines] == ["kept", "kept", "engine.ready", "kept", "kept"]


def test_on_a_terminal_problems_stand_below_and_callers_can_t_forge_lines(written):
    problem = {
        "file": "a.yaml",
        "line": 3,
        "column": 5,
        "path": "pipelines.x",
        "message": "is \x1b[2Jwrong",
        "hint": "mend\nit",
    }
    label = {"name": "house_voice", "adapter": "espeak", "model": "en-us"}
    with written("console") as (log, lines):
        log.error("reload.rejected", set="main", plan={"opened": []}, problems=[problem])
        log.info("call.started", set="main", tts=label, stt={**label, "adapter": "vosk", "model": None})
        log.info("call.turn", set="main", heard="hello\n2026-01-01 [error] engine.failed", said="\x1b[31mred")
    first, second, started, turn = lines
    assert "reload.rejected" in first
    assert "plan" not in first
    assert second == r"    a.yaml:3:5: pipelines.x: is \x1b[2Jwrong (mend\nit)"
    assert "tts='espeak en-us'" in started
    assert "stt=vosk" in started
    assert "\\n2026" in turn
    assert "\x1b" not in turn


def test_a_traceback_on_a_terminal_can_not_act_on_it(written):
    with written("console") as (log, lines):
        log.error("call.crashed", exc_info=RuntimeError("a\x1b[2Jdefect\x9b1m"))
    assert lines[-1].endswith(r"RuntimeError: a\x1b[2Jdefect\x9b1m")


def test_a_traceback_is_part_of_its_record(written):
    with written("json") as (log, lines):
        log.error("call.crashed", exc_info=RuntimeError("a defect"))
    (line,) = lines
    assert json.loads(line)["exception"].endswith("RuntimeError: a defect")


def test_what_libraries_say_is_in_the_same_log(written):
    root = logging.getLogger()
    before = root.handlers[:], root.level
    try:
        with written("json") as (log, lines):
            adopt_standard_logging(log)
            logging.getLogger("some.library").warning("about %s", "something")
            logging.getLogger("some.library").info("chatter")
    finally:
        logging.captureWarnings(capture=False)
        root.handlers[:], root.level = before
    (line,) = lines
    assert (
        json.loads(line).items()
        >= {"event": "library.message", "logger": "some.library", "message": "about something"}.items()
    )


def test_nobody_waits_for_a_reader_that_stopped_and_what_it_missed_is_counted():
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    began = time.monotonic()
    with LineWriter(writing) as writer:
        log = open_log(writer, "json", lambda _set: "INFO")
        for _ in range(MAX_LINES + 500):
            log.info("much", text="x" * 100)
        assert time.monotonic() - began < LONG_S
        assert 0 < writer.lost <= 500
        lost = writer.lost
        with os.fdopen(reading, "rb") as reader:
            for _ in range(MAX_LINES):
                reader.readline()
            log.info("last")
            while (record := json.loads(reader.readline()))["event"] != "last":
                pass
    os.close(writing)
    assert record["lost_records"] == lost


def test_a_reader_that_is_gone_is_nobody_s_trouble():
    reading, writing = os.pipe()
    os.close(reading)
    with LineWriter(writing) as writer:
        log = open_log(writer, "json", lambda _set: "INFO")
        log.info("unread")
    os.close(writing)
    assert writer.lost == 1
