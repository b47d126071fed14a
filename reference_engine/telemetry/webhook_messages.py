"""Webhooks as they are sent: their bodies, their signatures, and what an answer means. Pure functions.

They follow the specification Standard Webhooks 1.0 (https://www.standardwebhooks.com), so receivers can verify them
with its libraries.
"""

from __future__ import annotations

import base64
import hmac
import json
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from attrs import frozen

from reference_engine.settings.notify_settings import key_of

if TYPE_CHECKING:
    from reference_engine.settings.notify_settings import NotifyTarget

Fate: TypeAlias = Literal["delivered", "retry", "refused", "gone"]
"""What an answer means: taken; to be tried again; not to be tried again; the target wants no more at all."""

PASSING = frozenset({408, 425, 429})
"""Answers of the class 4xx that a later attempt may change."""

MOST_RETRY_AFTER_S = 24 * 60 * 60.0
FIRST_PAUSE_S, LONGEST_PAUSE_S, PAUSE_FACTOR = 5.0, 4 * 60 * 60.0, 3


@frozen
class TargetAnswer:
    """The answer to one attempt."""

    status: int | None
    """The HTTP status; None: there was no answer."""
    reason: str = ""
    """Why there was none."""
    retry_after: str = ""
    """The header `Retry-After`; empty: there is none."""

    @property
    def fate(self) -> Fate:
        """What it means."""
        if self.status is None or self.status in PASSING or self.status >= 500:
            return "retry"
        if 200 <= self.status < 300:
            return "delivered"
        return "gone" if self.status == 410 else "refused"

    def retry_after_s(self, now: float) -> float:
        """Returns the pause that the target asks for, in s, within a day; 0: it asks for none."""
        text = self.retry_after.strip()
        if text.isascii() and text.isdecimal():
            return min(float(text[:9]), MOST_RETRY_AFTER_S)
        try:
            at = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return 0.0
        at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
        return min(max(0.0, at.timestamp() - now), MOST_RETRY_AFTER_S)

    def __str__(self) -> str:
        if self.status is None:
            return self.reason
        if 300 <= self.status < 400:
            return f"HTTP {self.status}: redirects are not followed"
        return f"HTTP {self.status}"


def body_of(event: str, at: float, data: dict[str, Any]) -> str:
    """Returns the body of a webhook, as JSON.

    Args:
        event: its type: `call.ended`.
        at: when it happened, in s since the epoch.
        data: its data.

    """
    timestamp = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    body = {"type": event, "timestamp": timestamp, "data": data}
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), default=str)


def headers_of(target: NotifyTarget, message_id: str, body: str, now: float) -> dict[str, str]:
    """Returns the headers of an attempt.

    Args:
        target: the receiver.
        message_id: the same at each attempt, so that the receiver can tell a repetition.
        body: the body.
        now: the time of the attempt, in s since the epoch.

    """
    headers = {name: str(value) for name, value in target.headers.items()}
    headers |= {"content-type": "application/json", "webhook-id": message_id, "webhook-timestamp": str(int(now))}
    secrets = [str(secret) for secret in (target.secret, target.old_secret) if secret is not None]
    if secrets:
        headers["webhook-signature"] = " ".join(signature(secret, message_id, int(now), body) for secret in secrets)
    return headers


def signature(secret: str, message_id: str, timestamp: int, body: str) -> str:
    """Returns the symmetric signature `v1`: HMAC-SHA256 of ID, time and body, which dots separate."""
    signed = f"{message_id}.{timestamp}.{body}".encode("utf-8", "surrogatepass")
    return "v1," + base64.b64encode(hmac.digest(key_of(secret), signed, "sha256")).decode()


def pause_s(failures: int, share: float) -> float:
    """Returns the pause after so many failed attempts in a row, in s.

    Args:
        failures: at least 1.
        share: a random number from 0 to 1, which spreads the attempts of many senders: the pause is between half and
            all of what grows threefold with each failure.

    """
    whole = FIRST_PAUSE_S * float(PAUSE_FACTOR) ** float(min(failures - 1, 10))
    return float(min(whole, LONGEST_PAUSE_S)) * (0.5 + share / 2)
