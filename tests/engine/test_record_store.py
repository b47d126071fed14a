"""The store of records: rows of a call are in the database while it goes on, whatever texts it has."""

from __future__ import annotations

import sqlite3

from patience import LONG_S
from recorded_events import Log, began, ended, record_store, turn, whole_call

from reference_engine.log.masked_values import KnownValues, Mask
from reference_engine.records import store as store_module
from voicepipe import RecordingConsent


def rows(path, query):
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchall()


def test_a_call_is_there_from_its_first_moment(tmp_path):
    path = tmp_path / "records/calls.db"
    with record_store(f"sqlite://{path}", tmp_path / "spool") as store:
        store.wait_ready()
        store.observe(began("a"))
        store.observe(turn("a"))
        assert store.wait_stored(LONG_S)
        assert rows(path, "SELECT call_id, state, caller, transport, counted FROM calls") == [
            ("a", "up", "+4930123", "audiosocket", None)
        ]
        assert rows(path, "SELECT heard, response_ms FROM turns") == [("two tickets please", 501.0)]
        store.observe(turn("a", 2, interrupted=True))
        store.observe(ended("a", 2, metadata={"order": 7, "object": object}))
        assert store.wait_stored(LONG_S)
    assert rows(path, "SELECT state, turns, interruptions, response_ms, duration_s, counted FROM calls") == [
        ("ended", 2, 1, 501.5, 10.0, "ended")
    ]
    assert rows(path, "SELECT calls, turns FROM hourly") == [(1, 2)]
    assert rows(path, "SELECT ended IS NOT NULL FROM engine_runs") == [(1,)]
    assert path.stat().st_mode & 0o077 == path.parent.stat().st_mode & 0o077 == 0
    assert not (tmp_path / "spool").exists()


def test_the_consent_to_a_recording_is_there_when_it_is_settled(tmp_path):
    path = tmp_path / "calls.db"
    with record_store(f"sqlite://{path}", tmp_path / "spool") as store:
        for event in (began("a"), began("b"), began("c")):
            store.observe(event)
        store.observe(RecordingConsent("a", 5.0, "given", "calls/a.wav"))
        store.observe(RecordingConsent("b", 5.0, "refused"))
        assert store.wait_stored(LONG_S)
        settled = rows(path, "SELECT call_id, consent, recording FROM calls ORDER BY call_id")
        for call in "abc":
            store.observe(ended(call))
        assert store.wait_stored(LONG_S)
    assert settled == [("a", "given", "calls/a.wav"), ("b", "refused", ""), ("c", None, "")]
    assert rows(path, "SELECT call_id, consent, recording FROM calls ORDER BY call_id") == settled


def test_a_new_call_is_not_gathered_with_others(tmp_path, monkeypatch):
    """An engine that is killed a moment later has a record of it; other rows may wait."""
    path = tmp_path / "calls.db"
    with record_store(f"sqlite://{path}", tmp_path / "spool") as store:
        store.wait_ready()
        with monkeypatch.context() as patch:
            patch.setattr(store_module, "GATHER_S", 10 * LONG_S)
            for call in "abc":
                store.observe(began(call))
                assert store.wait_stored(LONG_S)
            assert rows(path, "SELECT call_id, state FROM calls ORDER BY 1") == [(call, "up") for call in "abc"]


def test_no_text_is_refused(tmp_path):
    """A NUL or half a surrogate pair, which databases do not take, must not cost a call its record."""
    path = tmp_path / "calls.db"
    with record_store(f"sqlite://{path}", tmp_path / "spool") as store:
        odd = {"heard": "a\0b\ud800c", "said": "\N{PILE OF POO}"}
        for event in (began("a", variables={"name": "Zo\ud83d"}), turn("a", **odd), ended("a", metadata={"x": "\0"})):
            store.observe(event)
        assert store.wait_stored(LONG_S)
        assert store.lost == 0
    assert rows(path, "SELECT heard, said FROM turns") == [
        ("a\N{REPLACEMENT CHARACTER}b?c", "\N{PILE OF POO}"),
    ]


def test_values_that_logs_mask_are_not_stored(tmp_path):
    path = tmp_path / "calls.db"
    known = KnownValues()
    with record_store(f"sqlite://{path}", tmp_path / "spool") as store:
        for event in (began("a"), turn("a", heard="call +4930123 now"), ended("a", detail="to +4930123")):
            known.observe(event)
            store.observe(event, lambda: Mask(known, ["caller"]))
        assert store.wait_stored(LONG_S)
    assert rows(path, "SELECT caller, called, detail FROM calls") == [("***", "100", "to ***")]
    assert "4930123" not in str(rows(path, "SELECT * FROM turns"))


def test_a_row_that_is_refused_holds_up_no_other(tmp_path):
    path, log = tmp_path / "calls.db", Log()
    with record_store(f"sqlite://{path}", tmp_path / "spool", log=log) as store:
        store.write("turns", {"call_id": "nobody", "position": 0, "heard": ""})
        for event in whole_call("a"):
            store.observe(event)
        assert store.wait_stored(LONG_S)
        assert store.lost == 1
    assert rows(path, "SELECT state FROM calls") == [("ended",)]
    (refused,) = log.named("records.refused")
    assert (refused["table"], refused["call_id"]) == ("turns", "nobody")
