"""The connection to ARI: requests by HTTP, and events by one WebSocket that is opened again whenever it is lost.

Calls don't depend on it: their audio has connections of its own. A request without a connection is answered with the
status 0 at once, and the call decides what that means. `run` opens the WebSocket again after `FIRST_PAUSE_S`, then
after twice as long, up to `LONGEST_PAUSE_S`, until it is cancelled.
"""

from __future__ import annotations

import base64
import json
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

import trio

from voicepipe.components.tls import tls_context
from voicepipe.errors import ComponentError, TransportError
from voicepipe.nurseries import open_hidden_nursery
from voicepipe.transports.asterisk_ari.call_wishes import Replied
from voicepipe.transports.asterisk_ari.events import parse_event
from voicepipe.wire.websocket import Messages, load_websockets, open_websocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from voicepipe.transports.asterisk_ari.events import AriEvent
    from voicepipe.transports.asterisk_ari.options import AsteriskAriOptions
    from voicepipe.transports.asterisk_ari.requests import AriRequest

FIRST_PAUSE_S: Final = 0.25
"""The pause before the first attempt to connect again, in s."""
LONGEST_PAUSE_S: Final = 5.0
"""The longest pause between two attempts, in s."""
PING_S: Final = 5.0
"""The interval at which ARI is pinged, in s, so that a connection without an end is noticed."""
KEEP_ALIVE_S: Final = 10.0
"""How long an idle HTTP connection is kept, in s: Asterisk closes it after 15 (`session_keep_alive`)."""
MOST_REQUESTS: Final = 20
"""The most requests at once; more wait for their turn. Asterisk takes 100 connections at once (`sessionlimit`)."""


class AriOwner(Protocol):
    """Receives what `AriClient.run` reports."""

    async def connected(self) -> None:
        """Is called after each connection, in a task of its own, while events come already."""

    def happened(self, event: AriEvent) -> None:
        """Takes an event; must not block."""

    def disconnected(self, why: TransportError) -> None:
        """Takes the reason why there is no connection."""


class AriClient:
    """Requests to one Asterisk, and its events; made by `open_ari_client`.

    Attributes:
        is_connected: whether events come.

    """

    def __init__(self, options: AsteriskAriOptions) -> None:
        """Imports the libraries and reads certificates, which takes 0.3 s: to be called in a thread."""
        self._options = options
        self._httpx = import_module("httpx")
        load_websockets()
        self._tls = tls_context(options.ca_file)
        transport = import_module("voicepipe.wire.http_transport").HttpTransport(
            self._tls, most_requests=MOST_REQUESTS, most_idle=4, keep_alive_s=KEEP_ALIVE_S
        )
        login = base64.b64encode(f"{options.username}:{options.password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self._url = options.url.rstrip("/")
        self._http = self._httpx.AsyncClient(
            transport=transport, headers=self._headers, trust_env=False, timeout=options.timeout_s
        )
        self.is_connected = False

    @property
    def address(self) -> tuple[str, int]:
        """ARI's host and port."""
        url = urlsplit(self._url)
        return url.hostname or "", url.port or (443 if url.scheme == "https" else 80)

    async def aclose(self) -> None:
        """Closes the HTTP connections."""
        await self._http.aclose()

    async def request(self, request: AriRequest) -> Replied:
        """Sends a request; a failure is a reply with the status 0 and never raised."""
        status, answer = await self._send(request.method, request.path, request.query, request.body)
        return Replied(request.step, status, _message_of(answer) if not 200 <= status < 300 else "")

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        """Asks for something; returns the status, 0 without an answer, and the answer."""
        return await self._send("GET", path, query, None)

    async def _send(self, method: str, path: str, query: Any, body: Any) -> tuple[int, Any]:
        within_s = self._options.timeout_s
        try:
            with trio.fail_after(within_s):  # httpx's own limits are for each step of a request
                answer = await self._http.request(method, f"{self._url}{path}", params=query, json=body)
        except (trio.TooSlowError, self._httpx.TimeoutException):
            return 0, f"{self._url} did not answer within {within_s:g} s"
        except self._httpx.HTTPError as error:
            return 0, f"{self._url} can't be reached: {error}"
        try:
            return answer.status_code, answer.json() if answer.content else None
        except ValueError:
            return answer.status_code, answer.text

    async def run(self, owner: AriOwner) -> None:
        """Delivers events to the owner, connecting again and again, until it is cancelled."""
        pause_s = FIRST_PAUSE_S
        while True:
            began = trio.current_time()
            try:
                async with self._open_events() as messages:
                    self.is_connected = True
                    await self._deliver(messages, owner)
            except ComponentError as error:
                self.is_connected = False
                owner.disconnected(TransportError(self._explained(error)))
            finally:
                self.is_connected = False
            if trio.current_time() - began > LONGEST_PAUSE_S:  # not for one that takes each connection and drops it
                pause_s = FIRST_PAUSE_S
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _deliver(self, messages: Messages, owner: AriOwner) -> None:
        """Delivers events until the connection ends; those that come while the owner reads the state are kept."""
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(owner.connected)
            while True:
                text = await messages.receive()
                try:
                    event = parse_event(text)
                except ValueError as error:
                    raise ComponentError("answered with something other than an event of ARI") from error
                if event is not None:
                    owner.happened(event)

    @asynccontextmanager
    async def _open_events(self) -> AsyncIterator[Messages]:
        query = urlencode({"app": self._options.app})
        scheme, _, rest = self._url.partition("://")
        async with open_websocket(
            f"{'wss' if scheme == 'https' else 'ws'}://{rest}/events?{query}",
            headers=self._headers,
            key="username and password",
            address=self._url,
            connect_timeout_s=self._options.timeout_s,
            ssl_context=self._tls if scheme == "https" else None,
            ca_file=self._options.ca_file,
            ping_interval=PING_S,
        ) as websocket:
            yield Messages(websocket, timeout_s=self._options.timeout_s)

    def _explained(self, error: ComponentError) -> str:
        hint = {
            "HTTP 401": "set username and password to a user of ari.conf",
            "HTTP 403": "set username and password to a user of ari.conf that is not read_only",
            "HTTP 404": "url must end in /ari, and http.conf and ari.conf need enabled = yes",
        }.get(error.message, "calls that are up go on; it is tried again")
        said = f"; answered: {error.answered}" if error.answered else ""
        return f"no connection with ARI: {error.message}{said}; {hint}"


def _message_of(answer: Any) -> str:
    """Asterisk's message of an error: `{"message": "Channel not found"}`."""
    said = answer.get("message", answer.get("error", "")) if isinstance(answer, dict) else answer
    return said if isinstance(said, str) else json.dumps(said)


@asynccontextmanager
async def open_ari_client(options: AsteriskAriOptions) -> AsyncIterator[AriClient]:
    """Opens a client, which connects when it runs; cancelling does not wait for the import of its libraries."""
    client = await trio.to_thread.run_sync(AriClient, options, abandon_on_cancel=True)
    try:
        yield client
    finally:
        with trio.CancelScope(shield=True):
            await client.aclose()
