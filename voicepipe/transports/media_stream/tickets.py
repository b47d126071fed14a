"""Signed tickets: what the instructions tell a carrier to bring along, so that a stranger can't make a call up.

A webhook that is authenticated gets the URL of the WebSocket with a ticket in it. The ticket says who calls whom, is
signed by this engine, and is good once and for a short time. So the numbers of a call are those of the carrier's own
webhook, whatever the stream's messages say, and the request for the WebSocket is refused unless it has a good ticket.
A ticket is signed, not encrypted: whoever sees the URL can read the numbers.
"""

from __future__ import annotations

import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

from attrs import field, fields, frozen

LIFETIME_S: Final = 120
"""How long a ticket is good, in s: carriers connect at once, and retry for some seconds."""
SPENT: Final = 10_000
"""The most used tickets that are remembered until they have expired; the oldest are forgotten first."""
PAYLOAD_BYTES: Final = 1200
"""The most that a ticket says, in bytes, with which its URL stays below the 2,048 characters that carriers take."""
TICKET_CHARACTERS: Final = 2048
"""The longest ticket that is looked at, in characters."""
MAC_BYTES: Final = 18  # a multiple of 3, so that base64 has one form of it


@frozen
class WebhookFacts:
    """What a carrier's webhook says of a call."""

    caller: str = ""
    """The caller's number; empty if it has none."""
    called: str = ""
    """The number that was called; empty if it has none."""
    call_id: str = ""
    """The carrier's ID of the call; empty if it has none."""
    variables: Mapping[str, str] = field(factory=dict)
    """SIP headers, and parameters that the user added to the webhook's URL."""


class Tickets:
    """Issues and reads the tickets of one listener."""

    def __init__(self, secret: str, listener: str) -> None:
        """Signs with a key made of a secret and the listener's name, so that engines that share both share tickets."""
        self._key = hmac.digest(secret.encode(), f"voicepipe media_stream ticket {listener}".encode(), "sha256")
        self._spent: OrderedDict[str, float] = OrderedDict()

    def issue(self, facts: WebhookFacts, now: float) -> str:
        """Returns a ticket for a call; `now` is the time since the epoch, in s."""
        expires, nonce, named = int(now) + LIFETIME_S, secrets.token_urlsafe(9), dict(facts.variables)
        while True:
            stated = [expires, nonce, facts.caller, facts.called, facts.call_id, named]
            payload = json.dumps(stated, separators=(",", ":")).encode()
            if len(payload) <= PAYLOAD_BYTES or not named:
                return f"{_encode(payload)}.{_encode(self._sign(payload))}"
            named.popitem()  # a URL must not be long: the variables that came first are kept

    def read(self, ticket: str, now: float) -> WebhookFacts | None:
        """Returns what a ticket says; None if it is not signed by this listener, has expired, or was used."""
        stated = self._read(ticket)
        if stated is None or stated[0] < now or stated[1] in self._spent:
            return None
        return WebhookFacts(*stated[2:])

    def spend(self, ticket: str, now: float) -> WebhookFacts | None:
        """Returns what a ticket says, as `read` does, and makes it useless for a second call."""
        facts = self.read(ticket, now)
        if facts is not None and (stated := self._read(ticket)) is not None:
            while self._spent and (len(self._spent) >= SPENT or next(iter(self._spent.values())) < now):
                self._spent.popitem(last=False)
            self._spent[stated[1]] = stated[0]
        return facts

    def _read(self, ticket: str) -> list[Any] | None:
        """Returns the content of a ticket that this listener signed; None if it did not."""
        encoded, _, mac = ticket[:TICKET_CHARACTERS].rpartition(".")
        try:
            payload, given = _decode(encoded), _decode(mac)
        except ValueError:
            return None
        if not hmac.compare_digest(self._sign(payload), given):
            return None
        stated: list[Any] = json.loads(payload)
        return (
            stated if len(stated) == 2 + len(fields(WebhookFacts)) else None
        )  # of another version that has the same secret

    def _sign(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, payload, "sha256")[:MAC_BYTES]


def _encode(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
