"""Sends parts of a page to browsers that look at it, by server-sent events, whenever they have changed.

Theory of operation
===================

Nothing is observed and nothing is queued. As long as somebody looks, `LiveParts` asks for the parts of the page, at
most every `EVERY_S` for all who look together, and each browser is sent those that differ from what it was sent last.
A browser that reads slowly thus gets fewer, later states, and costs nothing meanwhile; a page that nobody looks at
costs nothing at all.

The stream of a browser ends when it goes away, when it may not see the page any more, when it does not read for as long
as the server allows for a piece of an answer, or with the engine: nothing here holds up its stop.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import trio
from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

EVERY_S = 0.5
"""The time between two updates, in s."""

HEARTBEAT_S = 15.0
"""The time after which a comment is sent if nothing has changed, in s: proxies cut streams that say nothing."""

MAX_WATCHERS = 24
"""The most browsers at once that one page is sent to; a further one shows its page without updates."""


class LiveParts:
    """The parts of one page, for all browsers that look at it.

    Args:
        make: returns the parts as HTML by name; called at most every `EVERY_S`, and only while somebody looks.

    """

    def __init__(self, make: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        self._make = make
        self._parts: Mapping[str, str] = {}
        self._made = -float("inf")
        self._making = trio.Lock()
        self.watchers = 0

    async def parts(self) -> Mapping[str, str]:
        """Returns the parts, not older than `EVERY_S`."""
        async with self._making:
            if trio.current_time() - self._made >= EVERY_S:
                self._parts = await self._make()
                self._made = trio.current_time()
            return self._parts

    def answer(self, allowed: Callable[[], bool]) -> Response:
        """Returns the answer to a browser that wants to be sent the parts.

        Args:
            allowed: whether it may see them; asked before each update.

        """
        if self.watchers >= MAX_WATCHERS:
            reason = f"{self.watchers} browsers look at this page already: it is shown without updates"
            return PlainTextResponse(reason, HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "60"})
        return _EventStream(self, allowed)


class _EventStream(Response):
    """An answer that goes on until the browser goes."""

    media_type = "text/event-stream"

    def __init__(self, live: LiveParts, allowed: Callable[[], bool]) -> None:
        super().__init__(headers={"x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._live, self._allowed = live, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        self._live.watchers += 1
        try:
            async with trio.open_nursery() as nursery:

                async def end_with_browser() -> None:
                    while (await receive())["type"] != "http.disconnect":
                        pass
                    nursery.cancel_scope.cancel()

                nursery.start_soon(end_with_browser)
                await self._send_parts(send)
                nursery.cancel_scope.cancel()
        except* (trio.BrokenResourceError, trio.TooSlowError):
            pass  # the browser has gone, or does not read; the server closes the connection
        finally:
            self._live.watchers -= 1

    async def _send_parts(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        sent: dict[str, str] = {}
        last = trio.current_time()
        await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        while self._allowed():
            parts = await self._live.parts()
            events = [_event(name, html) for name, html in parts.items() if sent.get(name) != html]
            sent.update(parts)
            if events or trio.current_time() - last >= HEARTBEAT_S:
                await send(
                    {
                        "type": "http.response.body",
                        "body": "".join(events or [":\n\n"]).encode("utf-8", "replace"),
                        "more_body": True,
                    }
                )
                last = trio.current_time()
            await trio.sleep(EVERY_S)
        await send({"type": "http.response.body", "body": b"event: end\ndata:\n\n", "more_body": False})


def _event(name: str, html: str) -> str:
    """Returns an event of the stream; a line break in a text begins another line of data."""
    lines = "".join(f"data: {line}\n" for line in html.splitlines()) or "data:\n"
    return f"event: {name}\n{lines}\n"
