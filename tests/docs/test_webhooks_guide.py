"""The receiver in the guide to webhooks takes what the engine sends, and nothing else."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import get_args

import pytest

import voicepipe
from reference_engine.settings.notify_settings import Event, NotifyTarget
from reference_engine.telemetry.webhook_messages import headers_of

GUIDE = (Path(voicepipe.__file__).parents[1] / "docs/how-to/webhooks.md").read_text(encoding="utf-8")
SECRETS = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "QUJD" * 8]
BODY = '{"type":"call.ended","data":{"caller":"Zoë"}}'


@pytest.fixture
def verify():
    names = {}
    exec(re.search(r"```python\n(.*?)```", GUIDE, re.DOTALL)[1], names)
    return names["verify"]


def signed(*secrets, at=None):
    secret, old = (*map(voicepipe.Secret, secrets), None)[:2]
    url = voicepipe.Secret("http://127.0.0.1:9/")
    target = NotifyTarget(url, ("call.ended",), secret=secret, old_secret=old)
    return headers_of(target, "msg_1", BODY, time.time() if at is None else at)


def test_the_receiver_of_the_guide_takes_what_the_engine_sends(verify):
    verify(SECRETS[0], signed(SECRETS[0]), BODY.encode())
    for secret in SECRETS:
        verify(secret, signed(*SECRETS), BODY.encode())


def test_and_refuses_the_rest(verify):
    for headers, body in (
        (signed(SECRETS[1]), BODY),
        (signed(SECRETS[0]), BODY + " "),
        (signed(SECRETS[0]) | {"webhook-id": "msg_2"}, BODY),
        (signed(SECRETS[0], at=time.time() - 400), BODY),
    ):
        with pytest.raises(ValueError, match=r"too old|not signed"):
            verify(SECRETS[0], headers, body.encode())


def test_every_event_is_in_the_guides_table():
    told = re.findall(r"`([a-z]+\.[a-z]+)`", "".join(re.findall(r"^\| (`[^|]*) \|", GUIDE, re.MULTILINE)))
    assert sorted(told) == sorted(get_args(Event))
