"""The client that Deepgram's adapters share: the SDK's REST calls, and its WebSockets opened on trio.

    async with open_client(endpoint, resources) as client:                # once, in the adapter's `open`
        async with client.connect(SPEAK_V1, {"model": ...}) as connection:
            await connection.call(connection.sdk.send_flush)              # `sdk` is the SDK's socket client
            while (message := await connection.receive()) is not None: ...
        with client.request():                                            # REST
            async for piece in client.sdk.speak.v1.audio.generate(...): ...

Every failure is a `ComponentError`. The SDK opens sockets on asyncio only, so `websockets.trio` opens them and the
SDK's socket clients use them. Only this module uses private names of the SDK, and its version is pinned.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from json import JSONDecodeError
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar
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
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from voicepipe.components.protocols import Resources

P = ParamSpec("P")
T = TypeVar("T")

_importing = threading.Lock()


@frozen
class SocketApi:
    """One of Deepgram's WebSockets."""

    path: str
    """Where it is."""
    module: str
    """The module of the SDK's socket client."""
    client: str
    """The socket client's name there."""
    configure: tuple[str, str] | None = None
    """Module and name of the message that changes settings in mid-stream; None: there is none."""
    pings_s: float | None = 20.0
    """The interval of WebSocket pings, in s; None where unread audio may hold back the pong."""


LISTEN_V1 = SocketApi(
    "/v1/listen",
    "deepgram.listen.v1.socket_client",
    "AsyncV1SocketClient",
    ("deepgram.listen.v1.types.listen_v1configure", "ListenV1Configure"),
)
LISTEN_V2 = SocketApi(
    "/v2/listen",
    "deepgram.listen.v2.socket_client",
    "AsyncV2SocketClient",
    ("deepgram.listen.v2.types.listen_v2configure", "ListenV2Configure"),
)
SPEAK_V1 = SocketApi("/v1/speak", "deepgram.speak.v1.socket_client", "AsyncV1SocketClient", pings_s=None)


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
    """A WebSocket to Deepgram."""

    def __init__(self, sdk: Any, configure: Any, request_id: str | None) -> None:
        self._configure = configure
        self.sdk = sdk
        """The SDK's socket client; what it sends goes through `call`."""
        self.request_id = request_id
        """How Deepgram's support finds this connection; None: it was not told."""

    async def call(self, send: Callable[P, Awaitable[None]], *args: P.args, **kwargs: P.kwargs) -> None:
        """Calls a sending method of the SDK's socket client.

        Raises:
            ComponentError: the connection has ended, well or not.

        """
        from websockets.exceptions import ConnectionClosed  # noqa: PLC0415 - loaded in a thread by then

        try:
            await send(*args, **kwargs)
        except ConnectionClosed as error:
            raise self._ended(error) from error

    async def configure(self, changes: Mapping[str, Any]) -> None:
        """Changes settings in mid-stream, where the API has that; as `call`."""
        await self.call(self.sdk.send_configure, self._configure(**changes))

    async def receive(self) -> Any:
        """The next message as the SDK parses it, bytes as they are; None when the connection was closed properly.

        Messages and fields that the SDK does not know are skipped. Cancel-safe.

        Raises:
            ComponentError: the connection broke, or was closed because of an error, or a message is no JSON.

        """
        from websockets.exceptions import ConnectionClosed, ConnectionClosedOK  # noqa: PLC0415

        while True:
            try:
                message = await self.sdk.recv()
            except ConnectionClosedOK:
                return None
            except ConnectionClosed as error:
                raise self._ended(error) from error
            except JSONDecodeError as error:
                raise ComponentError("sent what is not JSON", answered=error.doc) from error
            if message is not None:
                return message

    def _ended(self, error: Any) -> ComponentError:
        """The error that a `websockets.ConnectionClosed` becomes."""
        if error.rcvd is not None:
            return closed(error.rcvd.code, error.rcvd.reason, self.request_id)
        # The reason that this side gave for closing: malformed frames, pings without an answer.
        return closed(None, error.sent.reason if error.sent is not None else "", self.request_id)


def _load(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


class DeepgramClient:
    """The SDK's client, with the connections that it can't open itself."""

    def __init__(self, endpoint: DeepgramEndpoint) -> None:
        """Imports the SDK, 0.2 s, and makes its client: in a thread."""
        with _importing, warnings.catch_warnings():
            # The SDK tries websockets.legacy first, which warns. The lock: two threads would restore each
            # other's filters.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._httpx = import_module("httpx")
            load_websockets()
            self._apis = {
                api: (_load(api.module, api.client), _load(*api.configure) if api.configure else None)
                for api in (LISTEN_V1, LISTEN_V2, SPEAK_V1)
            }
            self._encode_query = import_module("deepgram.core.query_encoder").encode_query
            deepgram = import_module("deepgram.client")
            for module in REST_MODULES:
                import_module(module)
            self._api_error = import_module("deepgram.core.api_error").ApiError
            environment = import_module("deepgram.environment").DeepgramClientEnvironment
        self._endpoint = endpoint
        self._key = name_of(endpoint.api_key)
        https = endpoint.base_url.rstrip("/")
        wss = "ws" + https.removeprefix("http")
        self._tls = tls_context(endpoint.ca_file)
        self._http = self._httpx.AsyncClient(
            verify=self._tls,
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
        self._headers = self.sdk._client_wrapper.get_headers()  # noqa: SLF001
        self._socket_url = self.sdk._client_wrapper.get_environment().production  # noqa: SLF001

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
        given = {name: list(value) if isinstance(value, tuple) else value for name, value in query.items()}
        pairs = self._encode_query({name: value for name, value in given.items() if value is not None})
        url = f"{self._socket_url}{api.path}?{urlencode(pairs)}"
        endpoint = self._endpoint
        async with open_websocket(
            url,
            headers=self._headers,
            refused=partial(_refused, key=self._key),
            address=endpoint.base_url,
            connect_timeout_s=endpoint.connect_timeout_s if timeout_s is None else timeout_s,
            close_s=CLOSE_S,
            ssl_context=self._tls,
            ca_file=endpoint.ca_file,
            user_agent_header=None,  # the SDK's is among the headers
            ping_interval=api.pings_s,
        ) as websocket:
            socket_client, configure = self._apis[api]
            request_id = websocket.response.headers.get("dg-request-id")
            yield DeepgramWebSocket(socket_client(websocket=websocket), configure, request_id)

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


def open_client(endpoint: DeepgramEndpoint, resources: Resources) -> AbstractAsyncContextManager[DeepgramClient]:
    """The SDK's client for one component; sends nothing yet. A cancellation does not wait for the SDK's import."""
    return open_vendor_client(partial(DeepgramClient, endpoint), resources)


def _refused(status: int, headers: Mapping[str, str], body: bytes, key: str) -> ComponentError:
    return refused(status, headers, body, key)
