"""The HTTP client that the openai adapters share: requests and probes, with every failure as `ComponentError`.

    async with open_client(options, resources) as client:          # once, in the adapter's `open`
        async with client.post("/chat/completions", body) as answer:
            while (data := await answer.read(timeout_s)) is not None: ...
        await client.probe()                                        # the component's `probe`

`options` are those of any of these adapters: `OpenAIEndpoint` is what they have in common. Nothing is taken from the
environment.

Requests are httpx's over `wire.http_transport`, without OpenAI's SDK: its `create` copies each message through its
types, which took a quarter of the CPU time of a reply, and importing it takes 1 s and 25 MB.
`tests/adapters/test_openai_against_sdk.py` holds the requests to the SDK's types and to the bytes that the SDK sends.
Uploads and speech use the SDK: `sdk_client`.
"""

from __future__ import annotations

import json
import zlib
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlsplit

from voicepipe.adapters.openai.errors import broken_off, refused, said_in
from voicepipe.adapters.shared.api_keys import check_api_key, name_of
from voicepipe.adapters.shared.base_urls import check_base_url
from voicepipe.adapters.shared.vendor_clients import open_vendor_client
from voicepipe.components.distribution import DISTRIBUTION, install_hint
from voicepipe.components.tls import tls_context, tls_error
from voicepipe.errors import ComponentError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager
    from ssl import SSLContext

    from voicepipe.components.protocols import Resources
    from voicepipe.components.values import CaFile, Secret
    from voicepipe.errors import Fault

__all__ = ["HINT_SLOW", "OpenAIClient", "OpenAIEndpoint", "check_client", "is_openai", "open_client"]

OPENAI = "https://api.openai.com/v1"

KEEP_ALIVE_S = 50.0
"""How long a connection that nobody uses stays open, in s: the next reply of a call finds it, and load balancers,
which close them after 60 s as a rule, don't close it under a request."""

MOST_CONNECTIONS, MOST_IDLE = 1000, 100

HINT_UNREACHABLE = "does the server run, and is base_url right?"
HINT_SLOW = "raise timeout_s if the server has to load its model first"

NO_SUCH_ROUTE = {404, 405, 501}
"""How servers answer that don't list their models."""

IN_PATH = "!$&'()*+,;=:@"
"""What stands in a segment of a path as it is, beside letters and digits (RFC 3986, section 3.3)."""


class OpenAIEndpoint(Protocol):
    """The server's address, the key and the timeouts: options that each of these adapters has."""

    @property
    def api_key(self) -> Secret | None:
        """The key; None: the server wants none."""

    @property
    def base_url(self) -> str | None:
        """The server's address, up to its version: `http://127.0.0.1:11434/v1`; None: OpenAI."""

    @property
    def ca_file(self) -> CaFile | None:
        """Whose certificates to trust; None: those that this machine trusts."""

    @property
    def connect_timeout_s(self) -> float:
        """The time limit for connecting, in s."""

    @property
    def timeout_s(self) -> float:
        """The time limit for the next data of a response, in s."""


def is_openai(base_url: str | None) -> bool:
    """Whether that is OpenAI itself, one of its regions included."""
    return f".{urlsplit(base_url or OPENAI).hostname}".endswith(".api.openai.com")


def check_installed(library: str = "httpx") -> Iterator[Problem]:
    """Gives a problem if the library that an adapter imports is not installed."""
    if find_spec(library) is None:
        yield Problem(Location(""), "", f"the library {library} is not installed", install_hint("openai"))


def check_client(endpoint: OpenAIEndpoint, library: str = "httpx") -> Iterator[Problem]:
    """Gives a problem if the library is missing, and for an address or a key that can't be used."""
    yield from check_installed(library)
    problems = list(check_base_url(endpoint.base_url or OPENAI, "http://HOST:PORT/v1, or leave it out for OpenAI"))
    yield from problems
    vendor = "OpenAI" if not problems and is_openai(endpoint.base_url) else ""
    yield from check_api_key(endpoint.api_key, vendor=vendor, hint="api_key: ${OPENAI_API_KEY}")


