"""The file of calls' records: whose it is, what a crash has left in it, and what is said of losses."""

from __future__ import annotations

import json
import os

import pytest
import trio
from attrs import frozen

from reference_engine.errors import EngineError
from reference_engine.records import record_file
from reference_engine.records.record_file import REPORT_EVERY_S, open_record_file
from reference_engine.reports.metrics import Metrics


@frozen
class Record:
    name: str

    def as_data(self):
        return {"name": self.name}


class Log:
    def __init__(self):
        self.records = []

    def error(self, event, **fields):
        self.records.append({"event": event, **fields})


def names(path):
    return [json.loads(line)["name"] for line in path.read_text().splitlines()]


@pytest.mark.parametrize(("readable_by", "file", "directory"), [("owner", 0o600, 0o700), ("group", 0o640, 0o750)])
def test_nobody_else_may_read_it(tmp_path, readable_by, file, directory):
    path = tmp_path / "new" / "deep" / "calls.jsonl"
    before = os.umask(0)
    try:
        with open_record_file(path, readable_by) as records:
            records.keep(Record("a"))
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == file
    assert {parent.stat().st_mode & 0o777 for parent in (path.parent, path.parent.parent)} == {directory}
    assert names(path) == ["a"]


def test_what_is_there_keeps_its_mode(tmp_path):
    path = tmp_path / "calls.jsonl"
    path.touch()
    path.chmod(0o644)  # somebody's logrotate made it so
    with open_record_file(path) as records:
        records.keep(Record("a"))
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("left", "kept"),
    [
        ('{"name": "a"}\n{"name": "b', ["a"]),
        ('{"name": "a"}\n{"name": "b"}', ["a", "b"]),
        ('{"nam', []),
        ('{"name": "a"}\n' + '{"name": "' + "x" * 200_000, ["a"]),
        ("", []),
    ],
)
def test_what_a_crash_has_left_is_no_part_of_the_next_record(tmp_path, left, kept):
    path = tmp_path / "calls.jsonl"
    path.write_text(left)
    with open_record_file(path) as records:
        records.keep(Record("next"))
    assert names(path) == [*kept, "next"]


def test_it_is_opened_anew_when_it_was_rotated(tmp_path):
    path = tmp_path / "calls.jsonl"
    with open_record_file(path) as records:
        records.keep(Record("a"))
        records.reopen()  # the same file, if nobody moved it
        records.keep(Record("b"))
        path.rename(tmp_path / "calls.jsonl.1")
        records.reopen()
        records.keep(Record("c"))
    assert names(tmp_path / "calls.jsonl.1")[:1] == ["a"]
    assert [*names(tmp_path / "calls.jsonl.1"), *names(path)] == ["a", "b", "c"]


def test_a_file_that_can_not_be_reopened_goes_on_and_says_so(tmp_path):
    path = tmp_path / "records" / "calls.jsonl"
    log = Log()
    with open_record_file(path) as records:
        path.parent.rename(tmp_path / "moved")
        (tmp_path / "records").write_text("in the way")
        records.reopen()
        while not records._lines.reason:
            pass
        records.report(log)
        records.keep(Record("a"))
    assert names(tmp_path / "moved" / "calls.jsonl") == ["a"]
    (said,) = log.records
    assert "can't be reopened" in said["reason"]


async def test_losses_are_said_once_a_minute_and_counted(tmp_path, monkeypatch, autojump_clock):
    log = Log()
    with open_record_file(tmp_path / "calls.jsonl") as records:
        metrics = Metrics({}, records_lost=lambda: records.lost)
        assert "voicepipe_records_lost_total 0.0" in metrics.exposition()[0].decode()
        monkeypatch.setattr("reference_engine.log.line_writer.MAX_CHARACTERS", 1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(records.report_losses, log)
            await trio.sleep(1.5 * REPORT_EVERY_S)
            assert log.records == []
            for _ in range(3):
                records.keep(Record("lost"))
            await trio.sleep(REPORT_EVERY_S)
            await trio.sleep(2 * REPORT_EVERY_S)  # nothing new
            nursery.cancel_scope.cancel()
        assert "voicepipe_records_lost_total 3.0" in metrics.exposition()[0].decode()
    assert [(one["event"], one["lost"]) for one in log.records] == [("records.failed", 3)]


def test_without_a_path_nothing_is_kept():
    with open_record_file(None) as records:
        records.keep(Record("a"))
        records.reopen()
        records.report(Log())
        assert records.lost == 0


def test_a_place_that_can_not_be_written_is_told_at_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(EngineError, match="can't be written"), open_record_file(tmp_path / "file" / "calls.jsonl"):
        pytest.fail("it opens")
    assert record_file.REPORT_EVERY_S == 60
