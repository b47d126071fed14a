"""Access control of the control's TCP port; on the Unix socket, the file's owner may request anything.

- With a token, all requests except those for `OPEN` must have it.
- The operator's pages are passed on in any case: they have a sign-in of their own (`pages/access.py`).
- Without a token the port is on loopback, so all clients are on this machine. One of them may be a browser that shows a
  page from elsewhere. Its requests have that page's `Origin`, or, after DNS rebinding, a foreign name in `Host`.
"""

from __future__ import annotations

from hmac import compare_digest
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse

from reference_engine.control.operations import OPERATIONS
from reference_engine.control.redirecting import is_of_pages, wants_pages
from voicepipe import is_loopback

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from reference_engine.settings.settings import CurrentSettings

OPEN = frozenset(operation.path for operation in OPERATIONS if operation.open_to_all)
"""The paths that need no token: probes and scrapers read them, and they show no caller's number."""

PROBES = frozenset({"/healthz", "/readyz"})
"""The paths that are answered for any `Host`: health checks send all kinds, and the answers show nothing."""


class AccessControl:
    """An ASGI application that passes allowed requests on to another one, and answers 401 or 403 to others.

    Args:
        app: the other application.
        current: the settings in force; the token is looked up for each request.

    """

    def __init__(self, app: ASGIApp, current: CurrentSettings) -> None:
        self._app, self._current = app, current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request that is not allowed; passes any other on."""
        if scope["type"] == "http":
            admin = self._current.settings.admin
            token = admin.token if admin is not None else None
            request = Request(scope)
            refusal = _without_token(request) if token is None else _with_token(request, token)
            if refusal is not None:
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _with_token(request: Request, token: str) -> JSONResponse | None:
    if request.method in {"GET", "HEAD"} and request.url.path in OPEN:
        return None
    if is_of_pages(request.url.path) or wants_pages(request):
        return None
    kind, _, borne = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer" and compare_digest(borne.strip().encode("latin-1"), token.encode()):
        return None
    error = "missing or wrong token: send `Authorization: Bearer ...` with `admin.token` of the engine's file"
    return _refusal(HTTPStatus.UNAUTHORIZED, error, {"www-authenticate": 'Bearer realm="voicepipe"'})


def _without_token(request: Request) -> JSONResponse | None:
    host, origin = request.headers.get("host"), request.headers.get("origin")
    if request.method in {"GET", "HEAD"} and request.url.path in PROBES:
        return None
    if host is None and origin is None:  # HTTP/1.0 without `Host`, of some health checks; no browser sends that
        return None
    if host is None or not is_loopback(_host_name(host)):
        return _refusal(
            HTTPStatus.FORBIDDEN,
            "`Host` is not a loopback address: use 127.0.0.1, or give `admin` a token",
        )
    if origin is not None and origin != f"http://{host}":
        return _refusal(HTTPStatus.FORBIDDEN, "requests from pages of other origins are refused; give `admin` a token")
    return None


def _host_name(host: str) -> str:
    """The host of `host:port`; empty if the text can't be parsed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _refusal(status: HTTPStatus, error: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": error}, status, headers)
