"""The tools that a file declares: each call of one is an HTTP request."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import trio
from attrs import field, frozen

from voicepipe.components.quoting import quoted
from voicepipe.components.secrets import Secrets
from voicepipe.components.tls import tls_failure
from voicepipe.errors import ToolError
from voicepipe.tools.functions import FunctionTool
from voicepipe.tools.schemas import plain
from voicepipe.tools.settings import ARGUMENT, ToolSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from voicepipe.tools.functions import ToolContext

MOST_BYTES = 16 * 1024
"""How much of an answer the model gets."""

MOST_OF_SECRET = 1024
"""How much more is read, in bytes, to find secrets that begin within that and end behind it."""

MOST_OF_REFUSAL = 500
"""Characters of an answer that is no success."""

IN_QUERY = frozenset({"GET", "DELETE"})
"""Methods whose requests have no body (RFC 9110, section 9.3)."""


def open_client(context: ssl.SSLContext) -> Any:
    """An `httpx.AsyncClient` for tools; close it with `aclose`.

    It keeps connections, and nothing else from one request to the next. Blocks for 0.2 s: it imports httpx.

    Args:
        context: whom it trusts, from `tls_context`.

    """
    httpx, cookies = import_module("httpx"), import_module("http.cookiejar")
    none = cookies.DefaultCookiePolicy(allowed_domains=[])
    return httpx.AsyncClient(
        cookies=cookies.CookieJar(none),  # they would go from one caller to the next
        headers={"accept-encoding": "identity"},
        timeout=None,  # a tool has its own
        trust_env=False,
        verify=context,
    )


def http_tool(name: str, settings: ToolSettings, secrets: Secrets, client: Any) -> FunctionTool:
    """The tool that a file declares.

    Args:
        name: what the model calls it.
        settings: as declared.
        secrets: the file's.
        client: from `open_client`.

    """
    return FunctionTool(
        name,
        settings.description,
        plain(settings.parameters),
        _ToolRequest(settings, secrets, client),
        timeout_s=settings.timeout_s,
        filler=settings.filler,
        filler_after_ms=settings.filler_after_ms,
        cancellable=settings.cancellable,
    )


@frozen
class _ToolRequest:
    """A tool's function: makes the request, once."""

    _settings: ToolSettings
    _secrets: Secrets
    _client: Any = field(repr=False)

    async def __call__(self, arguments: Mapping[str, Any], _context: ToolContext) -> str | None:
        """What was answered, as text; None: nothing.

        Raises:
            ToolError: there is no answer, or it is no success.

        """
        httpx, http = import_module("httpx"), self._settings.http
        url, rest = _url_of(http.url, arguments)
        in_query = http.method in IN_QUERY
        if query := urlencode([*_pairs(http.query), *_pairs(rest if in_query else {})]):
            url += ("&" if "?" in url else "?") + query
        try:
            async with self._client.stream(
                http.method,
                url,
                headers={name: str(value) for name, value in http.headers.items()},
                json=None if in_query else plain(rest),
            ) as answer:
                text = await _text_of(answer, self._secrets)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = tls_failure(error, http.ca_file)
            said = f"the server {failure.cause}" if failure else str(error)
            said = quoted(said, self._secrets.conceal, MOST_OF_REFUSAL) or type(error).__name__
            # The log may not show what the model is told, so the hint stands by itself.
            hint = f"{said}: {failure.hint}" if failure else ""
            raise ToolError(f"the request failed: {said}", hint=hint) from None
        if not answer.is_success:
            raise ToolError(f"HTTP {answer.status_code}: {text[:MOST_OF_REFUSAL]}".removesuffix(": "))
        return text if text.strip() else None


def _url_of(template: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The URL with its arguments in it, percent-encoded, and the arguments that it doesn't name."""
    rest = dict(arguments)
    named = dict.fromkeys(ARGUMENT.findall(template))
    for name in named:
        text = _text(rest.pop(name, ""))
        if text in {"", ".", ".."}:
            raise ToolError(f"{name} can't be {text!r}")  # in a path those lead elsewhere
        named[name] = quote(text, safe="")
    return ARGUMENT.sub(lambda found: str(named[found["name"]]), str(template)), rest


def _pairs(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Arguments for a query: a list gives its name several times."""
    for name, value in arguments.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None:
                yield name, _text(one)


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


async def _text_of(answer: Any, secrets: Secrets) -> str:
    """As much of an answer as the model gets, without secrets: not with the beginning of one at its end either."""
    data = bytearray()
    with trio.CancelScope() as enough:
        async for chunk in answer.aiter_bytes():
            data += chunk
            if len(data) > MOST_BYTES + MOST_OF_SECRET:
                enough.cancel()  # a plain `break` would leave the client's generators open
    encoding = answer.encoding or "utf-8"
    text = secrets.conceal(bytes(data[: MOST_BYTES + MOST_OF_SECRET]).decode(encoding, errors="replace"))
    if len(data) <= MOST_BYTES:
        return text
    return f"{text.encode(errors='replace')[:MOST_BYTES].decode(errors='ignore')}… (and more)"
