"""The wire format of media streams without I/O: messages in, audio and events out, and messages to send.

A `StreamDecoder` reads what a carrier sends, in the dialect that its row of the table describes; a `StreamEncoder`
makes what is sent to it. Audio comes and goes in the call's format: mu-law and A-law as they are, linear audio
little-endian.

What a carrier may send, and what becomes of it:

- An unknown event, an unknown field, audio of another track than the caller's: ignored. Carriers add such things.
- A message that can't be read, or a known one whose fields are of the wrong kind: before the start message it ends the
  call, since the other side is no carrier, or one of another dialect. After it, the message is dropped, for the rest of
  the call is worth more than 20 ms of it; `FAULTS` of them in a row end the call, since it would be deaf for good.
- A second start message is ignored if it is of the same stream, and ends the call if it is of another.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import frozen

from voicepipe.audio import FRAME_MS, AudioFormat, swap_bytes
from voicepipe.errors import TransportError
from voicepipe.transports.media_stream.audio_order import AudioOrder
from voicepipe.transports.media_stream.dialects import DIALECTS, Slot, fill
from voicepipe.transports.media_stream.formats import read_format
from voicepipe.transports.media_stream.texts import (
    NUMBER_CHARACTERS,
    clean,
    client_state,
    pairs,
    variables,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from voicepipe.transports.media_stream.dialects import ByteOrder, Dialect, Path

MESSAGE_CHARACTERS: Final = 65_536
"""The longest message that is taken, in characters or bytes: seconds of audio, where carriers send 20 to 100 ms."""
FAULTS: Final = 50
"""The messages in a row that can't be read until the call is given up: a second of audio."""
DTMF_DIGITS: Final = frozenset("0123456789*#ABCD")
STATED_KEYS: Final = frozenset({"event", "content-type"})
"""The keys of Vonage's first message that are its own; all others are what the instructions gave."""


@frozen
class StreamStarted:
    """The stream is of a call."""

    call_id: str
    """The carrier's ID of the call; empty if it gives none."""
    stream_id: str
    """The carrier's ID of the stream; empty if it gives none."""
    audio: AudioFormat
    """The format of the audio, in both directions."""
    caller: str
    """The caller's number; empty if the message has none."""
    called: str
    """The number that was called; empty if the message has none."""
    variables: Mapping[str, str]
    """Parameters of the instructions, and further values of the message; bounded."""


@frozen
class StreamKey:
    """The caller pressed a key."""

    digit: str
    """One of `0123456789*#ABCD`."""


@frozen
class StreamMark:
    """Everything that was sent before a mark was played, or dropped by a clear."""

    mark: int
    """The mark's number, as it was requested."""


@frozen
class StreamStopped:
    """The carrier ends the stream: the caller hung up, or the carrier goes on with something else."""

    reason: str
    """The reason, for logs."""


StreamEvent: TypeAlias = StreamStarted | StreamKey | StreamMark | StreamStopped


