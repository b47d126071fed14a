"""Tries a target of webhooks once, for `reference-engine notify`."""

from __future__ import annotations

import socket
from time import time
from typing import TYPE_CHECKING
from uuid import uuid4

from reference_engine.telemetry.webhook_messages import body_of, headers_of
from reference_engine.telemetry.webhook_sending import WebhookSender

if TYPE_CHECKING:
    from reference_engine.settings.notify_settings import NotifyTarget
    from reference_engine.telemetry.webhook_messages import TargetAnswer


def try_target(target: NotifyTarget) -> TargetAnswer:
    """Sends a webhook of the type `test`, and returns the answer; blocks for up to the target's time limit."""
    now = time()
    body = body_of("test", now, {"engine": socket.gethostname()})
    with WebhookSender(target) as send:
        return send(headers_of(target, f"msg_{uuid4().hex}", body, now), body)
