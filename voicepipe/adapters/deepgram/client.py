"""The clients that Deepgram's adapters share: one for its WebSockets, and the SDK's for its REST API.

    async with open_sockets(endpoint, resources) as client:               # once, in the adapter's `open`
        async with client.connect(SPEAK_V1, {"model": ...}) as connection:
            await connection.send({"type": "Flush"})
            while (message := await connection.receive()) is not None: ...
    async with open_rest_client(endpoint, resources) as client:
        with client.request():
            async for piece in client.sdk.speak.v1.audio.generate(...): ...

Every failure is a `ComponentError`.

WebSockets do without the SDK. It opens them on asyncio only; it makes an object of pydantic's of each message, which
takes twenty times as long as reading the JSON; and it takes 14 MB. So the messages are the JSON of Deepgram's
reference as it comes, and `tests/adapters/test_deepgram_messages.py` holds each that is sent, and each field that is
read, to the SDK's own types. The REST API is asked once a segment at the most, and there the SDK is used as it is.
"""

from __future__ import annotations

import json
import threading
import warnings
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from attrs import frozen

from voicepipe.adapters.deepgram.errors import closed, refused
from voicepipe.adapters.shared.api_keys import check_api_key, name_of
from voicepipe.adapters.shared.base_urls import check_base_url
from voicepipe.adapters.shared.vendor_clients import CLOSE_S, open_vendor_client
from voicepipe.components.distribution import install_hint
from voicepipe.components.tls import tls_context
from voicepipe.components.values import CaFile, Secret
from voicepipe.errors import ComponentError, Location, Problem
from voicepipe.wire.http import http_failures
from voicepipe.wire.websocket import load_websockets, open_websocket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from voicepipe.components.protocols import Resources
    from voicepipe.wire.websocket_connection import WebSocket

_importing = threading.Lock()


@frozen
class SocketApi:
    """One of Deepgram's WebSockets."""

    path: str
    """Where it is."""
    pings_s: float | None = 20.0
    """The interval of WebSocket pings, in s; None where unread audio may hold back the pong."""


LISTEN_V1 = SocketApi("/v1/listen")
LISTEN_V2 = SocketApi("/v2/listen")
SPEAK_V1 = SocketApi("/v1/speak", pings_s=None)

REST_MODULES = ("deepgram.speak.v1.client", "deepgram.speak.v1.audio.client", "deepgram.manage.v1.models.client")
"""What the SDK would import on the first request: 26 ms, and a warning."""


@frozen
class DeepgramEndpoint:
    """The address of Deepgram, the API key and the timeouts of one component."""

    api_key: Secret
    """The API key."""
    base_url: str
    """`https://api.deepgram.com`, or a server of one's own; WebSockets are below the same address."""
    connect_timeout_s: float
    """How long a connection may take, in s."""
    timeout_s: float
    """How long an answer to a REST request may take, in s."""
    ca_file: CaFile | None = None
    """Whose certificates to trust; None: those that this machine trusts."""


def check_installed() -> Iterator[Problem]:
    """Gives a problem for each library that is not installed."""
    for module, library in (("deepgram", "deepgram-sdk"), ("websockets", "websockets")):
        if find_spec(module) is None:
            yield Problem(Location(""), "", f"the library {library} is not installed", install_hint("deepgram"))


def check_endpoint(base_url: str, api_key: str) -> Iterator[Problem]:
    """Gives a problem for each missing library, and for an address or a key that can't be used."""
    yield from check_installed()
    yield from check_base_url(base_url, "https://api.deepgram.com, or http://HOST:PORT for a server of your own")
    yield from check_api_key(api_key, vendor="Deepgram", hint="api_key: ${DEEPGRAM_API_KEY}")