class StreamDecoder:
    """Decodes the messages of one stream."""

    __slots__ = ("_audio", "_dialect", "_fault", "_faults", "_key_number", "_linear", "_order", "_started", "_swap")

    def __init__(self, dialect: Dialect, audio: AudioFormat, byte_order: ByteOrder | None = None) -> None:
        """Decodes a dialect.

        Args:
            dialect: the carrier's row of the table.
            audio: the format that the carrier was asked for, unless the start message says another.
            byte_order: of linear audio; None: the dialect's.

        """
        self._dialect, self._audio = dialect, audio
        self._swap = (byte_order or dialect.byte_order) == "big"
        self._linear = audio.encoding == "pcm16"
        self._started: StreamStarted | None = None
        self._order = AudioOrder(waits=dialect.orders)
        self._key_number: object = None  # of the last key's message
        self._faults = 0
        self._fault = ""  # the carrier's own report of a fault

    def feed(self, message: bytes | str) -> bytes | StreamEvent | None:
        """Decodes a message: audio as bytes, or an event; None if it has nothing for the call.

        Raises:
            TransportError: this is no stream of that dialect, its audio can't be used, or too much of it can't be read.

        """
        try:
            if len(message) > MESSAGE_CHARACTERS:
                raise ValueError(f"a message of {len(message)} characters, where {MESSAGE_CHARACTERS} are the most")  # noqa: TRY301
            if not isinstance(message, str):
                return self._binary(message)
            fields = json.loads(message)
            if not isinstance(fields, dict):
                raise ValueError("a message that is no JSON object")  # noqa: TRY004, TRY301 - all faults are one kind
            if self._dialect.wrapper and isinstance(fields.get(self._dialect.wrapper), dict):
                fields = fields[self._dialect.wrapper]
            if fields.get("event") == "media" and not self._dialect.binary:
                return self._media(fields)
            return self._event(fields)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            self._count_fault(message, error)
            return None

    def _count_fault(self, message: bytes | str, error: Exception) -> None:
        """Counts a message that can't be read; raises if it came before the start, or was one too many."""
        self._faults += 1
        if self._started is None or self._faults >= FAULTS:
            quoted = f"{message[:60]!r}"
            what = f"{self._dialect.name} sent what is no message of a media stream: {quoted} ({error!s:.80})"
            many = f", the {FAULTS}th in a row" if self._started is not None else ""
            raise TransportError(f"{what}{many}; let only the carrier connect here, and check `dialect`") from error

    def _media(self, fields: dict[str, Any]) -> bytes | None:
        """Returns the caller's audio of a media message."""
        if self._started is None:
            return None
        media = fields["media"]
        track = media.get("track")
        if track is not None and not str(track).startswith("inbound"):
            self._order.stop_waiting()  # one count for both tracks, perhaps: a number may be missing for good
            return None
        audio = binascii.a2b_base64(media["payload"], strict_mode=True)
        return self._audio_of(audio, media.get("chunk"))

    def _binary(self, message: bytes) -> bytes | None:
        """Returns the audio of a binary message, which most dialects don't have."""
        if self._started is None or not self._dialect.binary:
            return None
        return self._audio_of(bytes(message), None)

    def _audio_of(self, audio: bytes, number: object) -> bytes | None:
        if self._linear:
            if len(audio) & 1:
                raise ValueError(f"{len(audio)} bytes of audio, which is no whole number of 16-bit samples")
            if self._swap:
                audio = swap_bytes(audio)
        self._faults = 0
        if number is not None:
            audio = self._order.take(_number(number), audio)
        return audio or None

    def _event(self, fields: dict[str, Any]) -> StreamEvent | None:
        dialect = self._dialect
        event = fields.get("event")
        if event == dialect.start_event:
            return self._start(fields)
        if self._started is None:
            self._check_dialect(event)
            return None
        if event == dialect.key_event:
            return self._key(fields)
        if event == dialect.mark_event:
            name = at(fields, dialect.mark_name)
            text = str(name)
            # Marks of somebody else have names of another kind; the longest of ours is far below this.
            return StreamMark(int(text)) if text.isascii() and text.isdigit() and len(text) < 16 else None
        if event == "stop":
            reason = clean(at(fields, ("stop", "reason")), 80)
            reason = f" ({reason})" if reason else ""
            return StreamStopped(f"the carrier ended the stream{reason}{self._fault}")
        if event == "error":
            self._fault = f"; it had reported: {clean(fields.get('payload', fields), 200)}"
        return None

    def _check_dialect(self, event: object) -> None:
        """Raises if an event before the start shows that the other side speaks another dialect."""
        for other in DIALECTS.values():
            if event == other.start_event and other.start_event != self._dialect.start_event:
                raise TransportError(f"a stream of {other.name} connected, not of {self._dialect.name}; {_DIALECT}")

    def _start(self, fields: dict[str, Any]) -> StreamStarted | None:
        dialect = self._dialect
        stream_id = clean(first(fields, dialect.stream), NUMBER_CHARACTERS)
        call_id = clean(first(fields, dialect.call), NUMBER_CHARACTERS)
        if self._started is not None:
            if stream_id != self._started.stream_id:
                raise TransportError("a second stream began on this connection; let only the carrier connect here")
            return None
        if dialect.stream and not stream_id:
            likely = [other.name for other in DIALECTS.values() if other.stream and first(fields, other.call)]
            looks = f", which looks like one of {likely[0]}" if likely else ""
            raise TransportError(f"{dialect.name} sent a start message without a stream's ID{looks}; {_DIALECT}")
        self._audio = read_format(first(fields, dialect.format), self._audio)
        self._linear = self._audio.encoding == "pcm16"
        given = self._given(fields)
        stated = {name: value for name, path in dialect.values.items() if (value := at(fields, path)) is not None}
        if "client_state" in stated:
            stated["client_state"] = client_state(stated["client_state"])
        if stream_id:
            stated["stream"] = stream_id
        self._started = StreamStarted(
            call_id=call_id,
            stream_id=stream_id,
            audio=self._audio,
            caller=clean(first(fields, dialect.caller) or given.get("caller"), NUMBER_CHARACTERS),
            called=clean(first(fields, dialect.called) or given.get("called"), NUMBER_CHARACTERS),
            variables=variables(given, stated),
        )
        self._faults = 0
        return self._started

    def _given(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Returns the parameters that whoever wrote the instructions has given."""
        given = first(fields, self._dialect.parameters)
        if isinstance(given, str):
            given = pairs(given)
        if given is fields:
            given = {key: value for key, value in fields.items() if key not in STATED_KEYS}
        return given if isinstance(given, dict) else {}

    def _key(self, fields: dict[str, Any]) -> StreamKey | None:
        """Returns the key of a message; None if it is none of a telephone's, or was sent twice."""
        number = fields.get("sequenceNumber", fields.get("sequence_number"))
        if number is not None and number == self._key_number:
            return None
        self._key_number = number
        key = at(fields, self._dialect.key)
        digit = str(key).upper() if isinstance(key, (str, int)) and not isinstance(key, bool) else ""
        return StreamKey(digit) if digit in DTMF_DIGITS else None


_DIALECT: Final = "set `dialect` to the carrier that connects here"


class StreamEncoder:
    """Makes the messages that are sent to the carrier in one stream."""

    __slots__ = ("_after", "_before", "_dialect", "_frame", "_silence", "_swap", "_values")

    def __init__(self, dialect: Dialect, started: StreamStarted, byte_order: ByteOrder | None = None) -> None:
        """Makes messages of a dialect for the stream that has started; `byte_order` as for `StreamDecoder`."""
        self._dialect = dialect
        audio = started.audio
        self._swap = audio.encoding == "pcm16" and (byte_order or dialect.byte_order) == "big"
        self._frame, self._silence = audio.bytes_in(FRAME_MS), audio.silence
        self._values: dict[Slot, str | int] = {
            Slot.STREAM: started.stream_id,
            Slot.ENCODING: dialect.encodings.get(audio.encoding, ""),
            Slot.RATE: audio.rate,
        }
        self._before, self._after = "", ""  # of the base64 in a message with audio
        if not dialect.binary:
            place = "AUDIO"
            self._before, _, self._after = fill(dialect.send_audio, {**self._values, Slot.AUDIO: place}).rpartition(
                place
            )

    def audio(self, audio: bytes | memoryview) -> Sequence[bytes | str]:
        """Returns the messages that play audio.

        Where the carrier wants whole frames of 20 ms, the end of the audio is filled up with silence.
        """
        if self._dialect.whole_frames and (rest := len(audio) % self._frame):
            audio = bytes(audio) + self._silence * ((self._frame - rest) // len(self._silence))
        if self._swap:
            audio = swap_bytes(audio)
        if self._dialect.binary:
            return [bytes(audio[at : at + self._frame]) for at in range(0, len(audio), self._frame)]
        return [f"{self._before}{binascii.b2a_base64(audio, newline=False).decode('ascii')}{self._after}"]

    def mark(self, mark: int) -> str:
        """Returns the message that requests a report when the audio before it was played."""
        return fill(self._dialect.send_mark, {**self._values, Slot.MARK: str(mark)})

    def clear(self) -> str:
        """Returns the message that drops what the carrier has buffered."""
        return fill(self._dialect.send_clear, self._values)

    def keys(self, digits: str) -> str:
        """Returns the message that sends keys; only for a dialect that has one."""
        if self._dialect.send_keys is None:
            raise NotImplementedError(f"a stream of {self._dialect.name} can't send the keys {digits}")
        return fill(self._dialect.send_keys, {**self._values, Slot.DIGITS: digits})


def at(fields: Mapping[str, Any], path: Path) -> Any:
    """Returns what a path leads to; None if it leads nowhere."""
    value: Any = fields
    for key in path:
        if not isinstance(value, dict):
            return None
        value = value.get(key)
    return value


def first(fields: Mapping[str, Any], paths: Iterable[Path]) -> Any:
    """Returns what the first path leads to that leads somewhere; None if none does."""
    return next((value for path in paths if (value := at(fields, path)) is not None), None)


def _number(number: object) -> int | None:
    """Returns a piece's number, which carriers give as a number or as text; None if it is neither."""
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 16:
        return int(number)
    return number if isinstance(number, int) and not isinstance(number, bool) else None
