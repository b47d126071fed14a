"""What each carrier calls the messages of its media stream: one row a carrier, in `DIALECTS`.

All five carriers do the same: they open a WebSocket for a call, say which call it is, send the caller's audio, keys and
reports of what was played, and take audio, marks and a command that drops what they have buffered. They differ in
names, in where a value is, and in which audio they can carry; that is what a `Dialect` says. The page
`docs/reference/media-stream.md` says where each fact comes from, and which could not be confirmed.

A path is the keys that lead to a value in a message: `("start", "callSid")`. A template is a message to send, with a
`Slot` where a value belongs.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

from voicepipe.audio import AudioFormat, Encoding

DialectName: TypeAlias = Literal["twilio", "telnyx", "plivo", "vonage", "signalwire"]
"""The name of a dialect in the YAML."""
ByteOrder: TypeAlias = Literal["little", "big"]
"""The order of the two bytes of a linear sample."""
Path: TypeAlias = tuple[str, ...]
"""The keys that lead to a value in a message."""


class Slot(Enum):
    """A value that is filled into a template."""

    STREAM = "stream"
    """The stream's ID, from the start message."""
    AUDIO = "audio"
    """Audio in base64."""
    MARK = "mark"
    """The name of a mark."""
    DIGITS = "digits"
    """Keys."""
    ENCODING = "encoding"
    """The carrier's name for the encoding of the audio."""
    RATE = "rate"
    """The sample rate of the audio, in Hz."""


@frozen
class Dialect:
    """The messages of one carrier, and the audio that its streams can carry."""

    name: DialectName
    """The name in the YAML."""
    audio: tuple[AudioFormat, ...]
    """The formats that the carrier can be asked for, the default first."""
    encodings: Mapping[Encoding, str]
    """The carrier's names for the encodings that it can be asked for."""
    byte_order: ByteOrder = "little"
    """The byte order of linear audio, unless the listener's options say otherwise."""
    start_event: str = "start"
    """The event that says which call the stream is of."""
    wrapper: str = ""
    """The key of an object that may hold the whole message; empty: there is none."""
    stream: tuple[Path, ...] = ()
    """Where the start message has the stream's ID: the first path that leads to one counts."""
    call: tuple[Path, ...] = ()
    """Where the start message has the call's ID."""
    caller: tuple[Path, ...] = ()
    """Where the start message has the caller's number."""
    called: tuple[Path, ...] = ()
    """Where the start message has the number that was called."""
    parameters: tuple[Path, ...] = ()
    """Where the start message has values that whoever wrote the instructions has given."""
    values: Mapping[str, Path] = field(factory=dict)
    """Further values of the start message, by the name that they get in `CallInfo.variables`."""
    format: tuple[Path, ...] = ()
    """Where the start message has the format of the audio."""
    binary: bool = False
    """Whether audio is binary messages of exactly 20 ms each, in place of base64 in JSON."""
    whole_frames: bool = False
    """Whether a message must not have less than 20 ms of audio."""
    key_event: str = "dtmf"
    """The event of a key that the caller pressed."""
    key: Path = ("dtmf", "digit")
    """Where it has the key."""
    mark_event: str = "mark"
    """The event of a mark that was reached."""
    mark_name: Path = ("mark", "name")
    """Where it has the mark's name."""
    orders: bool = False
    """Whether the carrier says that audio may come out of order, so that a missing piece is waited for."""
    send_audio: Mapping[str, Any] = field(factory=dict)
    """The message that plays audio, if it is JSON."""
    send_mark: Mapping[str, Any] = field(factory=dict)
    """The message that requests a report when the audio before it was played."""
    send_clear: Mapping[str, Any] = field(factory=dict)
    """The message that drops what the carrier has buffered."""
    send_keys: Mapping[str, Any] | None = None
    """The message that sends keys; None: the carrier has none."""


def fill(template: Mapping[str, Any], values: Mapping[Slot, str | int]) -> str:
    """Returns a template as JSON, with its slots filled."""

    def filled(item: Any) -> Any:
        if isinstance(item, Slot):
            return values[item]
        if isinstance(item, Mapping):
            return {key: filled(value) for key, value in item.items()}
        return item

    return json.dumps(filled(template), separators=(",", ":"))


MULAW: Final = AudioFormat(8000, "mulaw")
ALAW: Final = AudioFormat(8000, "alaw")