class DeepgramWebSocket:
    """A WebSocket to Deepgram: JSON objects in text messages, audio in binary ones."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._closed = import_module("websockets.exceptions").ConnectionClosed
        self._closed_in_order = import_module("websockets.exceptions").ConnectionClosedOK
        headers = {name.lower(): value for name, value in websocket.response_headers.items()}
        self.request_id = headers.get("dg-request-id")
        """How Deepgram's support finds this connection; None: it was not told."""

    @property
    def is_flushed(self) -> bool:
        """Whether all that was sent is written."""
        return self._websocket.is_flushed

    def send_nowait(self, message: bytes | Mapping[str, Any]) -> None:
        """Sends a message, of which some may be left for `flush`.

        Raises:
            trio.WouldBlock: earlier messages are not written yet; this one is not sent.
            ComponentError: the connection has ended, well or not.

        """
        try:
            self._websocket.send_nowait(message if isinstance(message, bytes) else json.dumps(message))
        except self._closed as error:
            raise self._ended(error) from error

    async def send(self, message: bytes | Mapping[str, Any]) -> None:
        """Sends a message and waits until it is written.

        Raises:
            ComponentError: the connection has ended, well or not.

        """
        try:
            await self._websocket.send(message if isinstance(message, bytes) else json.dumps(message))
        except self._closed as error:
            raise self._ended(error) from error

    async def flush(self) -> None:
        """Waits until all that was sent is written; raises as `send`."""
        try:
            await self._websocket.flush()
        except self._closed as error:
            raise self._ended(error) from error

    async def receive(self) -> Mapping[str, Any] | bytes | None:
        """The next message: an object, or audio as bytes; None when the connection was closed properly. Cancel-safe.

        Raises:
            ComponentError: the connection broke, or was closed because of an error, or a message is not JSON.

        """
        while True:
            try:
                message = await self._websocket.recv()
            except self._closed_in_order:
                return None
            except self._closed as error:
                raise self._ended(error) from error
            read = _read(message)
            if read is not None:
                return read

    def receive_nowait(self) -> Mapping[str, Any] | bytes | None:
        """As `receive`, of what has come by now.

        Raises:
            trio.WouldBlock: no message has come.
            ComponentError: as from `receive`.

        """
        while True:
            try:
                message = self._websocket.recv_nowait()
            except self._closed_in_order:
                return None
            except self._closed as error:
                raise self._ended(error) from error
            read = _read(message)
            if read is not None:
                return read

    def _ended(self, error: Any) -> ComponentError:
        """The error that a `websockets.ConnectionClosed` becomes."""
        if error.rcvd is not None:
            return closed(error.rcvd.code, error.rcvd.reason, self.request_id)
        # The reason that this side gave for closing: malformed frames, pings without an answer.
        return closed(None, error.sent.reason if error.sent is not None else "", self.request_id)


def _read(message: bytes | str) -> Mapping[str, Any] | bytes | None:
    """An object, or audio; None for what is neither: Deepgram sends nothing else."""
    if isinstance(message, bytes):
        return message
    try:
        read = json.loads(message)
    except (ValueError, RecursionError) as error:
        raise ComponentError("sent what is not JSON", answered=message) from error
    return read if isinstance(read, dict) else None


class DeepgramSockets:
    """Opens the WebSockets of one component."""

    def __init__(self, endpoint: DeepgramEndpoint) -> None:
        """Imports `websockets` and reads certificates: in a thread."""
        load_websockets()
        self._endpoint = endpoint
        self._url = "ws" + endpoint.base_url.rstrip("/").removeprefix("http")
        self._headers = {"Authorization": f"Token {endpoint.api_key!s}"}
        self._tls = tls_context(endpoint.ca_file)

    @asynccontextmanager
    async def connect(
        self, api: SocketApi, query: Mapping[str, Any], timeout_s: float | None = None
    ) -> AsyncIterator[DeepgramWebSocket]:
        """A WebSocket; leaving it closes it, properly unless by an exception.

        Args:
            api: which.
            query: its parameters; those that are None are left out, of a list each is a parameter of its own.
            timeout_s: how long it may take, in s; None: the `connect_timeout_s` of the endpoint.

        Raises:
            ComponentError: it can't be opened.

        """
        endpoint = self._endpoint
        async with open_websocket(
            f"{self._url}{api.path}?{urlencode(list(_parameters(query)))}",
            headers=self._headers,
            refused=partial(_refused, key=name_of(endpoint.api_key)),
            address=endpoint.base_url,
            connect_timeout_s=endpoint.connect_timeout_s if timeout_s is None else timeout_s,
            close_s=CLOSE_S,
            ssl_context=self._tls,
            ca_file=endpoint.ca_file,
            ping_interval=api.pings_s,
        ) as websocket:
            yield DeepgramWebSocket(websocket)

    async def close(self) -> None:
        """Does nothing: connections are closed by who opened them."""


