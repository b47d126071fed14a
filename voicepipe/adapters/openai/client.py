"""The client that the openai adapters share: the SDK's, on trio, with its failures as `ComponentError`.

    async with open_client(options, resources) as client:         # once, in the adapter's `open`
        with client.failures():                                    # around everything that the SDK does
            async with client.sdk.chat.completions.with_streaming_response.create(...) as answer: ...
        await client.probe()                                       # the component's `probe`

`options` are those of any of them: what they share is `OpenAIEndpoint`. The SDK looks into the environment for whatever
it is not told (OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID, OPENAI_CUSTOM_HEADERS ...); here it finds nothing there.
Its private names stand in this module.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from voicepipe.adapters.openai.errors import broken_off, refused
from voicepipe.adapters.shared.api_keys import check_api_key, name_of
from voicepipe.adapters.shared.base_urls import check_base_url
from voicepipe.adapters.shared.vendor_clients import open_vendor_client
from voicepipe.components.distribution import install_hint
from voicepipe.components.tls import tls_context, tls_error
from voicepipe.errors import ComponentError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

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


def check_installed() -> Iterator[Problem]:
    """Gives a problem if the library is not installed."""
    if find_spec("openai") is None:
        yield Problem(Location(""), "", "the library openai is not installed", install_hint("openai"))


def check_client(endpoint: OpenAIEndpoint) -> Iterator[Problem]:
    """Gives a problem if the library is missing, and for an address or a key that can't be used."""
    yield from check_installed()
    problems = list(check_base_url(endpoint.base_url or OPENAI, "http://HOST:PORT/v1, or leave it out for OpenAI"))
    yield from problems
    vendor = "OpenAI" if not problems and is_openai(endpoint.base_url) else ""
    yield from check_api_key(endpoint.api_key, vendor=vendor, hint="api_key: ${OPENAI_API_KEY}")


async def _withhold_key(request: Any) -> None:
    """Takes the placeholder out again that the SDK wants for a key."""
    del request.headers["authorization"]


class OpenAIClient:
    """The SDK's client."""

    def __init__(self, endpoint: OpenAIEndpoint) -> None:
        """Imports the SDK, half a second, and makes its client: in a thread."""
        self._openai, self._httpx = import_module("openai"), import_module("httpx2")
        self._endpoint = endpoint
        self._key = name_of(endpoint.api_key)
        limits = self._httpx.Limits(
            max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_IDLE, keepalive_expiry=KEEP_ALIVE_S
        )
        timeout = self._httpx.Timeout(endpoint.timeout_s, connect=endpoint.connect_timeout_s)
        http = self._httpx.AsyncClient(
            verify=tls_context(endpoint.ca_file),
            trust_env=False,
            limits=limits,
            timeout=timeout,
            follow_redirects=True,
            event_hooks={} if endpoint.api_key else {"request": [_withhold_key]},
        )
        self.sdk: Any = self._openai.AsyncOpenAI(
            api_key=str(endpoint.api_key) if endpoint.api_key else "none",
            admin_api_key="",
            webhook_secret="",
            base_url=endpoint.base_url or OPENAI,
            timeout=timeout,
            max_retries=0,
            http_client=http,
        )
        """`openai.AsyncOpenAI`."""
        self.sdk.organization = self.sdk.project = None
        self.sdk._custom_headers = {}  # noqa: SLF001 - there is no other way to forget OPENAI_CUSTOM_HEADERS
        # Else the first request would have another thread find it out.
        self.sdk._platform = self.sdk.platform_headers()["X-Stainless-OS"]  # noqa: SLF001

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raises what goes wrong with the SDK or its connection inside as `ComponentError`; lets the rest pass."""
        try:
            yield
        except self._openai.APIStatusError as error:
            raise self._refused(error.response) from error
        except self._openai.APIConnectionError as error:
            raise self._unreachable(error.__cause__ or error) from error
        except self._openai.APIError as error:  # its stream's, for an error object in it
            raise broken_off(error.body or error.message, self._key) from error
        except self._openai.OpenAIError as error:
            raise ComponentError(str(error), retryable=False, fault="local") from error
        except (self._httpx.HTTPError, self._httpx.StreamError) as error:
            raise self._unreachable(error) from error

    async def close(self) -> None:
        """Closes the connections that are kept."""
        await self.sdk.close()

    def broken_off(self, error: object) -> ComponentError:
        """The error that an error object in mid-response becomes."""
        return broken_off(error, self._key)

    async def probe(self, model: str | None = None) -> None:
        """Returns if the server is there, takes the key and, where it can tell, has the model.

        Raises:
            ComponentError: it does not.

        """
        with self.failures():
            if model is not None:
                try:
                    await self.sdk.models.with_raw_response.retrieve(model)
                except self._openai.APIStatusError as error:
                    # Some have no such route, and list their models only.
                    if error.code == "model_not_found" or not self._says_nothing(error):
                        raise
                else:
                    return
            try:
                await self.sdk.models.with_raw_response.list()
            except self._openai.APIStatusError as error:
                if not self._says_nothing(error):
                    raise

    def _says_nothing(self, error: Any) -> bool:
        """Whether a refusal to tell about models says nothing about the service itself: it answers, and takes the key.

        OpenAI's restricted keys may do what they are for, and not ask about models.
        """
        return error.status_code in NO_SUCH_ROUTE or "missing scopes" in error.response.text.lower()

    def _refused(self, response: Any) -> ComponentError:
        failure = refused(response.status_code, response.headers, response.text, self._key)
        if response.status_code in {401, 403} and not self._endpoint.api_key:
            failure.hint = "the server requires a key: set api_key"
        return failure

    def _unreachable(self, error: BaseException) -> ComponentError:
        """The error of a failed connection; `error` is httpx's, or one that the SDK did not map."""
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
    """The SDK's client for one component; sends nothing yet. A cancellation does not wait for the SDK's import."""
    return open_vendor_client(partial(OpenAIClient, endpoint), resources)
