"""Serves the package's scripts, styles and pictures from memory, with their hashes as entity tags."""

from __future__ import annotations

from hashlib import sha256
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING

from attrs import frozen
from starlette.exceptions import HTTPException
from starlette.responses import Response

from reference_engine.pages.access import PREFIX

if TYPE_CHECKING:
    from starlette.requests import Request

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
"""The types of the files that are served, by the end of their names."""

FOR_EVER = "public, max-age=31536000, immutable"
"""The caching of an address with the right hash: another content has another address."""


@frozen
class _StaticFile:
    content: bytes
    media_type: str
    digest: str


class StaticFiles:
    """The files in `static/`, read once."""

    def __init__(self) -> None:
        self._files = {
            file.name: _StaticFile(content := file.read_bytes(), MEDIA_TYPES[suffix], sha256(content).hexdigest()[:16])
            for file in (files("reference_engine.pages") / "static").iterdir()
            if (suffix := f".{file.name.rpartition('.')[2]}") in MEDIA_TYPES
        }

    def url(self, name: str) -> str:
        """Returns the address of a file, which changes with its content."""
        return f"{PREFIX}/static/{name}?v={self._files[name].digest}"

    async def answer(self, request: Request) -> Response:
        """Answers with a file, or 304 if the browser has it."""
        file = self._files.get(request.path_params["name"])
        if file is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such file.")
        named = request.query_params.get("v") == file.digest
        headers = {"etag": f'"{file.digest}"', "cache-control": FOR_EVER if named else "no-cache"}
        if f'"{file.digest}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        return Response(file.content, media_type=file.media_type, headers=headers)
