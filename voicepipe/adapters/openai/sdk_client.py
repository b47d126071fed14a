"""OpenAI's SDK on trio, for uploads and speech, with its failures as `ComponentError`.

    async with open_sdk_client(options, resources) as client:          # once, in the adapter's `open`
        with client.failures():                                         # around everything that the SDK does
            async with client.sdk.audio.speech.with_streaming_response.create(...) as answer: ...

A request an utterance or a segment is rare enough for the SDK, and its multipart forms are worth having. The SDK looks
into the environment for whatever it is not told (OPENAI_API_KEY, OPENAI_BASE_URL, OPENAI_ORG_ID,
OPENAI_CUSTOM_HEADERS ...); here it finds nothing there. Its private names stand in this module.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from voicepipe.adapters.openai.client import (
    KEEP_ALIVE_S,
    MOST_CONNECTIONS,
    MOST_IDLE,
    OPENAI,
    OpenAIClient,
    check_client,
    check_installed,
)
from voicepipe.adapters.openai.errors import broken_off
from voicepipe.adapters.shared.vendor_clients import open_vendor_client
from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager
    from ssl import SSLContext

    from voicepipe.adapters.openai.client import OpenAIEndpoint
    from voicepipe.components.protocols import Resources
    from voicepipe.errors import Problem

__all__ = ["OpenAISdkClient", "check_sdk_client", "check_sdk_installed", "open_sdk_client"]


def check_sdk_installed() -> Iterator[Problem]:
    """Gives a problem if the SDK is not installed."""
    return check_installed("openai")


def check_sdk_client(endpoint: OpenAIEndpoint) -> Iterator[Problem]:
    """Gives a problem if the SDK is missing, and for an address or a key that can't be used."""
    return check_client(endpoint, "openai")


async def _withhold_key(request: Any) -> None:
    """Takes the placeholder out again that the SDK wants for a key."""
    request.headers.pop("authorization", None)


class OpenAISdkClient(OpenAIClient):
    """The SDK's client."""

    library = "httpx2"

    def __init__(self, endpoint: OpenAIEndpoint) -> None:
        """Imports the SDK, half a second, and makes its client: in a thread."""
        super().__init__(endpoint)
        self._openai = import_module("openai")
        if not endpoint.api_key:
            self._http.event_hooks = {"request": [_withhold_key]}
        self.sdk: Any = self._openai.AsyncOpenAI(
            api_key=str(endpoint.api_key) if endpoint.api_key else "none",
            admin_api_key="",
            webhook_secret="",
            base_url=endpoint.base_url or OPENAI,
            timeout=self._http.timeout,
            max_retries=0,
            http_client=self._http,
        )
        """`openai.AsyncOpenAI`."""
        self.sdk.organization = self.sdk.project = None
        self.sdk._custom_headers = {}  # noqa: SLF001 - there is no other way to forget OPENAI_CUSTOM_HEADERS
        # Else the first request would have another thread find it out.
        self.sdk._platform = self.sdk.platform_headers()["X-Stainless-OS"]  # noqa: SLF001

    def _connections(self, tls: SSLContext) -> dict[str, Any]:
        limits = self._httpx.Limits(
            max_connections=MOST_CONNECTIONS, max_keepalive_connections=MOST_IDLE, keepalive_expiry=KEEP_ALIVE_S
        )
        return {"verify": tls, "limits": limits}

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Raises what goes wrong with the SDK or its connection inside as `ComponentError`; lets the rest pass."""
        try:
            with super().failures():
                yield
        except self._openai.APIStatusError as error:
            raise self._refused(error.response) from error
        except self._openai.APIConnectionError as error:
            raise self.unreachable(error.__cause__ or error) from error
        except self._openai.APIError as error:  # its stream's, for an error object in it
            raise broken_off(error.body or error.message, self._key) from error
        except self._openai.OpenAIError as error:
            raise ComponentError(str(error), retryable=False, fault="local") from error


def open_sdk_client(endpoint: OpenAIEndpoint, resources: Resources) -> AbstractAsyncContextManager[OpenAISdkClient]:
    """The SDK's client for one component; sends nothing yet. A cancellation does not wait for the SDK's import."""
    return open_vendor_client(partial(OpenAISdkClient, endpoint), resources)
