"""Wyoming's wire format without I/O: bytes in, events out, and events as bytes.

An event is a line of JSON, `{"type": ..., "data": {...}, "data_length": n, "payload_length": m}`, then n bytes of more
JSON that is merged over `data`, then m bytes of payload, which is audio. All but the type may be left out or null.
Source: the section "Format" of the protocol's README, github.com/OHF-Voice/wyoming.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from voicepipe.errors import ComponentError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_HEADER: Final = 1 << 20
"""The longest header that is accepted, in bytes: some servers put their `info` into it, with hundreds of voices."""
MAX_DATA: Final = 4 << 20
"""The longest data block that is accepted, in bytes."""
MAX_PAYLOAD: Final = 16 << 20
"""The longest payload that is accepted, in bytes: minutes of speech in one piece."""

BEGINNINGS: Final = b"{ \t\r"
"""The bytes that a header may begin with; anything else is refused before its line has ended."""


@frozen
class WyomingEvent:
    """One message, in either direction."""

    type: str
    """The event's type, such as `describe` or `audio-chunk`."""
    data: Mapping[str, Any] = field(factory=dict)
    """The fields of that type, by name."""
    payload: bytes = field(default=b"", repr=False)
    """Audio; empty in most events."""


def encode(event: WyomingEvent) -> bytes:
    """Encodes an event; data go into a block of their own, as the `wyoming` package writes them."""
    header: dict[str, Any] = {"type": event.type}
    data = json.dumps(event.data, ensure_ascii=False).encode() if event.data else b""
    if data:
        header["data_length"] = len(data)
    if event.payload:
        header["payload_length"] = len(event.payload)
    return json.dumps(header, ensure_ascii=False).encode() + b"\n" + data + event.payload


@frozen
class _Header:
    type: str
    data: dict[str, Any]
    data_bytes: int
    payload_bytes: int


class WyomingDecoder:
    """Decodes one connection's bytes, however they are split, into events."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._searched = 0  # bytes of `_received` that contain no end of a line
        self._header: _Header | None = None

    @property
    def midway(self) -> bool:
        """Whether the last event is still incomplete."""
        return bool(self._received) or self._header is not None

    def feed(self, data: bytes | bytearray) -> Iterator[WyomingEvent]:
        """Yields the events that `data` completes, in order.

        Raises:
            ComponentError: the bytes are not Wyoming, or a part is too large; nothing after them can be decoded.

        """
        self._received += data
        while (event := self._next()) is not None:
            yield event

    def _next(self) -> WyomingEvent | None:
        if self._header is None:
            line = self._line()
            if line is None:
                return None
            self._header = _parse_header(line)
        header, received = self._header, self._received
        end = header.data_bytes + header.payload_bytes
        if len(received) < end:
            return None
        data = header.data
        if header.data_bytes:
            data = {**data, **_parse_object(bytes(received[: header.data_bytes]))}
        payload = bytes(received[header.data_bytes : end])
        del received[:end]
        self._header = None
        return WyomingEvent(header.type, data, payload)

    def _line(self) -> bytes | None:
        end = self._received.find(b"\n", self._searched)
        if end < 0:
            self._searched = len(self._received)
            if self._searched and self._received[0] not in BEGINNINGS:
                raise _unreadable("sent what is not JSON", bytes(self._received))
            if self._searched > MAX_HEADER:
                raise _unreadable(f"sent {self._searched} bytes without the end of a header", bytes(self._received))
            return None
        line = bytes(self._received[:end])
        del self._received[: end + 1]
        self._searched = 0
        return line


def _parse_header(line: bytes) -> _Header:
    header = _parse_object(line)
    kind, data = header.get("type"), header.get("data") or {}
    if not isinstance(kind, str) or not isinstance(data, dict):
        raise _unreadable("sent a header without a type, or whose data are no object", line)
    sizes = {"data_length": MAX_DATA, "payload_length": MAX_PAYLOAD}
    for name, most in sizes.items():
        size = header.get(name) or 0
        if type(size) is not int or not 0 <= size <= most:
            raise _unreadable(f"sent a {name} that is not between 0 and {most}", line)
        sizes[name] = size
    return _Header(kind, data, sizes["data_length"], sizes["payload_length"])


def _parse_object(text: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable("sent what is not JSON", text) from error
    if not isinstance(parsed, dict):
        raise _unreadable("sent JSON that is no object", text)
    return parsed


def _unreadable(message: str, received: bytes) -> ComponentError:
    return ComponentError(
        message,
        answered=repr(received.decode(errors="backslashreplace")),
        hint="is it a Wyoming server that listens there?",
    )
