"""The messages of Asterisk's `chan_websocket` without I/O: texts in, events out, and commands as texts.

A connection is one call. Its binary messages are audio in the format that `MEDIA_START` names; its text messages are
events from Asterisk and commands to it. Asterisk writes both as plain text (`MEDIA_MARK_PROCESSED 7`) or as JSON
(`f(json)` in the dial string, or `control_message_format` in chan_websocket.conf), and takes commands only in the form
in which it writes: the first text of a connection tells which.

The names and limits are those of `chan_websocket.c` of Asterisk 22.10.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

from voicepipe.audio import FRAME_MS, AudioFormat
from voicepipe.errors import TransportError

MAX_TEXT_BYTES: Final = 128
"""The longest text that Asterisk takes, in bytes; it ignores longer ones."""
MAX_AUDIO_BYTES: Final = 8000
"""The most audio that we put into a message, in bytes: half a second at 8 kHz.

Asterisk closes the connection (1009) for messages of more than 65,531 bytes.
"""
MAX_QUEUED_FRAMES: Final = 1000
"""The number of frames in Asterisk's queue at which it drops whatever comes, without a word."""
XOFF_FRAMES: Final = 900
"""The number of frames in Asterisk's queue at which it asks for a pause."""
XON_FRAMES: Final = 800
"""The number of frames in Asterisk's queue below which the pause is over."""
DTMF_DIGITS: Final = "0123456789*#ABCD"

Command: TypeAlias = Literal[
    "ANSWER",
    "HANGUP",
    "START_MEDIA_BUFFERING",
    "STOP_MEDIA_BUFFERING",
    "MARK_MEDIA",
    "FLUSH_MEDIA",
    "GET_STATUS",
    "REPORT_QUEUE_DRAINED",
    "PAUSE_MEDIA",
    "CONTINUE_MEDIA",
]
"""A command to Asterisk. `MARK_MEDIA` and `STOP_MEDIA_BUFFERING` take a correlation ID."""

_ENCODINGS: Final[Mapping[str, AudioFormat]] = {
    "ulaw": AudioFormat(8000, "mulaw"),
    "alaw": AudioFormat(8000, "alaw"),
    "slin": AudioFormat(8000),
    "slin12": AudioFormat(12_000),
    "slin16": AudioFormat(16_000),
    "slin24": AudioFormat(24_000),
    "slin32": AudioFormat(32_000),
    "slin44": AudioFormat(44_100),
    "slin48": AudioFormat(48_000),
    "slin96": AudioFormat(96_000),
    "slin192": AudioFormat(192_000),
}
"""Asterisk's names of the formats that are supported; linear audio is little-endian."""
FORMATS: Final = tuple(_ENCODINGS)
"""The names of the formats that are supported."""
FORMAT_NAMES: Final = {audio: name for name, audio in _ENCODINGS.items()}
"""Asterisk's name of each format that is supported."""

_ONLY_ASTERISK: Final = "let only Asterisk's Dial(WebSocket/...) or external media connect here"


def audio_format(name: str) -> AudioFormat:
    """Returns the format that Asterisk calls `name`.

    Raises:
        TransportError: it is not supported; says what to change in the dialplan.

    """
    audio = _ENCODINGS.get(name)
    if audio is None:
        raise TransportError(
            f"Asterisk sends {_shown(name) or 'no format'}, which is not supported; in the dialplan, add c(slin) or "
            f"another of {', '.join(FORMATS)}: Dial(WebSocket/NAME/c(slin)); with ARI, give format=slin"
        )
    return audio


@frozen
class MediaStart:
    """The call begins: the first event of a connection, though audio may come before it."""

    format: str
    """Asterisk's name of the audio's format, in both directions: `slin`, `ulaw`."""
    frame_bytes: int
    """The size of a frame, in bytes; 0 for a codec that Asterisk passes through without queueing it."""
    channel_id: str = ""
    """The unique ID of the WebSocket's own channel, not of the caller's."""
    channel: str = ""
    """The name of that channel: `WebSocket/engine/0x7f8b08008750`."""
    connection_id: str = ""
    """The section of websocket_client.conf; an ID where Asterisk is the server."""
    ptime_ms: int = FRAME_MS
    """The length of a frame, in ms."""
    variables: Mapping[str, str] = field(factory=dict)
    """The variables of the WebSocket's channel, without leading underscores; only JSON has them."""
    is_json: bool = False
    """Whether Asterisk writes JSON, and so takes commands in JSON only."""

    @property
    def audio(self) -> AudioFormat:
        """The audio's format.

        Raises:
            TransportError: it is not supported; says what to change in the dialplan.

        """
        audio = audio_format(self.format)
        expected = audio.bytes_in(FRAME_MS)
        if self.frame_bytes != expected:
            what = f"Asterisk's frames of {self.format} have {self.frame_bytes} bytes instead of {expected}"
            raise TransportError(f"{what}; {_ONLY_ASTERISK}")
        if self.ptime_ms != FRAME_MS:
            what = f"Asterisk's frames are {self.ptime_ms} ms long instead of {FRAME_MS}"
            raise TransportError(f"{what}; in the dialplan, add c(slin)")
        return audio


@frozen
class QueueFull:
    """Asterisk's queue is full (`MEDIA_XOFF`) or has room again (`MEDIA_XON`)."""

    full: bool
    """Whether to pause."""


@frozen
class QueueDrained:
    """Everything that was sent has been played, or flushed; comes once for each `REPORT_QUEUE_DRAINED`."""


@frozen
class MarkProcessed:
    """Everything that was sent before a `MARK_MEDIA` has been played."""

    correlation_id: str
    """That of the command."""


