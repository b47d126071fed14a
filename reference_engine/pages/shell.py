"""The shell of all pages: templates, navigation, static files, errors and signing in.

Theory of operation
===================

`Shell` is what a module of pages gets. It adds its routes and its place in the navigation with `add`, and answers with
`page`: a template of `templates/` that extends `base.html`, and the values in it. Templates escape whatever they are
given; nothing marks a text as safe, so a caller's words stay words.

    shell.add(PageLink("Calls", "/calls"), Route("/calls", show_calls), Route("/calls/{call}", show_call))
    ...
    async def show_calls(request: Request) -> Response:
        return await shell.page(request, "calls.html", calls=...)

Paths of routes are below `/pages`; the middleware around them (`_guarded`) shows them to visitors who may see pages,
and sends others to the sign-in form.

*Beside calls.* Templates are compiled and filled in a thread, one at a time, so that a large page delays no audio. The
values must be made before, on trio's thread, and be immutable or the page's own.
"""

from __future__ import annotations

from contextlib import aclosing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

import trio
from attrs import frozen
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from reference_engine.pages.access import HEADERS, PREFIX, PageAccess, check_origin
from reference_engine.pages.filters import FILTERS
from reference_engine.pages.static_files import StaticFiles
from voicepipe import __version__

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reference_engine.settings.settings import CurrentSettings

MAX_FORM = 8192
"""The most bytes of a form."""

FORM_S = 5.0
"""The time in which a form must arrive, in s."""

_OPEN = ("/static/", "/sign-in")
"""The paths that are shown without a sign-in."""


@frozen
class PageLink:
    """An entry of the navigation."""

    title: str
    """What it is called."""
    path: str
    """Its path below `/pages`."""


