"""The operator's pages as one ASGI application, made at the first request: an engine that nobody looks at has none.

Jinja and the templates take a few tenths of a second, which would be heard if calls are up; so a thread does that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from reference_engine.pages.now_content import Now, content_as_data

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import ASGIApp, Receive, Scope, Send

    from reference_engine.pages.parts import PageParts


class OperatorPages:
    """The ASGI application of all pages, to be mounted at `/pages`.

    Args:
        parts: the parts of the engine that pages read and act on.
        url: their address over TCP; None: they are served on the Unix socket only.

    """

    def __init__(self, parts: PageParts, url: str | None) -> None:
        self.url = url
        self._parts = parts
        self._app: ASGIApp | None = None
        self._making = trio.Lock()

    def own_now(self) -> dict[str, Any]:
        """Returns what this process has to show on the page Now, as a JSON object."""
        return content_as_data(Now(self._parts).content())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request; the first one waits until the pages are made."""
        if self._app is None:
            async with self._making:
                if self._app is None:
                    self._app = await trio.to_thread.run_sync(_make, self._parts)
        await self._app(scope, receive, send)


def url_of(address: Mapping[str, str | int]) -> str:
    """Returns the address of the pages, as a browser on this machine may open it.

    Args:
        address: `host` and `port` that the control is bound to.

    """
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(str(address["host"]), str(address["host"]))  # noqa: S104
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{host}:{address['port']}/pages/"


def _make(parts: PageParts) -> ASGIApp:
    from reference_engine.pages.calls_page import add_calls  # noqa: PLC0415 - see the module
    from reference_engine.pages.configuration import add_configuration  # noqa: PLC0415
    from reference_engine.pages.figures_page import add_figures  # noqa: PLC0415
    from reference_engine.pages.now import add_now  # noqa: PLC0415
    from reference_engine.pages.records_of_pages import PageRecords  # noqa: PLC0415
    from reference_engine.pages.shell import Shell  # noqa: PLC0415

    shell, records = Shell(parts.current), PageRecords(parts.current)
    add_now(shell, parts)
    add_calls(shell, parts, records)
    add_figures(shell, parts, records)
    add_configuration(shell, parts)
    return shell.app()
