"""Deliveries of one target, on a clock of the test's: order, pauses, what is given up, and what survives."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from math import inf
from pathlib import Path

import pytest
from telemetry_peers import Log

from reference_engine.settings.notify_settings import NotifyTarget
from reference_engine.telemetry.webhook_delivery import WebhookDelivery
from reference_engine.telemetry.webhook_messages import TargetAnswer
from reference_engine.telemetry.webhook_spool import NOBODY, About, WaitingWebhook, WebhookSpool
from voicepipe import Secret


class Receiver:
    """A target that answers as it is told, by default with 200; and the clock of its deliveries."""

    def __init__(self, path, **settings):
        self.spool, self.log = WebhookSpool(path / "webhooks.db"), Log()
        self.answers, self.got, self.now = {}, [], 1000.0
        self.target = NotifyTarget(Secret("http://127.0.0.1:9/"), ("call.ended",), **settings)
        self.default = TargetAnswer(200)
        self.delivery = WebhookDelivery(self.target, self.spool, self.take, self.log, lambda: self.now, lambda: 1.0)

    def take(self, headers, body):
        self.got.append((self.now, body))
        return self.answers.get(body, self.default)

    def add(self, *bodies, caller="", made=None, target=None):
        made = self.now if made is None else made
        key = target or self.target.key
        self.spool.add(
            WaitingWebhook(f"msg_{body}", key, "call.ended", About("c", caller), body, made, made) for body in bodies
        )

    def run(self, seconds):
        """Lets so much time pass, with an attempt whenever one is due."""
        until = self.now + seconds
        for _ in range(1000):
            pause = self.delivery.step()
            if self.now + pause > until:
                self.now = until
                return
            self.now += pause
        raise AssertionError("it never rests")

    @property
    def bodies(self):
        return [body for _, body in self.got]


@pytest.fixture
def receiver(tmp_path):
    receiver = Receiver(tmp_path)
    yield receiver
    receiver.spool.close()


def test_webhooks_come_in_order_and_leave_the_file(receiver):
    receiver.add("a", "b", "c")
    receiver.run(0)
    assert receiver.bodies == ["a", "b", "c"]
    assert receiver.delivery.step() == inf
    assert receiver.spool.counts() == {}
    assert receiver.delivery.counts.delivered == 3
    assert receiver.log == []


def test_a_target_that_is_away_is_tried_at_growing_pauses_said_once_and_gets_all_when_it_is_back(receiver):
    receiver.default = TargetAnswer(None, "no answer: refused")
    receiver.add("a", "b", "c")
    receiver.run(3600)
    away = len(receiver.got)
    assert 12 < away < 40
    gaps = [later - earlier for (earlier, _), (later, _) in zip(receiver.got, receiver.got[1:], strict=False)]
    assert gaps[0] == 2.5 and max(gaps) <= 300  # noqa: PT018 - both ends of the pauses
    assert receiver.log.names() == ["webhook.failing"]
    assert receiver.log[0][2]["reason"] == "no answer: refused"
    receiver.default = TargetAnswer(200)
    receiver.run(4 * 3600)
    assert sorted(receiver.bodies[away:]) == ["a", "b", "c"]
    assert receiver.log.names() == ["webhook.failing", "webhook.recovered"]
    assert receiver.delivery.counts.failed == away


def test_one_that_the_target_can_not_digest_holds_no_other_up(receiver):
    receiver.answers["bad"] = TargetAnswer(500)
    receiver.add("bad", "b", "c")
    receiver.run(10)
    assert receiver.bodies[:3] == ["bad", "b", "c"]
    receiver.add("d")
    receiver.run(0)
    assert "d" in receiver.bodies
    assert receiver.spool.counts() == {receiver.target.key: 1}


def test_a_pause_that_the_target_asks_for_is_kept(receiver):
    receiver.default = TargetAnswer(429, retry_after="90")
    receiver.add("a")
    receiver.run(0)
    receiver.default = TargetAnswer(200)
    receiver.run(300)
    assert [at for at, _ in receiver.got] == [1000.0, 1090.0]


def test_what_is_refused_is_dropped_counted_and_said_once_a_minute(receiver):
    receiver.default = TargetAnswer(404)
    receiver.add("a", "b", "c")
    receiver.run(30)
    assert receiver.spool.counts() == {}
    assert receiver.delivery.counts.dropped == 3
    assert [(name, fields["dropped"]) for _, name, fields in receiver.log] == [("webhook.refused", 1)]
    receiver.run(60)
    receiver.add("d")
    receiver.run(0)
    assert [fields["dropped"] for *_, fields in receiver.log] == [1, 3]


def test_a_target_that_is_gone_gets_no_more(receiver):
    receiver.default = TargetAnswer(410)
    receiver.add("a", "b")
    receiver.run(60)
    receiver.add("c")
    receiver.run(60)
    assert receiver.bodies == ["a"]
    assert receiver.delivery.counts.dropped == 3
    assert receiver.log.names() == ["webhook.gone", "webhook.dropped", "webhook.dropped"]


def test_the_oldest_beyond_a_number_and_an_age_are_dropped(tmp_path):
    receiver = Receiver(tmp_path, max_waiting=3, keep_h=1)
    receiver.default = TargetAnswer(503)
    receiver.add("old", made=receiver.now - 3601)
    receiver.add(*"abcde")
    receiver.run(0)
    assert receiver.delivery.counts.dropped == 3
    assert receiver.bodies == ["c"]
    receiver.run(3700)
    assert receiver.spool.counts() == {}
    assert receiver.delivery.counts.dropped == 6


@pytest.mark.parametrize("jump", [-10 * 365 * 86400, 86400])
def test_a_clock_that_jumps_delays_nothing_for_long(tmp_path, jump):
    receiver = Receiver(tmp_path, keep_h=72)
    receiver.now = 1.7e9
    receiver.default = TargetAnswer(503)
    receiver.add("a")
    receiver.run(0)
    receiver.default = TargetAnswer(200)
    receiver.now += jump
    receiver.run(300)
    assert receiver.bodies == ["a", "a"]


def test_a_callers_webhooks_are_forgotten_for_good(receiver, tmp_path):
    receiver.add("of-anna", "also-of-anna", caller="+1 (555) 0100")
    receiver.add("of-bob", caller="+15550101")
    assert receiver.spool.count_about(["+15550100"], ["+15550101"]) == 2
    assert receiver.spool.remove_about(["0015550100"], ["+15550101"]) == 2
    receiver.run(0)
    assert receiver.bodies == ["of-bob"]
    assert b"of-anna" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_what_is_queued_survives_kill_9(tmp_path):
    path = tmp_path / "state" / "webhooks.db"
    script = f"""