def _parameters(query: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in query.items():
        for each in value if isinstance(value, list | tuple) else (value,):
            if each is not None:
                yield name, str(each).lower() if isinstance(each, bool) else str(each)


class DeepgramRestClient:
    """The SDK's client."""

    def __init__(self, endpoint: DeepgramEndpoint) -> None:
        """Imports the SDK, 0.2 s, and makes its client: in a thread."""
        self._httpx = import_module("httpx")
        with _importing, warnings.catch_warnings():
            # The SDK tries websockets.legacy first, which warns. The lock: two threads would restore each
            # other's filters.
            warnings.simplefilter("ignore", DeprecationWarning)
            deepgram = import_module("deepgram.client")
            for module in REST_MODULES:
                import_module(module)
            self._api_error = import_module("deepgram.core.api_error").ApiError
            environment = import_module("deepgram.environment").DeepgramClientEnvironment
        self._endpoint = endpoint
        self._key = name_of(endpoint.api_key)
        https = endpoint.base_url.rstrip("/")
        wss = "ws" + https.removeprefix("http")
        self._http = self._httpx.AsyncClient(
            verify=tls_context(endpoint.ca_file),
            trust_env=False,
            timeout=self._httpx.Timeout(endpoint.timeout_s, connect=endpoint.connect_timeout_s),
        )
        self.sdk = deepgram.AsyncDeepgramClient(
            api_key=str(endpoint.api_key),
            environment=environment(base=https, production=wss, agent=wss, agent_rest=https),
            httpx_client=self._http,
            max_retries=0,  # its pauses are asyncio's
        )
        """The SDK's client: its REST calls work on trio as they are, inside `request`."""

    @contextmanager
    def request(self) -> Iterator[None]:
        """For the SDK's REST calls: their exceptions become `ComponentError`."""
        endpoint = self._endpoint
        failures = http_failures(
            self._httpx,
            address=endpoint.base_url,
            connect_timeout_s=endpoint.connect_timeout_s,
            timeout_s=endpoint.timeout_s,
            ca_file=endpoint.ca_file,
        )
        try:
            with failures:
                yield
        except self._api_error as error:
            raise refused(error.status_code or 0, error.headers or {}, error.body, self._key) from error

    async def close(self) -> None:
        """Closes the REST connections that are kept."""
        await self._http.aclose()


def open_sockets(endpoint: DeepgramEndpoint, resources: Resources) -> AbstractAsyncContextManager[DeepgramSockets]:
    """What opens the WebSockets of one component; sends nothing yet."""
    return open_vendor_client(partial(DeepgramSockets, endpoint), resources)


def open_rest_client(
    endpoint: DeepgramEndpoint, resources: Resources
) -> AbstractAsyncContextManager[DeepgramRestClient]:
    """The SDK's client of one component; sends nothing yet. A cancellation does not wait for the SDK's import."""
    return open_vendor_client(partial(DeepgramRestClient, endpoint), resources)


def _refused(status: int, headers: Mapping[str, str], body: bytes, key: str) -> ComponentError:
    return refused(status, headers, body, key)
