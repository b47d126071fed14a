"""Listening for a carrier: its webhook, which gets instructions, and its WebSockets, each of which is a call.

Three paths are served, NAME being the listener's:

- `/voice/NAME` (GET or POST): the carrier's webhook for an incoming call. The answer connects the call to the second.
- `/stream/NAME/TICKET`: the WebSocket. The ticket is from the answer, signed, for one call.
- `/status/NAME` (GET or POST): for what else a carrier wants to report, and some insist on; it is answered with 204.

Who may come in:

- Where the carrier signs a request and `signing_secret` is set, the signature decides: it must be good. A ticket or a
  token is not enough then.
- Any other request needs `token`, at the end of its path, as `?token=...`, as a bearer token or in the header that
  Telnyx has for it; or, for a WebSocket, a ticket.

So whoever writes the carrier's instructions himself names `/stream/NAME` in them where the carrier signs WebSockets,
and `/stream/NAME/TOKEN` where it does not.
"""

from __future__ import annotations

import json
import secrets
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlsplit

from voicepipe.errors import TransportError
from voicepipe.transports.media_stream.instructions import instructions, webhook_facts
from voicepipe.transports.media_stream.signatures import (
    SIGNS_WEBSOCKETS,
    VERIFIERS,
    SignedRequest,
    is_equal,
)
from voicepipe.transports.media_stream.tickets import Tickets
from voicepipe.transports.media_stream.transport import MediaStreamTransport
from voicepipe.transports.websocket_calls import HttpRequest, HttpResponse, Upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from voicepipe.transports.call_socket import CallSocket
    from voicepipe.transports.media_stream.options import MediaStreamOptions

TOKEN_HEADER: Final = "x-telnyx-streaming-auth-token"  # noqa: S105 - a header's name
"""The header in which Telnyx sends the token that a stream was started with."""


class MediaStreamCalls:
    """The decisions of a listener to which a carrier connects."""

    def __init__(self, options: MediaStreamOptions, listener: str, now: Callable[[], float] = time.time) -> None:
        """Decides by a listener's options.

        Args:
            options: valid options, of which `check_options` yields nothing.
            listener: the listener's name, which is part of its paths.
            now: returns the time since the epoch, in s.

        """
        self._options, self._listener, self._now = options, listener, now
        self._dialect = options.row
        self._audio = options.audio or self._dialect.audio[0]
        self._prefix = urlsplit(options.base_url).path
        self._tickets = Tickets(options.signing_secret or options.token or secrets.token_urlsafe(32), listener)

    def authorise(self, request: Upgrade | HttpRequest) -> HttpResponse | None:
        """Refuses requests that are not the carrier's: with 404, 403, or 426 for a WebSocket's path without one."""
        kind, rest = self._split(request.path)
        is_webhook = isinstance(request, HttpRequest)
        if kind not in {"voice", "stream", "status"} or (kind != "stream" and not is_webhook):
            return HttpResponse(404, b"there is nothing here\n")
        if kind == "stream" and is_webhook:
            return HttpResponse(426, b"only a WebSocket may be opened here\n", headers={"Upgrade": "websocket"})
        secret = self._options.signing_secret
        if secret is not None and (is_webhook or self._dialect.name in SIGNS_WEBSOCKETS):
            if VERIFIERS[self._dialect.name](self._signed(request), str(secret), self._now()):
                return None
            return HttpResponse(403, f"the request is not signed by {self._dialect.name}; {_SIGNING}\n".encode())
        has_ticket = not is_webhook and self._tickets.read(rest, self._now()) is not None
        if has_ticket or self._has_token(request, rest):
            return None
        return HttpResponse(403, b"the request has no valid token, and no valid ticket of the instructions\n")

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Answers the webhook with instructions to connect the call to this listener, and a report with nothing."""
        if self._split(request.path)[0] == "status":
            return HttpResponse(204)
        facts = webhook_facts(self._dialect, _fields(request), request.query)
        # A HEAD gets a ticket too, which nobody sees.
        ticket = self._tickets.issue(facts, self._now())
        scheme, _, rest = self._options.base_url.partition("://")
        url = f"{'wss' if scheme == 'https' else 'ws'}://{rest}/stream/{quote(self._listener, safe='')}/{ticket}"
        body, content_type = instructions(self._dialect, self._audio, url)
        return HttpResponse(200, body, content_type, {"Cache-Control": "no-store"})

    def transport(self, request: Upgrade, socket: CallSocket) -> MediaStreamTransport:
        """Makes the transport of a call; what its ticket says is good for this call only."""
        _, rest = self._split(request.path)
        facts = self._tickets.spend(rest, self._now()) if "." in rest else None
        transport = MediaStreamTransport(
            socket,
            self._dialect,
            self._audio,
            listener=self._listener,
            facts=facts,
            byte_order=self._options.byte_order,
            trace=request.trace,
        )
        if "." in rest and facts is None and not self._has_token(request, rest):
            transport.fail(TransportError(f"the stream's ticket has expired or was used before; {_TICKET}"))
        return transport

    def _split(self, path: str) -> tuple[str, str]:
        """Returns `voice` or `stream` of a path of this listener, and what follows the listener's name."""
        if self._prefix and path.startswith(f"{self._prefix}/"):
            path = path.removeprefix(self._prefix)
        kind, _, rest = path.removeprefix("/").partition("/")
        name, _, rest = rest.partition("/")
        return (kind, rest) if name == self._listener else ("", "")

    def _has_token(self, request: Upgrade, rest: str) -> bool:
        """Returns whether a request brings the token, wherever it may be; compared in constant time."""
        token = self._options.token
        if token is None:
            return False
        headers = request.headers
        bearer = headers.get("authorization", "")
        given = (rest, request.query.get("token", ""), headers.get(TOKEN_HEADER, ""))
        return sum(is_equal(str(token), each) for each in (*given, bearer.removeprefix("Bearer "))) > 0

    def _signed(self, request: Upgrade | HttpRequest) -> SignedRequest:
        """Returns a request as the carrier sent it to the public URL."""
        target = request.target
        if self._prefix and target.startswith(f"{self._prefix}/"):
            target = target.removeprefix(self._prefix)
        url = f"{self._options.base_url}{target}"
        if isinstance(request, HttpRequest):
            return SignedRequest(request.method, url, request.headers, request.body)
        return SignedRequest("GET", url, request.headers, is_upgrade=True)


_SIGNING: Final = "check `signing_secret`, and that `public_url` is the URL in the carrier's console"
_TICKET: Final = "let the carrier ask for new instructions for each call"


def _fields(request: HttpRequest) -> Mapping[str, str]:
    """Returns what a webhook says: its form or JSON, or its query."""
    if request.body:
        signed = SignedRequest(request.method, "", request.headers, request.body)
        if signed.is_form:
            return dict(signed.form)
        try:
            stated: Any = json.loads(request.body)
        except (ValueError, RecursionError):
            stated = None
        if isinstance(stated, dict):
            return stated
    return request.query
