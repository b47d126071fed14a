"""The listener of browsers: it serves the softphone's page, and takes the calls that the page places."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import field, frozen
from attrs.validators import min_len, optional

from voicepipe.components.values import Secret
from voicepipe.errors import Location, Problem
from voicepipe.transports.bind_options import host_field, is_loopback, port_field
from voicepipe.transports.browser.access import why_refused
from voicepipe.transports.browser.page import HEADERS, page_file
from voicepipe.transports.browser.transport import BrowserTransport
from voicepipe.transports.browser.wire_format import PROTOCOL, RATE
from voicepipe.transports.listener import TransportType
from voicepipe.transports.tls import TlsFiles, check_tls
from voicepipe.transports.websocket_calls import HttpRequest, HttpResponse
from voicepipe.transports.websocket_listener import check_websockets_installed, open_websocket_listener

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from voicepipe.transports.call_socket import CallSocket
    from voicepipe.transports.listener import Listener, ListenerContext
    from voicepipe.transports.websocket_calls import Upgrade

CALL = "/call"
"""The path of the WebSocket."""
SESSION = "/session"
"""The path at which a client learns whether a call would be taken."""
JSON = "application/json"


@frozen
class BrowserOptions:
    """A softphone for browsers: a page and its calls, over HTTP and WebSockets."""

    host: str = host_field()
    """The address to bind to; an address beyond this machine needs a `token`."""
    port: int = port_field(9080)
    """Port to bind to; 0 takes a free one, which `engine.ready` tells."""
    tls: TlsFiles | None = None
    """The certificate. Browsers give the microphone only to pages over https, and to those of this machine. Null: none,
    for `localhost`, or behind a proxy that has one."""
    token: Secret | None = field(default=None, validator=optional(min_len(16)))
    """The token without which no call is taken. The page's address ends in it: `https://HOST:PORT/#token=...`."""
    origins: tuple[str, ...] = ()
    """Further pages that may place calls, such as the address of a proxy in front: `https://agent.example.com`. The
    listener's own page always may."""
    transcript: bool = True
    """Whether the page shows the call: the words of both sides, the pipeline and its version, the names of its
    components and tools, response times. False: the page gets none of it."""


class BrowserCalls:
    """The decisions of a browser's listener about the requests that it gets."""

    def __init__(self, options: BrowserOptions, name: str) -> None:
        self._options, self._name = options, name
        self._token = None if options.token is None else str(options.token)

    def authorise(self, request: Upgrade | HttpRequest) -> HttpResponse | None:
        """Lets everybody load the page, and only those who may place calls do more."""
        if isinstance(request, HttpRequest) and request.path != SESSION:
            return None
        refusal = why_refused(request, self._token, self._options.origins)
        if refusal is None:
            return None
        status, words = refusal
        return HttpResponse(status, _json({"problem": words}), JSON, HEADERS)

    def respond(self, request: HttpRequest) -> HttpResponse:
        """Serves the page's files, and what its scripts ask for."""
        if request.path == SESSION:
            session = {"protocol": PROTOCOL, "rate": RATE, "transcript": self._options.transcript}
            return HttpResponse(200, _json(session), JSON, HEADERS)
        found = page_file(request.path)
        if found is None or request.method == "POST":
            return HttpResponse(404, b"There is only the page at /.\n", headers=HEADERS)
        return found

    def transport(self, request: Upgrade, socket: CallSocket) -> BrowserTransport:
        """Makes the transport of a call."""
        shows_call = self._options.transcript
        return BrowserTransport(socket, listener=self._name, shows_call=shows_call, trace=request.trace)


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


@asynccontextmanager
async def open_browser_listener(options: BrowserOptions, context: ListenerContext) -> AsyncIterator[Listener]:
    """Opens a listener for browsers that is bound but does not serve yet, and closes it on exit.

    Raises:
        OSError: the address can't be listened on.

    """
    calls = BrowserCalls(options, context.name)
    async with open_websocket_listener(
        options.host, options.port, calls, context, tls=options.tls, ping=True
    ) as listener:
        yield listener


def check_options(options: BrowserOptions) -> Iterator[Problem]:
    """Yields the problems of options that their types don't show."""
    if options.token is None and not is_loopback(options.host):
        hint = 'add `token: "${SOFTPHONE_TOKEN}"` with at least 16 characters, or bind to 127.0.0.1'
        yield Problem(Location(""), "token", f"anybody who reaches {options.host} could place calls", hint)
    for origin in options.origins:
        parts = urlsplit(origin)
        if parts.scheme not in {"http", "https"} or not parts.netloc or parts.path not in {"", "/"} or parts.query:
            hint = "write it as a browser does, without a path: https://agent.example.com"
            yield Problem(Location(""), "origins", f"{origin!r} is no origin of a page", hint)
    yield from check_tls(options.tls)


browser = TransportType(
    "browser",
    BrowserOptions,
    open_browser_listener,
    check=check_options,
    check_installed=check_websockets_installed,
    takes_connections=True,
)
"""Calls from web pages."""
