"""Tools that the configuration declares: each call of such a tool makes an HTTP request."""

from __future__ import annotations

import json
from importlib import import_module
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import trio
from attrs import field, frozen

from voicepipe.components.quoting import quoted
from voicepipe.components.secrets import Secrets
from voicepipe.components.templates import fill, has_places
from voicepipe.components.tls import tls_failure
from voicepipe.components.trace_context import TRACEPARENT
from voicepipe.components.values import Secret
from voicepipe.errors import ToolError
from voicepipe.tools.functions import FunctionTool
from voicepipe.tools.schemas import plain
from voicepipe.tools.settings import ARGUMENT, ToolSettings

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping

    from voicepipe.tools.context import ToolContext
    from voicepipe.tools.settings import HttpSettings

MOST_BYTES = 16 * 1024
"""The most of an answer that the model is given, in bytes."""

MOST_OF_SECRET = 1024
"""The bytes that are read beyond `MOST_BYTES`, to mask secrets that cross that limit."""

MOST_OF_REFUSAL = 500
"""The most of an error's answer that the model is given, in characters."""

IN_QUERY = frozenset({"GET", "DELETE"})
"""Methods without a request body (RFC 9110, section 9.3), whose arguments go into the query."""


def open_client(context: ssl.SSLContext) -> Any:
    """Opens an `httpx.AsyncClient` for tools; close it with `aclose`.

    The client keeps connections, and nothing else, between requests. Blocks for 0.2 s: it imports httpx.

    Args:
        context: the trusted certificates, from `tls_context`.

    """
    httpx, cookies = import_module("httpx"), import_module("http.cookiejar")
    none = cookies.DefaultCookiePolicy(allowed_domains=[])
    return httpx.AsyncClient(
        cookies=cookies.CookieJar(none),  # cookies of one caller must not be sent for another
        headers={"accept-encoding": "identity"},
        timeout=None,  # the tool's own time limit applies
        trust_env=False,
        verify=context,
    )


def http_tool(name: str, settings: ToolSettings, secrets: Secrets, client: Any) -> FunctionTool:
    """Makes the tool of its settings.

    Args:
        name: the tool's name.
        settings: the tool as the configuration declares it.
        secrets: the configuration's secrets, which are masked in answers.
        client: the client, from `open_client`.

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
    """The function of a tool: makes one request, and does not retry it."""

    _settings: ToolSettings
    _secrets: Secrets
    _client: Any = field(repr=False)

    async def __call__(self, arguments: Mapping[str, Any], context: ToolContext) -> str | None:
        """Returns the body of the answer as text, or None if it is blank.

        Raises:
            ToolError: there is no answer, or its status is no success.

        """
        httpx, http, values = import_module("httpx"), self._settings.http, context.values
        own = {name: fill(text, values.get) for name, text in http.arguments.items()}
        url, rest = _url_of(http.url, {**arguments, **own}, self._settings.parameters.get("properties", {}), values)
        in_query = http.method in IN_QUERY
        added = {name: fill(text, values.get) for name, text in http.query.items()}
        if query := urlencode([*_pairs(added), *_pairs(rest if in_query else {})]):
            url += ("&" if "?" in url else "?") + query
        try:
            async with self._client.stream(
                http.method,
                url,
                headers=_headers(http, context),
                json=None if in_query else plain(rest),
            ) as answer:
                text = await _text_of(answer, self._secrets)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = tls_failure(error, http.ca_file)
            reason = f"the server {failure.cause}" if failure else str(error)
            reason = quoted(reason, self._secrets.conceal, MOST_OF_REFUSAL) or type(error).__name__
            # The log may leave out the text for the model, so the hint repeats the reason.
            hint = f"{reason}: {failure.hint}" if failure else ""
            raise ToolError(f"the request failed: {reason}", hint=hint) from None
        if not answer.is_success:
            raise ToolError(f"HTTP {answer.status_code}: {text[:MOST_OF_REFUSAL]}".removesuffix(": "))
        return text if text.strip() else None


def _headers(http: HttpSettings, context: ToolContext) -> dict[str, str]:
    """Returns the headers of a request: those of the settings, and the trace's unless the settings have their own."""
    own = {name: _header(value, context.values) for name, value in http.headers.items()}
    if context.trace is None or not http.trace_context or TRACEPARENT in {name.lower() for name in own}:
        return own
    return context.trace.headers | own


def _header(template: str, values: Mapping[str, str]) -> str:
    """Returns a header with values of the call, in which nothing can end it or begin another one.

    What an environment variable or a file had in braces is left alone: it may be any key.
    """
    written = template.source if isinstance(template, Secret) and template.source != "***" else template
    if not has_places(written):
        return str(template)
    return fill(template, lambda name: quote(values.get(name, ""), safe=_PRINTABLE)).strip()


_PRINTABLE = "".join(map(chr, range(0x20, 0x7F))).replace("%", "")


def _url_of(
    template: str, arguments: Mapping[str, Any], described: Mapping[str, Any], values: Mapping[str, str]
) -> tuple[str, dict[str, Any]]:
    """Fills a URL template in, percent-encoded.

    Args:
        template: the URL.
        arguments: the arguments, of the model and of the settings.
        described: the parameters that are described to the model; other names may be values of the call.
        values: the values of the call.

    Returns:
        The URL, and the arguments that the template doesn't name.

    """
    rest = dict(arguments)
    named = dict.fromkeys(ARGUMENT.findall(template))
    for name in named:
        if name in rest or name in described:
            text = _text(rest.pop(name, ""))
        elif not (text := values.get(name, "")):
            raise ToolError(f"this call has no {name}")
        if text in {"", ".", ".."}:
            raise ToolError(f"{name} can't be {text!r}")  # in a path these would change the resource
        named[name] = quote(text, safe="")
    return ARGUMENT.sub(lambda match: str(named[match["name"]]), str(template)), rest


def _pairs(arguments: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields arguments as pairs for a query: a list repeats its name, and None is left out."""
    for name, value in arguments.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            if item is not None:
                yield name, _text(item)


def _text(value: Any) -> str:
    return str(value) if isinstance(value, str) else json.dumps(plain(value), ensure_ascii=False)


async def _text_of(answer: Any, secrets: Secrets) -> str:
    """Reads an answer up to `MOST_BYTES`, and masks secrets, including one that is cut off at the end."""
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