@frozen
class BufferingCompleted:
    """Everything that was sent before a `STOP_MEDIA_BUFFERING` has been played."""

    correlation_id: str
    """That of the command; may be empty."""


@frozen
class DtmfEnd:
    """The caller has released a key."""

    digit: str
    """One of `DTMF_DIGITS`, or a tone that is no key, such as a fax's."""


@frozen
class Status:
    """The answer to `GET_STATUS`."""

    queue_length: int
    """The frames that wait to be played."""
    queue_full: bool
    """Whether `MEDIA_XOFF` was sent, and no `MEDIA_XON` since."""
    media_paused: bool
    """Whether `PAUSE_MEDIA` holds."""


@frozen
class ErrorReported:
    """Asterisk could not carry out a command."""

    text: str
    """Asterisk's words."""


@frozen
class OtherEvent:
    """An event that is not known, of an Asterisk that is newer than this."""

    name: str
    """Its name."""


Event: TypeAlias = (
    MediaStart
    | QueueFull
    | QueueDrained
    | MarkProcessed
    | BufferingCompleted
    | DtmfEnd
    | Status
    | ErrorReported
    | OtherEvent
)


def decode_event(text: str) -> Event:
    """Decodes a text message from Asterisk, plain or JSON.

    Raises:
        TransportError: it is neither.

    """
    is_json = text.startswith("{")
    name, values = _read_json(text) if is_json else _read_plain(text)
    if name == "MEDIA_START":
        return _media_start(values, is_json)
    decode = _DECODERS.get(name)
    return OtherEvent(name) if decode is None else decode(values)


_DECODERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Event]]] = {
    "MEDIA_XOFF": lambda _values: QueueFull(full=True),
    "MEDIA_XON": lambda _values: QueueFull(full=False),
    "QUEUE_DRAINED": lambda _values: QueueDrained(),
    "MEDIA_MARK_PROCESSED": lambda values: MarkProcessed(_text(values, "correlation_id")),
    "MEDIA_BUFFERING_COMPLETED": lambda values: BufferingCompleted(_text(values, "correlation_id")),
    "DTMF_END": lambda values: DtmfEnd(_text(values, "digit")),
    "STATUS": lambda values: Status(
        _number(values, "queue_length"), values.get("queue_full") in _TRUE, values.get("media_paused") in _TRUE
    ),
    "ERROR": lambda values: ErrorReported(_text(values, "error_text")),
}
_TRUE: Final[tuple[object, ...]] = (True, "true")


def _read_json(text: str) -> tuple[str, dict[str, Any]]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TransportError(f"a text message begins as JSON but is none: {_shown(text)}; {_ONLY_ASTERISK}") from error
    name = values.get("event")
    if not isinstance(name, str):
        raise TransportError(f"a JSON message has no event: {_shown(text)}; {_ONLY_ASTERISK}")
    return name, values


_LAST: Final = {"MEDIA_MARK_PROCESSED": "correlation_id", "MEDIA_BUFFERING_COMPLETED": "correlation_id"}
"""Events whose plain text is a name and a value without its key."""


def _read_plain(text: str) -> tuple[str, dict[str, Any]]:
    name, _, rest = text.partition(" ")
    if not name.isascii() or not name.replace("_", "").isalnum() or not name.isupper():
        raise TransportError(f"a text message is no event of chan_websocket: {_shown(text)}; {_ONLY_ASTERISK}")
    if name in _LAST:
        return name, {_LAST[name]: rest}
    values: dict[str, Any] = {}
    head, found, error_text = rest.partition("error_text:")
    if found:
        values["error_text"] = error_text
    for word in head.split(" "):
        key, _, value = word.partition(":")
        values[key] = value
    return name, values


def _media_start(values: Mapping[str, Any], is_json: bool) -> MediaStart:
    variables = values.get("channel_variables")
    if not isinstance(variables, Mapping):
        variables = {}
    return MediaStart(
        format=_text(values, "format"),
        frame_bytes=_number(values, "optimal_frame_size"),
        channel_id=_text(values, "channel_id"),
        channel=_text(values, "channel"),
        connection_id=_text(values, "connection_id"),
        ptime_ms=_number(values, "ptime"),
        # A variable that is handed down (`_NAME`, `__NAME`) is the same one on either channel.
        variables={name.lstrip("_"): value for name, value in variables.items() if isinstance(value, str)},
        is_json=is_json,
    )


def _text(values: Mapping[str, Any], name: str) -> str:
    value = values.get(name, "")
    if not isinstance(value, str):
        raise TransportError(f"{name} of an event is {_shown(repr(value))} instead of a text; {_ONLY_ASTERISK}")
    return value


def _number(values: Mapping[str, Any], name: str) -> int:
    value = values.get(name)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
        return value
    raise TransportError(f"{name} of an event is {_shown(repr(value))} instead of a number; {_ONLY_ASTERISK}")


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


def encode_command(command: Command, correlation_id: str = "", *, as_json: bool) -> str:
    """Encodes a command to Asterisk.

    Args:
        command: its name.
        correlation_id: of `MARK_MEDIA` and `STOP_MEDIA_BUFFERING`: comes back in the event.
        as_json: as `MediaStart.is_json`: Asterisk ignores the other form.

    Raises:
        ValueError: it is longer than Asterisk takes.

    """
    if as_json:
        values = {"command": command, "correlation_id": correlation_id} if correlation_id else {"command": command}
        text = json.dumps(values, separators=(",", ":"))
    else:
        text = f"{command} {correlation_id}" if correlation_id else command
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"{text!r} is longer than the {MAX_TEXT_BYTES} bytes that Asterisk takes")
    return text