import os, pathlib, signal
from reference_engine.telemetry.webhook_spool import NOBODY, WaitingWebhook, WebhookSpool
spool = WebhookSpool(pathlib.Path({str(path)!r}))
spool.add(WaitingWebhook(f"msg_{{n}}", "t", "call.ended", NOBODY, str(n), 1.0, 1.0) for n in range(200))
spool.add([WaitingWebhook("msg_200", "t", "call.ended", NOBODY, "200", 1.0, 1.0)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -signal.SIGKILL
    spool = WebhookSpool(path)
    assert spool.counts() == {"t": 201}
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    first = spool.next_due("t", 2.0)
    assert (first.id, first.body) == ("msg_0", "0")
    spool.close()


def test_a_damaged_file_is_put_aside(tmp_path):
    path = tmp_path / "webhooks.db"
    path.write_bytes(b"this is not SQLite's" * 100)
    spool = WebhookSpool(path)
    assert spool.counts() == {}
    assert Path(spool.put_aside).read_bytes().startswith(b"this is not")
    spool.close()


def test_several_are_kept_or_none(receiver):
    broken = [
        WaitingWebhook("m", "t", "call.ended", NOBODY, "x", 1.0, 1.0),
        WaitingWebhook(None, "t", "call.ended", NOBODY, "y", 1.0, 1.0),
    ]
    with pytest.raises(sqlite3.IntegrityError):
        receiver.spool.add(broken)
    assert receiver.spool.counts() == {}