class Shell:
    """What all pages share.

    Args:
        current: the settings in force.

    Attributes:
        access: who may see and change what.

    """

    def __init__(self, current: CurrentSettings) -> None:
        self.access = PageAccess(current)
        self._current = current
        self._static = StaticFiles()
        self._places: list[PageLink] = []
        self._routes: list[Route] = [
            Route("/static/{name}", self._static.answer),
            Route("/sign-in", self._show_sign_in, methods=["GET"]),
            Route("/sign-in", self._sign_in, methods=["POST"]),
            Route("/sign-out", self._sign_out, methods=["POST"]),
        ]
        self._rendering = trio.CapacityLimiter(1)
        self._templates = Environment(
            loader=PackageLoader("reference_engine.pages"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(FILTERS)
        self._templates.globals.update(static=self._static.url, pages=PREFIX, software=__version__)
        for name in self._templates.list_templates(extensions=["html"]):
            self._templates.get_template(name)  # compiled now, in the thread that makes the shell

    def add(self, place: PageLink | None, *routes: Route) -> None:
        """Adds routes, and an entry of the navigation if they have one of their own."""
        if place is not None:
            self._places.append(place)
        self._routes += routes

    def app(self) -> ASGIApp:
        """Returns the ASGI application of all routes that were added, to be mounted at `/pages`."""
        app = Starlette(
            routes=[Route("/", self._show_first), *self._routes],
            middleware=[Middleware(_WithHeaders), Middleware(_Guard, shell=self)],
            exception_handlers={HTTPException: self.show_error, Exception: self.show_error},
        )
        app.router.redirect_slashes = False
        return app

    async def page(self, request: Request, template: str, /, status: int = HTTPStatus.OK, **values: Any) -> Response:
        """Returns an answer with a template filled in; it also gets `visitor`, `places` and `path`."""
        return HTMLResponse(await self.text(request, template, **values), status)

    async def text(self, request: Request, template: str, /, **values: Any) -> str:
        """Returns a template filled in, as `page` does, for a part of a page."""
        path = request.url.path.removeprefix(PREFIX)
        shared = {"visitor": self.access.visitor_of(request), "places": tuple(self._places), "path": path}
        return await self.render(template, **shared, **values)

    async def render(self, template: str, /, **values: Any) -> str:
        """Returns a template filled in with nothing but these values."""
        filled = self._templates.get_template(template).render
        return await trio.to_thread.run_sync(lambda: filled(**values), limiter=self._rendering)

    async def form_of(self, request: Request) -> dict[str, str]:
        """Returns the fields of a form that one of our own pages has sent for somebody who may change things.

        Raises:
            HTTPException: it is refused (403), too long (413), or does not arrive in time (408).

        """
        form = await _fields(request)
        self.access.check_form(request, form)
        return form

    async def show_error(self, request: Request, error: Exception) -> Response:
        """Answers with an error as a page."""
        if not isinstance(error, HTTPException):
            reason = "The engine's log has the reason. Calls are not affected."
            error = HTTPException(HTTPStatus.INTERNAL_SERVER_ERROR, reason)
        name = "error_part.html" if "hx-request" in request.headers else "error.html"
        code = HTTPStatus(error.status_code)
        answer = await self.page(request, name, code, code=code, detail=error.detail)
        answer.headers.update({**HEADERS, **(error.headers or {})})
        return answer

    async def _show_first(self, _request: Request) -> Response:
        return RedirectResponse(PREFIX + self._places[0].path, HTTPStatus.SEE_OTHER)

    async def _show_sign_in(self, request: Request) -> Response:
        return await self.page(request, "sign_in.html", wrong=False, then=_local(request.query_params.get("then", "")))

    async def _sign_in(self, request: Request) -> Response:
        form = await _fields(request)
        check_origin(request)
        then = _local(form.get("then", ""))
        name = self.access.sign_in(request, form.get("token", ""))
        if name is None:
            return await self.page(request, "sign_in.html", HTTPStatus.FORBIDDEN, wrong=True, then=then)
        answer = RedirectResponse(then or f"{PREFIX}/", HTTPStatus.SEE_OTHER)
        answer.headers["set-cookie"] = self.access.cookie(request, name)
        return answer

    async def _sign_out(self, request: Request) -> Response:
        await self.form_of(request)
        self.access.sign_out(request)
        answer = RedirectResponse(f"{PREFIX}/sign-in", HTTPStatus.SEE_OTHER)
        answer.headers["set-cookie"] = self.access.cookie(request, "")
        return answer


class _WithHeaders:
    """Adds `HEADERS` to every answer, and keeps pages out of caches."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        await self._app(scope, receive, with_headers)


class _Guard:
    """Passes on what a visitor may see; sends others to the sign-in form, and scripts of theirs a plain 401."""

    def __init__(self, app: ASGIApp, shell: Shell) -> None:
        self._app, self._shell = app, shell

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        refusal: Response | None = None
        try:
            self._shell.access.check_host(request)
        except HTTPException as error:
            refusal = await self._shell.show_error(request, error)
        path = request.url.path.removeprefix(PREFIX)
        if refusal is None and not path.startswith(_OPEN) and not self._shell.access.visitor_of(request).sees:
            refusal = self._to_sign_in(request, path)
        await (refusal or self._app)(scope, receive, send)

    def _to_sign_in(self, request: Request, path: str) -> Response:
        address = f"{PREFIX}/sign-in"
        if request.method == "GET" and path != "/":
            address += f"?then={quote(PREFIX + path)}"
        if "hx-request" in request.headers:  # htmx would put the form into a part of the page
            return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"hx-redirect": address})
        if "text/html" not in request.headers.get("accept", "*/*") and "*/*" not in request.headers.get(
            "accept", "*/*"
        ):
            return Response(status_code=HTTPStatus.UNAUTHORIZED)
        return RedirectResponse(address, HTTPStatus.SEE_OTHER)


async def _fields(request: Request) -> dict[str, str]:
    """Returns the fields of a form; of a field that is given twice the last."""
    content = bytearray()
    with trio.move_on_after(FORM_S) as reading:
        async with aclosing(request.stream()) as chunks:
            async for chunk in chunks:
                content += chunk
                if len(content) > MAX_FORM:
                    reason = f"The form is longer than {MAX_FORM} bytes."
                    raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, reason)
    if reading.cancelled_caught:
        raise HTTPException(HTTPStatus.REQUEST_TIMEOUT, f"The form did not arrive within {FORM_S:g} s.")
    try:
        return dict(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=50))
    except ValueError:
        raise HTTPException(HTTPStatus.BAD_REQUEST, "The form can't be read.") from None


def _local(path: str) -> str:
    """Returns a path of a page, to go to after signing in; empty for anything else."""
    return path if path.startswith(f"{PREFIX}/") and path.isprintable() and "\\" not in path else ""