def encoded(body: Mapping[str, Any]) -> bytes:
    """A request's body as JSON, byte for byte as OpenAI's SDK writes it."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


class ResponseBody:
    """The body of a response, decompressed if a server compresses what nobody wanted compressed."""

    def __init__(self, response: Any) -> None:
        self._body = response.extensions["body"]
        encoding = response.headers.get("content-encoding", "")
        self._decompressor = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in {"gzip", "deflate"} else None

    async def read(self, timeout_s: float) -> bytes | None:
        """The next bytes, at least one; None at the end. A cancelled `read` loses nothing.

        Raises:
            httpx.TransportError: nothing came in time, which another `read` may mend, or the connection broke.
            zlib.error: what came is not compressed as it says.

        """
        while (data := await self._body.read(timeout_s)) is not None:
            if self._decompressor is None:
                return data  # type: ignore[no-any-return]
            if decompressed := self._decompressor.decompress(data):
                return decompressed
        return None


class OpenAIClient:
    """The connections to one server, and what its failures mean."""

    library = "httpx"
    """The HTTP client's module: httpx, or httpx2, which has the same names."""

    def __init__(self, endpoint: OpenAIEndpoint) -> None:
        """Imports the library and reads certificates, 0.1 s: in a thread."""
        self._httpx = httpx = import_module(self.library)
        self._endpoint = endpoint
        self._key = name_of(endpoint.api_key)
        headers = {
            "accept": "application/json",
            "accept-encoding": "gzip, deflate",
            "user-agent": f"voicepipe/{metadata.version(DISTRIBUTION)}",
        }
        if endpoint.api_key:
            headers["authorization"] = f"Bearer {endpoint.api_key!s}"
        tls = tls_context(endpoint.ca_file)
        self._http: Any = httpx.AsyncClient(
            base_url=endpoint.base_url or OPENAI,
            headers=headers,
            trust_env=False,
            timeout=httpx.Timeout(endpoint.timeout_s, connect=endpoint.connect_timeout_s),
            follow_redirects=True,
            **self._connections(tls),
        )

    def _connections(self, tls: SSLContext) -> dict[str, Any]:
        """The arguments for the HTTP client that say how it connects."""
        transport = import_module("voicepipe.wire.http_transport").HttpTransport(
            tls, most_requests=MOST_CONNECTIONS, most_idle=MOST_IDLE, keep_alive_s=KEEP_ALIVE_S
        )
        return {"transport": transport}

    @asynccontextmanager
    async def post(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[ResponseBody]:
        """Sends a JSON body; the answer is its response as bytes, as they come.

        Leaving the context before the body was read to its end closes the connection.

        Args:
            path: below `base_url`: `/chat/completions`.
            body: what is sent.
            headers: further headers.

        Raises:
            ComponentError: the server can't be reached, or refused the request.

        """
        request = self._http.build_request(
            "POST", path, content=encoded(body), headers={"content-type": "application/json", **(headers or {})}
        )
        with self.failures():
            answer = await self._http.send(request, stream=True)
            try:
                if not answer.is_success:
                    await answer.aread()
                    raise self._refused(answer)
                yield ResponseBody(answer)
            finally:
                await answer.aclose()
                del answer.stream  # else the two would know each other until the garbage collector comes

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raises the failures of the connection inside as `ComponentError`; lets the rest pass."""
        try:
            yield
        except self.connection_errors as error:
            raise self.unreachable(error) from error

    @property
    def connection_errors(self) -> tuple[type[Exception], ...]:
        """The library's exceptions that `unreachable` makes a `ComponentError` of."""
        return self._httpx.HTTPError, self._httpx.StreamError, self._httpx.InvalidURL, zlib.error

    def is_timeout(self, error: Exception) -> bool:
        """Whether one of these says that nothing came in time."""
        return isinstance(error, self._httpx.ReadTimeout)

    @property
    def base_url(self) -> str:
        """The address that paths are below."""
        return str(self._http.base_url)

    async def close(self) -> None:
        """Closes the connections that are kept."""
        await self._http.aclose()

    def broken_off(self, error: object) -> ComponentError:
        """The error that an error object in mid-response becomes."""
        return broken_off(error, self._key)

    async def probe(self, model: str | None = None) -> None:
        """Returns if the server is there, takes the key and, where it can tell, has the model.

        Raises:
            ComponentError: it does not.

        """
        paths = ["/models"]
        if model is not None:
            paths.insert(0, f"/models/{quote(model, safe=IN_PATH)}")  # some have no such route, and list models only
        for path in paths:
            with self.failures():
                answer = await self._http.get(path)
            if answer.is_success:
                return
            if not self._says_nothing(answer) or (path != "/models" and self._lacks_model(answer)):
                raise self._refused(answer)

    def _says_nothing(self, answer: Any) -> bool:
        """Whether a refusal to tell about models says nothing about the service itself: it answers, and takes the key.

        OpenAI's restricted keys may do what they are for, and not ask about models.
        """
        return answer.status_code in NO_SUCH_ROUTE or "missing scopes" in answer.text.lower()

    def _lacks_model(self, answer: Any) -> bool:
        return "model_not_found" in said_in(answer.text).names

    def _refused(self, response: Any) -> ComponentError:
        failure = refused(response.status_code, response.headers, response.text, self._key)
        if response.status_code in {401, 403} and not self._endpoint.api_key:
            failure.hint = "the server requires a key: set api_key"
        return failure

    def unreachable(self, error: BaseException) -> ComponentError:
        """The error of a failed connection; `error` is the library's, or one that it did not map."""
        endpoint, httpx = self._endpoint, self._httpx
        where = urlsplit(endpoint.base_url or OPENAI).netloc.rpartition("@")[2]
        if failure := tls_error(error, where, endpoint.ca_file):
            return failure
        said = f": {error}" if str(error) else ""
        slow_to_connect = f"no connection to {where} within {endpoint.connect_timeout_s:g} s"
        meanings = {
            httpx.ConnectTimeout: (slow_to_connect, True, HINT_UNREACHABLE),
            httpx.ConnectError: (f"no connection to {where}{said}", True, HINT_UNREACHABLE),
            httpx.ReadTimeout: (f"nothing came for {endpoint.timeout_s:g} s", True, HINT_SLOW),
            httpx.WriteTimeout: (f"took nothing for {endpoint.timeout_s:g} s", True, ""),
            httpx.PoolTimeout: (f"all {MOST_CONNECTIONS} connections are in use", True, ""),
            httpx.LocalProtocolError: (f"the request can't be sent{said}", False, "are base_url and api_key right?"),
            httpx.UnsupportedProtocol: (f"the request can't be sent{said}", False, "is base_url right?"),
            httpx.TooManyRedirects: (f"the request can't be sent{said}", False, "is base_url right?"),
        }
        message, retryable, hint = meanings.get(type(error), (f"the connection broke{said}", True, ""))
        fault: Fault = "local" if isinstance(error, httpx.PoolTimeout) else "component"
        return ComponentError(message, retryable=retryable, hint=hint, fault=fault)


def open_client(endpoint: OpenAIEndpoint, resources: Resources) -> AbstractAsyncContextManager[OpenAIClient]:
    """The client of one component; sends nothing yet. A cancellation does not wait for the import of httpx."""
    return open_vendor_client(partial(OpenAIClient, endpoint), resources)
