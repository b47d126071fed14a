"""Sends browsers that ask for `/` to the operator's pages; for other clients `/` is nothing, as it always was."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

if TYPE_CHECKING:
    from starlette.requests import Request

PAGES = "/pages"
"""The path of the operator's pages."""


def is_of_pages(path: str) -> bool:
    """Returns whether a path is one of the pages."""
    return path == PAGES or path.startswith(f"{PAGES}/")


def wants_pages(request: Request) -> bool:
    """Returns whether a browser asks for `/`."""
    is_first = request.method == "GET" and request.url.path == "/"
    return is_first and "text/html" in request.headers.get("accept", "")


async def redirect_to_pages(request: Request) -> Response:
    """Answers a browser with the address of the pages, and others with 404."""
    if not wants_pages(request):
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return RedirectResponse(f"{PAGES}/", HTTPStatus.SEE_OTHER)