def linear(*rates: int) -> tuple[AudioFormat, ...]:
    """Returns linear formats of these rates, in Hz."""
    return tuple(AudioFormat(rate) for rate in rates)


_TWILIO: Final = Dialect(
    "twilio",
    audio=(MULAW,),
    encodings={"mulaw": "audio/x-mulaw"},
    stream=(("streamSid",), ("start", "streamSid")),
    call=(("start", "callSid"),),
    parameters=(("start", "customParameters"),),
    values={"account": ("start", "accountSid")},
    format=(("start", "mediaFormat"),),
    send_audio={"event": "media", "streamSid": Slot.STREAM, "media": {"payload": Slot.AUDIO}},
    send_mark={"event": "mark", "streamSid": Slot.STREAM, "mark": {"name": Slot.MARK}},
    send_clear={"event": "clear", "streamSid": Slot.STREAM},
)

_SIGNALWIRE: Final = Dialect(
    "signalwire",
    audio=(MULAW, *linear(16000, 24000)),
    encodings={"mulaw": "PCMU", "pcm16": "L16"},
    wrapper="rawEvent",
    stream=_TWILIO.stream,
    call=_TWILIO.call,
    parameters=_TWILIO.parameters,
    values=_TWILIO.values,
    format=_TWILIO.format,
    send_audio=_TWILIO.send_audio,
    send_mark=_TWILIO.send_mark,
    send_clear=_TWILIO.send_clear,
)

_TELNYX: Final = Dialect(
    "telnyx",
    audio=(MULAW, ALAW, *linear(16000, 8000)),
    encodings={"mulaw": "PCMU", "alaw": "PCMA", "pcm16": "L16"},
    stream=(("stream_id",), ("start", "stream_id")),
    call=(("start", "call_control_id"),),
    caller=(("start", "from"),),
    called=(("start", "to"),),
    parameters=(("start", "custom_parameters"),),
    values={
        "account": ("start", "user_id"),
        "client_state": ("start", "client_state"),
        "call_session_id": ("start", "call_session_id"),
        "tags": ("start", "tags"),
    },
    format=(("start", "media_format"),),
    whole_frames=True,
    orders=True,
    send_audio={"event": "media", "media": {"payload": Slot.AUDIO}},
    send_mark={"event": "mark", "mark": {"name": Slot.MARK}},
    send_clear={"event": "clear"},
)

_PLIVO: Final = Dialect(
    "plivo",
    audio=(MULAW, *linear(16000, 8000)),
    encodings={"mulaw": "audio/x-mulaw", "pcm16": "audio/x-l16"},
    stream=(("start", "streamId"), ("streamId",)),
    call=(("start", "callId"),),
    parameters=(("extra_headers",), ("start", "extra_headers")),
    values={"account": ("start", "accountId")},
    format=(("start", "mediaFormat"),),
    mark_event="playedStream",
    mark_name=("name",),
    send_audio={
        "event": "playAudio",
        "streamId": Slot.STREAM,
        "media": {"contentType": Slot.ENCODING, "sampleRate": Slot.RATE, "payload": Slot.AUDIO},
    },
    send_mark={"event": "checkpoint", "streamId": Slot.STREAM, "name": Slot.MARK},
    send_clear={"event": "clearAudio", "streamId": Slot.STREAM},
    send_keys={"event": "sendDTMF", "dtmf": Slot.DIGITS},
)

_VONAGE: Final = Dialect(
    "vonage",
    audio=linear(16000, 8000, 24000),
    encodings={"pcm16": "audio/l16"},
    start_event="websocket:connected",
    call=(("uuid",), ("call_uuid",)),
    parameters=((),),  # whatever the instructions gave is at the top of the message
    format=(("content-type",),),
    binary=True,
    whole_frames=True,
    key_event="websocket:dtmf",
    key=("digit",),
    mark_event="websocket:notify",
    mark_name=("payload", "mark"),
    send_mark={"action": "notify", "payload": {"mark": Slot.MARK}},
    send_clear={"action": "clear"},
)

DIALECTS: Final[Mapping[DialectName, Dialect]] = {
    dialect.name: dialect for dialect in (_TWILIO, _TELNYX, _PLIVO, _VONAGE, _SIGNALWIRE)
}
"""The carriers, by the name in the YAML."""
