"""The keys of a webhook's target in `engine.yaml`."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import and_, ge, gt, le, min_len, optional

from voicepipe import CaFile, Secret

Event: TypeAlias = Literal[
    "call.started",
    "call.ended",
    "call.lost",
    "component.failed",
    "component.recovered",
    "recording.failed",
    "reload.applied",
    "reload.rejected",
]
"""The events of which webhooks tell."""

SECRET_PREFIX = "whsec_"  # noqa: S105 - a prefix that Standard Webhooks gives secrets
LEAST_KEY, MOST_KEY = 24, 64
"""The bytes of a key (Standard Webhooks, "Signature scheme")."""


def key_of(secret: str) -> bytes:
    """Returns the key of a secret.

    Raises:
        ValueError: it is none by the specification.

    """
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not LEAST_KEY <= len(key) <= MOST_KEY:
        how = 'echo "whsec_$(openssl rand -base64 32)"'
        raise ValueError(f"must be {LEAST_KEY} to {MOST_KEY} random bytes in base64, after `whsec_`; make one: {how}")
    return key


def _is_url(_instance: Any, _attribute: Any, url: Secret) -> None:
    try:
        parts = urlsplit(str(url))
        valid = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not str(url).isascii() or not str(url).isprintable() or " " in str(url):
        raise ValueError("must be an address that begins with http:// or https://")


def _has_key(_instance: Any, _attribute: Any, secret: Secret) -> None:
    key_of(str(secret))


def _are_headers(_instance: Any, _attribute: Any, headers: Mapping[str, Secret]) -> None:
    for name, value in headers.items():
        if not name or not name.replace("-", "").isalnum() or not name.isascii():
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower().startswith("webhook-") or name.lower() in {"content-type", "content-length", "host"}:
            raise ValueError(f"{name!r} is set by the engine")
        if not (str(value).isascii() and str(value).isprintable()):
            raise ValueError(f"the header {name!r} has a line break or another special character in its value")


@frozen
class NotifyTarget:
    """An address that gets webhooks."""

    url: Secret = field(validator=_is_url)
    """The address, `http://` or `https://`; logs and metrics show its host only."""
    events: tuple[Event, ...] = field(validator=min_len(1))
    """The events that it gets."""
    secret: Secret | None = field(default=None, validator=optional(_has_key))
    """The secret by which it verifies that webhooks are the engine's: `whsec_` and 24 to 64 bytes in base64. Null: they
    are not signed."""
    old_secret: Secret | None = field(default=None, validator=optional(_has_key))
    """The secret before, by which webhooks are signed too while the receiver changes to the new one."""
    name: str = ""
    """The target's name in logs and metrics. Left out, it is the host of the `url`."""
    transcript: bool = False
    """Whether `call.ended` has what was said and heard, as `redact` of the set leaves it."""
    headers: Mapping[str, Secret] = field(factory=dict, validator=_are_headers)
    """Further headers, such as `authorization`."""
    ca_file: CaFile | None = None
    """A PEM file of the CA certificates to trust; null: those that this machine trusts."""
    timeout_s: float = field(default=10.0, validator=and_(gt(0), le(60)))
    """The longest wait for the target's answer, in s."""
    keep_h: float = field(default=72.0, validator=and_(gt(0), le(30 * 24)))
    """How long a webhook is retried, in h; then it is dropped, counted and logged."""
    max_waiting: int = field(default=10_000, validator=ge(1))
    """The most webhooks that wait for the target; the oldest are dropped beyond it."""

    @property
    def shown(self) -> str:
        """The name, or else the host."""
        return self.name or urlsplit(str(self.url)).hostname or ""

    @property
    def key(self) -> str:
        """The target's name in the file of waiting webhooks, which does not show its address."""
        return self.name or sha256(str(self.url).encode()).hexdigest()[:32]


def default_notify_spool() -> Path:
    """Returns the file of waiting webhooks: in systemd's state directory, or else in the user's."""
    if state := os.environ.get("STATE_DIRECTORY"):
        return Path(state.split(":", 1)[0]) / "webhooks.db"
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "voicepipe" / "webhooks.db"
