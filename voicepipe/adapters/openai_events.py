"""Server-sent events out of the bytes of an answer: no I/O.

The SDK has a decoder too. It hides whether `[DONE]` came, which tells a reply that ended from one that broke off, and
what a server says that sends no events at all. Source: the HTML standard, section 9.2, "Server-sent events".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = "[DONE]"
"""The data of the event that ends a stream of events, in all of these APIs but the Responses API."""

MOST_UNREAD = 1 << 20
"""Bytes of a line, or of an event, that are kept: no server means more."""

FIELDS = {"data", "event", "id", "retry"}
"""What lines begin with, up to their colon; comments have nothing there."""


class ServerSentEvents:
    """Takes bytes as they come, gives events as they are complete.

    Args:
        comments: whether comments are given too, as events without name and data: servers say by them that they
            still work.

    """

    def __init__(self, *, comments: bool = False) -> None:
        self._comments = comments
        self.stray = ""
        """The first line that belongs to no event: what a server says that does not speak in events."""
        self._rest = b""
        self._name = ""
        self._data: list[str] = []

    def feed(self, data: bytes) -> Iterator[tuple[str, str]]:
        """Events as name and data; the name is empty as a rule.

        Raises:
            ComponentError: what came is no text of reasonable size.

        """
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            yield from self._take(line)
        if len(self._rest) + sum(map(len, self._data)) > MOST_UNREAD:
            raise ComponentError("answered with something that has no end", answered=repr(self._rest))

    def end(self) -> Iterator[tuple[str, str]]:
        """An event that was not closed by an empty line before the answer ended."""
        rest, self._rest = self._rest, b""
        yield from self._take(rest)
        yield from self._take(b"")

    def _take(self, line: bytes) -> Iterator[tuple[str, str]]:
        text = line.decode(errors="replace").rstrip("\r")
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text:
            if self._data:
                yield self._name, "\n".join(self._data)
            self._name, self._data = "", []
        elif field == "data":
            self._data.append(value)
        elif field == "event":
            self._name = value
        elif not field:
            if self._comments:
                yield "", ""
        elif field not in FIELDS:
            self.stray = self.stray or text


def parsed(data: str) -> dict[str, Any]:
    """The JSON object that an event, or a whole answer, consists of.

    Raises:
        ComponentError: it is something else.

    """
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ComponentError("answered with something that is no JSON object", answered=data)
    return found
