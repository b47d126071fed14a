"""Sends parts of a page to browsers that look at it, by server-sent events, whenever they have changed.

Theory of operation
===================

Nothing is observed and nothing is queued. As long as somebody looks, `LiveParts` asks for the parts of the page, once
for all who look together, and each browser is sent those that differ from what it was sent last. A browser that reads
slowly thus gets fewer, later states, and costs nothing meanwhile; a page that nobody looks at costs nothing at all.

Parts are made at most every `EVERY_S`, and the larger they are, the more rarely, up to `MOST_S`: what one browser is
sent is `BYTES_A_S` on average, and a busy machine gets a rest. So a page with a hundred calls that all speak is updated
every two seconds, which is also what can be read. Each event is encoded once for all browsers.

The stream of a browser ends when it goes away, when it may not see the page any more, when it does not read for as long
as the server allows for a piece of an answer, or with the engine: nothing here holds up its stop.
"""

from __future__ import annotations

from http import HTTPStatus
from math import inf
from typing import TYPE_CHECKING

import trio
from attrs import frozen
from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

EVERY_S = 0.5
"""The time between two updates, in s."""

REST = 10.0
"""How much longer the pause after an update is than the time that making it took, up to `MOST_S`."""

MOST_S = 4.0
"""The longest pause between two updates, in s: on a busy machine they come late, and still come."""

BYTES_A_S = 32_768.0
"""The most bytes a second, on average, that updates of one page have."""

HEARTBEAT_S = 15.0
"""The time after which a comment is sent if nothing has changed, in s: proxies cut streams that say nothing."""

MAX_WATCHERS = 24
"""The most browsers at once that one page is sent to; a further one shows its page without updates."""


@frozen
class LivePart:
    """A part of a page, as it was made last."""

    html: str
    """Its HTML."""
    event: bytes
    """The event that has it."""
    state: int
    """Counts its states, from 1."""


class LiveParts:
    """The parts of one page, for all browsers that look at it.

    Args:
        make: returns the parts as HTML by name; called only while somebody looks.

    """

    def __init__(self, make: Callable[[], Awaitable[Mapping[str, str]]]) -> None:
        self._make = make
        self._parts: dict[str, LivePart] = {}
        self._due = -inf
        self._making = trio.Lock()
        self.watchers = 0

    async def parts(self) -> Mapping[str, LivePart]:
        """Returns the parts as they were made last, after making them if that is due."""
        async with self._making:
            if (begun := trio.current_time()) >= self._due:
                changed = 0
                for name, html in (await self._make()).items():
                    before = self._parts.get(name)
                    if before is None or before.html != html:
                        event = _event(name, html)
                        self._parts[name] = LivePart(html, event, 1 if before is None else before.state + 1)
                        changed += len(event)
                took = trio.current_time() - begun
                self._due = begun + max(EVERY_S, min(MOST_S, max(took * REST, changed / BYTES_A_S)))
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
        sent: dict[str, int] = {}  # the state of each part
        last = trio.current_time()
        await send({"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        while self._allowed():
            parts = await self._live.parts()
            events = [part.event for name, part in parts.items() if sent.get(name) != part.state]
            sent = {name: part.state for name, part in parts.items()}
            if events or trio.current_time() - last >= HEARTBEAT_S:
                await send(
                    {
                        "type": "http.response.body",
                        "body": b"".join(events or [b":\n\n"]),
                        "more_body": True,
                    }
                )
                last = trio.current_time()
            await trio.sleep(EVERY_S)
        await send({"type": "http.response.body", "body": b"event: end\ndata:\n\n", "more_body": False})


def _event(name: str, html: str) -> bytes:
    """Returns an event of the stream; a line break in a text begins another line of data."""
    lines = "".join(f"data: {line}\n" for line in html.splitlines()) or "data:\n"
    return f"event: {name}\n{lines}\n".encode("utf-8", "replace")
