"""Webhooks from an event to a real receiver, and what happens when it is slow, away, or the disk is full."""

from __future__ import annotations

import json
import sqlite3
import threading
from contextlib import closing
from time import monotonic, time

import pytest
from attrs import evolve
from patience import LONG_S
from telemetry_peers import Log, open_receiver, until

from reference_engine.errors import EngineError
from reference_engine.settings.notify_settings import NotifyTarget
from reference_engine.telemetry.webhook_messages import signature
from reference_engine.telemetry.webhook_spool import About, WebhookSpool
from reference_engine.telemetry.webhooks import Webhooks
from voicepipe import Secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def target_of(receiver, **settings):
    settings = {"events": ("call.ended",), "secret": Secret(SECRET), "name": f"t{receiver.port}", **settings}
    return NotifyTarget(Secret(f"{receiver.url}/hook?k=1"), **settings)


def test_an_event_reaches_those_who_want_it_signed(tmp_path):
    with open_receiver() as ops, open_receiver() as other, Webhooks(tmp_path / "w.db", log := Log()) as webhooks:
        assert webhooks.wanted == frozenset()
        webhooks.tell("call.ended", lambda _target: {}, "nobody gets it")
        webhooks.apply([target_of(ops), target_of(other, events=("reload.rejected",))])
        webhooks.tell("call.started", lambda _target: {})
        webhooks.tell("call.ended", lambda target: {"transcript": target.transcript, "of": "Zoë"})
        path, headers, body = ops.next()
        assert path == "/hook?k=1"
        assert json.loads(body)["data"] == {"transcript": False, "of": "Zoë"}
        message_id, timestamp = headers["webhook-id"], int(headers["webhook-timestamp"])
        assert headers["webhook-signature"] == signature(SECRET, message_id, timestamp, body.decode())
        assert abs(time() - timestamp) < LONG_S
        assert headers["user-agent"].startswith("voicepipe/")
        until(lambda: webhooks.counts[f"t{ops.port}"].delivered == 1)
    assert ops.rest() == other.rest() == []
    assert log == []


def test_a_target_that_hangs_delays_no_other_nor_the_end(tmp_path):
    with open_receiver() as slow, open_receiver() as quick:
        slow.may_answer.clear()
        with Webhooks(tmp_path / "w.db", Log(), close_s=0.1) as webhooks:
            webhooks.apply([target_of(slow), target_of(quick)])
            webhooks.tell("call.ended", lambda _target: {"n": 1})
            slow.next()
            quick.next()
            webhooks.tell("call.ended", lambda _target: {"n": 2})
            assert json.loads(quick.next()[2])["data"] == {"n": 2}
            began = monotonic()
        assert monotonic() - began < LONG_S / 2
        with closing(WebhookSpool(tmp_path / "w.db")) as left:
            assert left.counts() == {f"t{slow.port}": 2}
        slow.may_answer.set()


def test_what_was_not_delivered_is_by_the_next_engine_with_the_same_id(tmp_path):
    with open_receiver() as ops:
        ops.status = 503
        with Webhooks(tmp_path / "w.db", Log(), close_s=0.5) as webhooks:
            webhooks.apply([target_of(ops)])
            webhooks.tell("call.ended", lambda _target: {"n": 1}, About("c", "+15550100"))
            _, first, _ = ops.next()
            until(lambda: webhooks.counts[f"t{ops.port}"].failed == 1)
        ops.status = 200
        with sqlite3.connect(tmp_path / "w.db") as file:
            file.execute("UPDATE waiting SET due = 0")
        file.close()
        with Webhooks(tmp_path / "w.db", Log()) as webhooks:
            webhooks.apply([target_of(ops)])
            _, again, body = ops.next()
            assert again["webhook-id"] == first["webhook-id"]
            assert json.loads(body)["data"] == {"n": 1}


def test_settings_that_change_count_at_once(tmp_path):
    with open_receiver() as ops, Webhooks(tmp_path / "w.db", log := Log(), close_s=0.5) as webhooks:
        ops.status = 410
        webhooks.apply([target_of(ops)])
        webhooks.tell("call.ended", lambda _target: {"n": 1})
        ops.next()
        until(lambda: "webhook.gone" in log.names())
        ops.status = 200
        webhooks.apply([evolve(target_of(ops), transcript=True)])
        webhooks.tell("call.ended", lambda target: {"n": 2, "transcript": target.transcript})
        until(lambda: b'"n":2,"transcript":true' in b"".join(body for *_, body in ops.rest()))
        ops.status = 503
        webhooks.tell("call.ended", lambda _target: {"n": 3}, About("c", "+1"))
        ops.next()
        until(lambda: webhooks.counts[f"t{ops.port}"].failed == 1)
        webhooks.apply([])
        assert (webhooks.wanted, dict(webhooks.counts)) == (frozenset(), {})
        assert log.names()[-1] == "webhook.dropped"


def test_waiting_webhooks_of_a_caller_are_forgotten(tmp_path):
    with open_receiver() as ops, Webhooks(tmp_path / "w.db", Log(), close_s=0.1) as webhooks:
        assert webhooks.forget(["+1"]) == 0
        ops.status = 503
        webhooks.apply([target_of(ops)])
        webhooks.tell("call.ended", lambda _target: {}, About("c", "+1", "+9"))
        ops.next()
        until(lambda: webhooks.counts[f"t{ops.port}"].failed == 1)
        assert (webhooks.forget(["+2"], ["+1"]), webhooks.forget(["001"]), webhooks.forget(["+1"])) == (0, 1, 0)


def test_a_file_that_can_not_be_written_keeps_events_in_memory_and_counts_the_rest(tmp_path, monkeypatch):
    with open_receiver() as ops, Webhooks(tmp_path / "w.db", log := Log()) as webhooks:
        webhooks.apply([target_of(ops)])
        add, full = webhooks._spool.add, threading.Event()

        def no_room(messages):
            if not full.is_set():
                raise sqlite3.OperationalError("database or disk is full")
            add(messages)

        webhooks._spool.add = no_room
        webhooks.tell("call.ended", lambda _target: {"n": 1})
        until(lambda: log.names() == ["webhook.file_failed"])
        full.set()
        assert json.loads(ops.next()[2])["data"] == {"n": 1}
        monkeypatch.setattr("reference_engine.telemetry.webhooks.MOST_QUEUED", 0)
        webhooks.tell("call.ended", lambda _target: {"n": 2})
        assert webhooks.lost == 1


def test_a_value_that_makes_no_body_costs_its_webhook_only(tmp_path):
    with open_receiver() as ops, Webhooks(tmp_path / "w.db", log := Log()) as webhooks:
        webhooks.apply([target_of(ops)])
        webhooks.tell("call.ended", lambda _target: 1 / 0)
        webhooks.tell("call.ended", lambda _target: {"n": 2})
        assert json.loads(ops.next()[2])["data"] == {"n": 2}
        assert log.names() == ["webhook.unfit"]


def test_a_place_where_no_file_can_be_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    webhooks = Webhooks(tmp_path / "file/w.db", Log())
    webhooks.apply([])
    with pytest.raises(EngineError, match=r"notify_spool: .*file/w.db can't be used"):
        webhooks.apply([NotifyTarget(Secret("http://127.0.0.1:9/"), ("call.ended",))])
