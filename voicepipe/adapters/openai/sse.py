"""Server-sent events out of the bytes of an answer: no I/O.

The SDK has a decoder too. It loses the first event behind a byte order mark, and hides whether `[DONE]` came, which
tells a reply that ended from one that broke off, and what a server says that sends no events at all. Source: the HTML
standard, section 9.2, "Server-sent events".
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterator

DONE = "[DONE]"
"""The data of the event that ends a stream of events, in all of these APIs but the Responses API."""

BYTE_ORDER_MARK = "\ufeff"
"""What some servers and proxies put before a text (U+FEFF)."""

MOST_UNREAD = 1 << 20
"""Bytes of a line, or of an event, that are kept: no server means more."""

FIELDS = {"data", "event", "id", "retry"}
"""What lines begin with, up to their colon; comments have nothing there."""

_PLAIN_EVENT = re.compile(rb"(?:event: ([\w.]+)\n)?data: (\{[^\r\n]*\})\n\n")
"""An event as nearly all servers send them: an object on one line, perhaps with a name."""


class ServerSentEvents:
    """Takes bytes as they come, gives events as they are complete.

    What servers send is not always what the standard says: a byte order mark wherever something begins, events without
    an empty line between them or within one another, two objects in one event, JSON with no `data:` before it (a whole
    answer, an object a line, an error in the middle of a stream), an `error:` line (llama.cpp). All of that is read,
    whatever the content's type is said to be.

    Args:
        comments: whether comments are given too, as events without name and data: servers say by them that they
            still work.

    """

    def __init__(self, *, comments: bool = False) -> None:
        self._comments = comments
        self.stray = ""
        """The first line that belongs to no event: what a server says that does not speak in events."""
        self._rest = b""
        self._after_return = False
        self._name = ""
        self._data: list[str] = []
        self._json = _JsonText()

    def feed(self, data: bytes) -> Iterator[tuple[str, str]]:
        """Events as name and data; the name is empty as a rule.

        Raises:
            ComponentError: what came is no text of reasonable size.

        """
        if (plain := self._plain(data)) is not None:
            yield from plain
            return
        *lines, self._rest = (self._rest + self._with_newlines(data)).split(b"\n")
        for line in lines:
            yield from self._take(line)
        if len(self._rest) + sum(map(len, self._data)) + len(self._json) > MOST_UNREAD:
            raise ComponentError("answered with an event of more than 1 MiB", answered=repr(self._rest))

    def end(self) -> Iterator[tuple[str, str]]:
        """An event that was not closed by an empty line before the answer ended."""
        rest, self._rest = self._rest, b""
        yield from self._take(rest)
        self.stray = self.stray or self._json.rest()
        yield from self._take(b"")

    def _plain(self, data: bytes) -> list[tuple[str, str]] | None:
        """The events of data that consists of whole events in the usual form; None: it must be read line by line."""
        if self._rest or self._data or self._name or self._after_return or self._json or b"}{" in data:
            return None
        events, at = [], 0
        while at < len(data):
            event = _PLAIN_EVENT.match(data, at)
            if event is None:
                return None
            name, value = event.groups()
            events.append((name.decode() if name else "", value.decode(errors="replace")))
            at = event.end()
        return events

    def _with_newlines(self, data: bytes) -> bytes:
        """The bytes with each end of a line as one character; CR, LF and both together are such ends."""
        if self._after_return and data:
            data = data.removeprefix(b"\n")
        self._after_return = data.endswith(b"\r") or (self._after_return and not data)
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _take(self, line: bytes) -> Iterator[tuple[str, str]]:
        text = line.decode(errors="replace").removeprefix(BYTE_ORDER_MARK)
        if self._json or text.lstrip().startswith(("{", "[{")):
            yield from (("", data) for data in self._json.feed(text))
            return
        text = text.strip()
        field, _, value = text.partition(":")
        value = value.removeprefix(" ")
        if not text:
            yield from self._dispatch()
        elif field == "data":
            yield from self._take_data(value)
        elif field == "event":
            self._name = value
        elif not field:
            yield from [("", "")] if self._comments else ()
        elif field == "error":
            yield "error", value
        elif field not in FIELDS:
            self.stray = self.stray or text

    def _take_data(self, value: str) -> Iterator[tuple[str, str]]:
        if self._data and _is_whole("\n".join(self._data)):
            yield from self._dispatch()  # no empty line came between them
        while value.startswith("data:"):  # a proxy that makes events of events
            value = value.removeprefix("data:").lstrip()
        self._data.append(value)
        if value.strip() == DONE:
            yield from self._dispatch()

    def _dispatch(self) -> Iterator[tuple[str, str]]:
        if self._data:
            data = "\n".join(self._data)
            objects = _JsonText()
            several = list(objects.feed(data)) if data.startswith("{") and "}{" in data else []
            yield from ((self._name, one) for one in (several if len(several) > 1 and not objects else [data]))
        self._name, self._data = "", []


class _JsonText:
    """JSON that stands in an answer by itself: an object over some lines, objects one behind the other, a list."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = self._depth = 0
        self._quoted = False

    def __len__(self) -> int:
        return self._size

    def rest(self) -> str:
        """The text of an object that did not end."""
        return "\n".join(self._lines)

    def feed(self, line: str) -> Iterator[str]:
        """The objects that are complete with this line."""
        begin = 0
        for mark in _JSON_MARKS.finditer(line):
            sign = mark.group()
            if sign == '"':
                self._quoted = not self._quoted and self._depth > 0
            elif self._quoted or len(sign) > 1:  # within a string, or escaped
                continue
            elif sign == "{":
                begin = begin if self._depth else mark.start()
                self._depth += 1
            elif self._depth:
                self._depth -= 1
                if not self._depth:
                    yield "\n".join([*self._lines, line[begin : mark.end()]])
                    self._lines.clear()
                    self._size = 0
        if self._depth:
            self._lines.append(line[begin:])
            self._size += len(line) + 1


_JSON_MARKS = re.compile(r'\\.|["{}]', re.DOTALL)


def _is_whole(data: str) -> bool:
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        return False
    return True


def parsed(data: str) -> dict[str, Any]:
    """The JSON object that an event, or a whole answer, consists of.

    Raises:
        ComponentError: it is something else.

    """
    try:
        found = json.loads(data.lstrip(BYTE_ORDER_MARK))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ComponentError("answered with something that is no JSON object", answered=data)
    return found
