"""The softphone's page: its files, and the headers by which a browser lets it load nothing but these."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Final

from voicepipe.transports.websocket_calls import HttpResponse

HTML: Final = "text/html; charset=utf-8"
SCRIPT: Final = "text/javascript; charset=utf-8"

FILES: Final = {
    "/": ("index.html", HTML),
    "/softphone.css": ("softphone.css", "text/css; charset=utf-8"),
    "/softphone.js": ("softphone.js", SCRIPT),
    "/audio.js": ("audio.js", SCRIPT),
    "/line.js": ("line.js", SCRIPT),
    "/view.js": ("view.js", SCRIPT),
    "/worklet.js": ("worklet.js", SCRIPT),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
"""The files by the paths at which they are served, each with its type."""

HEADERS: Final = {
    # No script or style within the page, nothing from elsewhere, no frame around it, no form that leads away.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",  # a browser's copy of yesterday would speak to the engine of today
}
"""The headers of every answer."""


@cache
def page_file(path: str) -> HttpResponse | None:
    """Returns the answer with the file at a path; None if there is none."""
    if path not in FILES:
        return None
    name, content_type = FILES[path]
    body = files("voicepipe.transports.browser").joinpath("page", name).read_bytes()
    return HttpResponse(200, body, content_type, HEADERS)
