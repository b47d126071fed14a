"""The softphone's messages over its WebSocket, as values. Sans-IO: docs/reference/browser.md describes the protocol.

Binary messages are audio in both directions, 16-bit little-endian linear at 16 kHz, and are not touched here. Text
messages are JSON objects with a `type`. Those of a type that is not known are skipped, so that either side may be
newer than the other.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from voicepipe.errors import TransportError

PROTOCOL: Final = 1
"""The version of the protocol; a client that asks for another one is refused."""
RATE: Final = 16_000
"""The rate of the audio in both directions, in Hz."""
MOST_TEXT: Final = 65_536
"""The longest text message that is accepted, in characters: 32 variables with the longest names and values."""
MOST_AUDIO: Final = 32_000
"""The longest audio message that is accepted, in bytes: a second."""
MOST_VARIABLES: Final = 32
"""The most variables of a call."""
MOST_VALUE: Final = 1000
"""The longest value of a variable, in characters."""
MOST_NUMBER: Final = 64
"""The longest called or calling number, in characters."""
MOST_MARK: Final = 2**53
"""JSON numbers up to this are exact in every client."""

KEYS: Final = frozenset("0123456789*#ABCD")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_SHORT: Final = 60


@frozen
class PlaceCall:
    """The client's first message: it places the call."""

    called: str = ""
    """The number that the client dials, for routes; the client's word."""
    caller: str = ""
    """The client's own number; its word too."""
    variables: Mapping[str, str] = field(factory=dict)
    """Further values for the call; the client's word too."""


@frozen
class PressKey:
    """A key of the keypad was pressed."""

    digit: str
    """One of `0123456789*#ABCD`."""


@frozen
class ReportMark:
    """Everything that was sent before a mark was heard."""

    mark: int
    """The mark's number."""


@frozen
class EndCall:
    """The client hangs up."""


ClientMessage: TypeAlias = PlaceCall | PressKey | ReportMark | EndCall


def check_audio(audio: bytes) -> None:
    """Raises `TransportError` unless a message may be audio."""
    if len(audio) & 1:
        raise TransportError(f"an audio message of {len(audio)} bytes is no whole number of 16-bit samples")
    if len(audio) > MOST_AUDIO:
        raise TransportError(f"an audio message of {len(audio)} bytes is too long; at most {MOST_AUDIO} are taken")


def parse_message(text: str) -> ClientMessage | None:
    """Parses a client's text message; None if its type is not known.

    Raises:
        TransportError: it is none of this protocol; the text says why, and does not repeat more than a bit of it.

    """
    if len(text) > MOST_TEXT:
        raise TransportError(f"a message of {len(text)} characters is too long; at most {MOST_TEXT} are taken")
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TransportError(f"a message is not JSON: {_short(text)}") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise TransportError(f'a message is no JSON object with a "type": {_short(text)}')
    match message["type"]:
        case "start":
            return _parse_start(message)
        case "key":
            digit = message.get("digit")
            if not isinstance(digit, str) or digit not in KEYS:
                raise TransportError(f'"digit" of a key must be one of 0123456789*#ABCD, and is {_short(digit)}')
            return PressKey(digit)
        case "mark":
            mark = message.get("mark")
            if not isinstance(mark, int) or isinstance(mark, bool) or not 0 <= mark <= MOST_MARK:
                raise TransportError(f'"mark" must be the number of a mark, and is {_short(mark)}')
            return ReportMark(mark)
        case "hang_up":
            return EndCall()
        case _:
            return None


def _parse_start(message: Mapping[str, Any]) -> PlaceCall:
    if message.get("protocol") != PROTOCOL or isinstance(message["protocol"], bool):
        asked = _short(message.get("protocol"))
        raise TransportError(f'"protocol" of the start is {asked}, and the engine speaks {PROTOCOL}; reload the page')
    variables = message.get("variables", {})
    if not isinstance(variables, dict):
        raise TransportError(f'"variables" must be an object of texts, and is {_short(variables)}')
    if len(variables) > MOST_VARIABLES:
        raise TransportError(f"{len(variables)} variables are too many; at most {MOST_VARIABLES} are taken")
    for name, value in variables.items():
        if not _NAME.fullmatch(name):
            raise TransportError(f"{_short(name)} is no name of a variable: letters, digits and _.- are")
        _check_text(f"variables.{name}", value, MOST_VALUE)
    numbers = {name: message.get(name, "") for name in ("called", "caller")}
    for name, number in numbers.items():
        _check_text(name, number, MOST_NUMBER)
    return PlaceCall(**numbers, variables=variables)


def _check_text(name: str, value: Any, most: int) -> None:
    if not isinstance(value, str):
        raise TransportError(f'"{name}" must be a text, and is {_short(value)}')
    if len(value) > most:
        raise TransportError(f'"{name}" has {len(value)} characters; at most {most} are taken')
    # JSON can escape half a surrogate pair, which no log and no vendor's API can encode.
    if any(char < " " or "\ud800" <= char <= "\udfff" or char == "\x7f" for char in value):
        raise TransportError(f'"{name}" has a control character or half a surrogate pair')


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return ascii(text if len(text) <= _SHORT else f"{text[:_SHORT]}...")


def encode(kind: str, **fields: Any) -> str:
    """Encodes a message to the client."""
    return json.dumps({"type": kind, **fields}, separators=(",", ":"))


STARTED: Final = encode("started", protocol=PROTOCOL, rate=RATE)
"""The call was taken: the client sends audio from now on."""
CLEAR: Final = encode("clear")
"""The client drops what it has not played yet."""
HUNG_UP: Final = encode("hang_up")
"""The agent hangs up."""


def encode_mark(mark: int) -> str:
    """Encodes a mark, which the client reports when everything before it was heard."""
    return encode("mark", mark=mark)


def encode_event(event: Mapping[str, Any]) -> str:
    """Encodes an event of the call."""
    return encode("event", event=event)
