"""Webhooks as they are sent: signatures by Standard Webhooks, and what answers mean."""

from __future__ import annotations

import json

import pytest

from reference_engine.settings.notify_settings import NotifyTarget, default_notify_spool, key_of
from reference_engine.telemetry.webhook_messages import TargetAnswer, body_of, headers_of, pause_s, signature
from voicepipe import Secret

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD = "whsec_" + "QUJD" * 8
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
"""What the library of Standard Webhooks, 1.0, signs ID, 1614265330 and `{"test": 2432232314}` with."""


def target(**settings):
    return NotifyTarget(Secret("https://ops.example.com/hook"), ("call.ended",), **settings)


def test_the_signature_is_that_of_the_specifications_library():
    assert signature(SECRET, ID, 1614265330, '{"test": 2432232314}') == SIGNED


def test_the_headers_of_an_attempt():
    signed = target(secret=Secret(SECRET), old_secret=Secret(OLD), headers={"authorization": Secret("Bearer x")})
    body = '{"test": 2432232314}'
    assert headers_of(signed, ID, body, 1614265330.9) == {
        "authorization": "Bearer x",
        "content-type": "application/json",
        "webhook-id": ID,
        "webhook-timestamp": "1614265330",
        "webhook-signature": f"{SIGNED} {signature(OLD, ID, 1614265330, body)}",
    }
    assert "webhook-signature" not in headers_of(target(), ID, body, 0)


def test_a_body():
    body = body_of("call.ended", 1764558000.25, {"caller": "Zoë\n", "of": {1}})
    assert json.loads(body) == {
        "type": "call.ended",
        "timestamp": "2025-12-01T03:00:00.250Z",
        "data": {"caller": "Zoë\n", "of": "{1}"},
    }
    assert "Zoë" in body


@pytest.mark.parametrize(
    ("answer", "fate", "shown"),
    [
        (TargetAnswer(200), "delivered", "HTTP 200"),
        (TargetAnswer(299), "delivered", "HTTP 299"),
        (TargetAnswer(None, "no answer: timed out"), "retry", "no answer: timed out"),
        (TargetAnswer(500), "retry", "HTTP 500"),
        (TargetAnswer(503), "retry", "HTTP 503"),
        (TargetAnswer(599), "retry", "HTTP 599"),
        (TargetAnswer(408), "retry", "HTTP 408"),
        (TargetAnswer(425), "retry", "HTTP 425"),
        (TargetAnswer(429), "retry", "HTTP 429"),
        (TargetAnswer(400), "refused", "HTTP 400"),
        (TargetAnswer(401), "refused", "HTTP 401"),
        (TargetAnswer(404), "refused", "HTTP 404"),
        (TargetAnswer(302), "refused", "HTTP 302: redirects are not followed"),
        (TargetAnswer(410), "gone", "HTTP 410"),
    ],
)
def test_what_an_answer_means(answer, fate, shown):
    assert (answer.fate, str(answer)) == (fate, shown)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("", 0),
        ("120", 120),
        (" 0 ", 0),
        ("99999999999999999999", 86400),
        ("-5", 0),
        ("soon", 0),
        ("Mon, 01 Dec 2025 03:01:00 GMT", 60),
        ("Mon, 01 Dec 2025 03:01:00 -0000", 60),
        ("Mon, 01 Dec 2025 02:00:00 GMT", 0),
        ("Fri, 01 Jan 2100 00:00:00 GMT", 86400),
    ],
)
def test_a_pause_that_a_target_asks_for(header, seconds):
    assert TargetAnswer(503, retry_after=header).retry_after_s(1764558000) == seconds


def test_pauses_grow_threefold_to_four_hours_and_are_spread():
    assert [pause_s(failures, 1) for failures in (1, 2, 3, 4)] == [5, 15, 45, 135]
    assert (pause_s(2, 0), pause_s(9, 1), pause_s(900, 1)) == (7.5, 14400, 14400)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_c2hvcnQ=", "whsec_" + "QUJD" * 22, "whsec_ö", "whsec_@@@@"])
def test_a_secret_that_is_none(secret):
    with pytest.raises(ValueError, match="openssl rand"):
        key_of(secret)


def test_a_target_is_shown_without_its_address():
    secret = NotifyTarget(Secret("https://user:pass@hooks.example.com:8443/T0/B0/XyZ?key=1"), ("call.ended",))
    assert secret.shown == "hooks.example.com"
    assert not {"pass", "XyZ", "key"} & set(secret.key)
    assert "XyZ" not in secret.key
    assert target(name="ops").shown == target(name="ops").key == "ops"


def test_where_waiting_webhooks_are(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    assert default_notify_spool() == tmp_path / "voicepipe/webhooks.db"
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/a:{tmp_path}/b")
    assert default_notify_spool() == tmp_path / "a/webhooks.db"
