"""The page Now: calls that are up, versions, components and the last reloads, kept up to date while it is looked at.

With several workers, this one renders the page for all of them: it asks the supervisor for what each has to show.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrs import asdict
from starlette.routing import Route

from reference_engine.pages.live import LiveParts
from reference_engine.pages.now_content import Now, NowContent, content_of_workers, last_reload
from reference_engine.pages.shell import PageLink, Shell

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from reference_engine.pages.parts import PageParts
    from reference_engine.pages.whole_engine import WholeEngine

PARTS = ("summary", "calls", "versions", "components", "reloads")
"""The parts of the page that are updated, each with a template `now_NAME.html`."""


def add_now(shell: Shell, parts: PageParts) -> None:
    """Adds the page to the shell."""
    now = Now(parts)

    async def content() -> dict[str, Any]:
        shown = now.content() if parts.whole is None else await of_all(parts.whole)
        return {**asdict(shown, recurse=False), "last_reload": last_reload(shown.reloads)}

    async def of_all(whole: WholeEngine) -> NowContent:
        _status, answer = await whole.ask("GET", "/-/now")
        return content_of_workers(answer) if answer.get("workers") else now.content()

    async def make() -> dict[str, str]:
        shown = await content()
        made = {}
        for name in PARTS:
            made[name] = await shell.render(f"now_{name}.html", **shown)
        return made

    live = LiveParts(make)

    async def show(request: Request) -> Response:
        return await shell.page(request, "now.html", server_time=datetime.now(UTC), **(await content()))

    async def send_updates(request: Request) -> Response:
        return live.answer(lambda: shell.access.visitor_of(request).sees)

    shell.add(PageLink("Now", "/now"), Route("/now", show), Route("/now/events", send_updates))
