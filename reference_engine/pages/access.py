"""Who may see the operator's page and press its buttons.

Theory of operation
===================

A request comes in one of three ways, and `visitor_of` decides by that:

| the way | sees pages | presses buttons |
| --- | --- | --- |
| the Unix socket, for instance forwarded by `ssh -L` | its owner | its owner |
| TCP without a token, so on loopback | anyone on this machine | nobody: there is no token to sign in with |
| TCP with a token | who has signed in with it | who has signed in with it |

*Signing in.* The form takes `admin.token`, compares it in constant time, and sets a cookie with a random ID
(`sign_ins.py`). The cookie is HttpOnly and SameSite=Strict, for `/pages` only, and bears the port's number, because a
browser sends a cookie of a host to all of the host's ports. Wrong tokens are limited for each address. A sign-in opens
the pages and nothing else: the control's other requests want the token itself, as they always did.

*Pages from elsewhere.* Three things keep another site from pressing a button: SameSite, `Origin` and `Sec-Fetch-Site`,
and a form token that only our own forms have. DNS rebinding is kept out on loopback and on the Unix socket by `Host`,
which must be a name of this machine; with a token, another name simply has no cookie.

*What a browser may do with a page* is in `HEADERS`: scripts, styles and connections come from this server only, nothing
is inline, and nobody may frame it. Referrers go to this server only. (With `no-referrer` browsers would send the
`Origin` of a form as `null`.)
"""

from __future__ import annotations

import secrets
from hmac import compare_digest
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from attrs import field, frozen
from starlette.exceptions import HTTPException

from reference_engine.pages.sign_ins import SignIns, WrongTokens
from voicepipe import is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from reference_engine.settings.settings import CurrentSettings

PREFIX = "/pages"
"""The path of all pages."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "media-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Headers of every answer."""

Way = Literal["socket", "loopback", "token"]
"""How a request came: by the Unix socket, by TCP without a token, or by TCP with one."""


@frozen
class Visitor:
    """What the sender of a request may do."""

    way: Way
    """How the request came."""
    sees: bool
    """Whether pages are shown to it."""
    changes: bool
    """Whether buttons work for it."""
    form_token: str = field(default="", repr=False)
    """The value that its forms must have; empty: it may change nothing."""


class PageAccess:
    """Decides on requests for pages, and signs browsers in and out.

    Args:
        current: the settings in force; the token is looked up for each request.

    """

    def __init__(self, current: CurrentSettings) -> None:
        self._current = current
        self._sign_ins, self._wrong_tokens = SignIns(), WrongTokens()
        self._owners_form_token = secrets.token_urlsafe(24)

    def visitor_of(self, request: Request) -> Visitor:
        """Returns what the sender of a request may do."""
        token = self._token()
        if request.client is None:
            return Visitor("socket", sees=True, changes=True, form_token=self._owners_form_token)
        if token is None:
            return Visitor("loopback", sees=True, changes=False)
        sign_in = self._sign_ins.find(request.cookies.get(_cookie(request), ""), token)
        if sign_in is None:
            return Visitor("token", sees=False, changes=False)
        return Visitor("token", sees=True, changes=True, form_token=sign_in.form_token)

    def check_host(self, request: Request) -> None:
        """Checks that a browser asks for this machine, not for a name that was rebound to it.

        Raises:
            HTTPException: `Host` is a foreign name (403).

        """
        if self.visitor_of(request).way == "token":
            return
        if not is_loopback(_host_name(request.headers.get("host", ""))):
            reason = "`Host` is not a loopback address: use 127.0.0.1, or give `admin` a token"
            raise HTTPException(HTTPStatus.FORBIDDEN, reason)

    def check_form(self, request: Request, form: Mapping[str, str]) -> None:
        """Checks that a form was sent by one of our own pages, for somebody who may change things.

        Raises:
            HTTPException: it was not (403).

        """
        visitor = self.visitor_of(request)
        check_origin(request)
        if not visitor.changes:
            reason = (
                "Buttons work only for who has signed in with a token, and this engine has none. Give it one with "
                "`admin: {token: ...}` in the engine's file, and reload."
                if visitor.way == "loopback"
                else "Sign in first: you are not signed in, or not any more."
            )
            raise HTTPException(HTTPStatus.FORBIDDEN, reason)
        if not compare_digest(form.get("form_token", "").encode(), visitor.form_token.encode()):
            raise HTTPException(
                HTTPStatus.FORBIDDEN, "This form is of an earlier sign-in: reload the page, then try again."
            )

    def sign_in(self, request: Request, given: str) -> str | None:
        """Returns the ID of a new sign-in if the given token is right, else None.

        Raises:
            HTTPException: the address has given too many wrong ones (429), or there is no token to sign in with (403).

        """
        token, address = self._token(), request.client.host if request.client else ""
        if token is None or request.client is None:
            raise HTTPException(HTTPStatus.FORBIDDEN, "There is no token to sign in with here.")
        if (wait_s := self._wrong_tokens.wait_s(address)) > 0:
            reason = f"Too many wrong tokens from {address}: try again in {wait_s:.0f} s."
            raise HTTPException(HTTPStatus.TOO_MANY_REQUESTS, reason, {"retry-after": f"{wait_s:.0f}"})
        if compare_digest(given.strip().encode("utf-8", "surrogateescape"), token.encode()):
            return self._sign_ins.begin(token)
        self._wrong_tokens.fail(address)
        return None

    def sign_out(self, request: Request) -> None:
        """Ends the sign-in of a request; no-op if it has none."""
        self._sign_ins.end(request.cookies.get(_cookie(request), ""))

    def cookie(self, request: Request, name: str) -> str:
        """Returns the header `Set-Cookie` for a sign-in's ID; an empty one removes the cookie."""
        secure = "; Secure" if request.headers.get("x-forwarded-proto", request.url.scheme) == "https" else ""
        age = "" if name else "; Max-Age=0"
        return f"{_cookie(request)}={name}; Path={PREFIX}; HttpOnly; SameSite=Strict{age}{secure}"

    def _token(self) -> str | None:
        admin = self._current.settings.admin
        return str(admin.token) if admin is not None and admin.token is not None else None


def check_origin(request: Request) -> None:
    """Checks that a form comes from a page of the same origin, as far as the browser tells.

    Raises:
        HTTPException: it does not (403).

    """
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if site != "same-origin" or (origin is not None and origin not in {f"http://{host}", f"https://{host}"}):
        raise HTTPException(HTTPStatus.FORBIDDEN, "Forms of pages from elsewhere are refused.")


def _cookie(request: Request) -> str:
    """The cookie's name: the ports of a host share their cookies."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"voicepipe_{port}" if port.isdecimal() else "voicepipe"


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
