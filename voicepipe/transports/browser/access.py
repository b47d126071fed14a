"""Who may place calls over a browser's listener: a token, and the pages from which a browser may connect. No I/O.

A listener without a token is for the browsers of this machine. They also show pages of strangers, and a page may open a
WebSocket to any address, without asking. Two headers, which no page can forge, tell these apart:

- `Origin` is the address of the page. It must be that of our own page: the same as `Host`, or one of `origins`.
- `Host` is the name by which the browser found this machine. A stranger may have a name of theirs resolve to 127.0.0.1
  (DNS rebinding); then `Origin` and `Host` are the same, and both are theirs. So without a token `Host` must be a name
  or an address of the loopback interface, or that of one of `origins`.

With a token, a stranger's page does not know it, and any `Host` is as good as another: it depends on proxies. Programs
send no `Origin`, and need no protection from themselves.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from voicepipe.transports.bind_options import is_loopback

if TYPE_CHECKING:
    from collections.abc import Collection

    from voicepipe.transports.websocket_calls import Upgrade

NONE_GIVEN = (
    "This page needs its token: open it by the address that ends in #token=... The token is in the engine's file, as "
    '"token" of the listener.'
)
WRONG = 'The token in this address is not the one in the engine\'s file ("token" of the listener).'


def why_refused(request: Upgrade, token: str | None, origins: Collection[str]) -> tuple[int, str] | None:
    """Returns the status and the words that refuse a request to call; None: it may.

    Args:
        request: the request, which bears the token as `Authorization: Bearer ...`, or in base64url as the name of a
            subprotocol, `token.c2VjcmV0`.
        token: the listener's; None: it has none.
        origins: further pages that may connect: `https://agent.example.com`.

    """
    host = request.headers.get("host", "").lower()
    origin = request.headers.get("origin", "").lower()
    admitted = {entry.lower().rstrip("/") for entry in origins}
    if origin and origin not in admitted and _host_of(origin) != host:
        return 403, (
            f"The page {_printable(origin)} may not place calls here, since this is {_printable(host)}. Behind a "
            'proxy, list its address in "origins" of the listener.'
        )
    if token is None:
        if not _is_this_machine(_name_of(host)) and host not in {_host_of(entry) for entry in admitted}:
            return 403, (
                f"{_printable(host)} is no name of this machine. Without a token, calls are taken at http://localhost "
                'only: set "token" of the listener, or list the address of your proxy in "origins".'
            )
        return None
    given = _token_of(request)
    if not given:
        return 401, NONE_GIVEN
    return None if hmac.compare_digest(given, token.encode()) else (401, WRONG)


def _is_this_machine(host: str) -> bool:
    return is_loopback(host) or host.endswith(".localhost")  # which browsers resolve by themselves (RFC 6761)


def _token_of(request: Upgrade) -> bytes:
    """Returns the token that a request bears; empty without one.

    A page can't set headers of a WebSocket, but the names of subprotocols, which no log has, as it has addresses.
    """
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip().encode("latin-1", "replace")  # as headers are decoded
    for offered in request.headers.get("sec-websocket-protocol", "").split(","):
        kind, _, encoded = offered.strip().partition(".")
        if kind == "token":
            try:
                return urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
            except ValueError:
                return b""
    return b""


def _host_of(origin: str) -> str:
    """Returns the host and port of an origin, as a `Host` header has them; empty for `null`."""
    return origin.partition("://")[2]


def _name_of(host: str) -> str:
    """Returns the host of a `Host` header without its port, and an IPv6 address without its brackets."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _printable(text: str) -> str:
    return ascii(text[:100])[1:-1] or "without a name"
