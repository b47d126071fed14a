"""AudioSocket's wire format without I/O: bytes in, frames out, and frames as bytes.

A frame is `kind u8 | length u16 big-endian | payload`; payload audio is 16-bit little-endian mono. Asterisk
connects, sends the call's UUID first, then a frame of audio about every 20 ms. The kinds and their numbers are
those in `res_audiosocket.h` of Asterisk 22.10.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, TypeAlias

from voicepipe.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

KIND_HANGUP: Final = 0x00
"""The end of the call; no payload."""
KIND_UUID: Final = 0x01
"""The call's UUID in 16 bytes, the first frame of a connection."""
KIND_DTMF: Final = 0x03
"""A key of the caller as one ASCII character, sent when the key is released."""
KIND_AUDIO: Final = 0x10
"""Audio at 8 kHz; before Asterisk 20.17 and 22.7, audio of any codec and rate."""
KIND_ERROR: Final = 0xFF
"""An error that ends the call; the payload is an error code of a byte or more."""

RATES: Final = {
    KIND_AUDIO: 8000,
    0x11: 12000,
    0x12: 16000,
    0x13: 24000,
    0x14: 32000,
    0x15: 44100,
    0x16: 48000,
    0x17: 96000,
    0x18: 192000,
}
"""The rate of each kind of audio, in Hz."""
KINDS: Final = {rate: kind for kind, rate in RATES.items()}
"""The kind of audio of each rate."""

HEADER_BYTES: Final = 3
MAX_PAYLOAD: Final = 16_192
"""The largest payload that either side accepts, in bytes: a second at 8 kHz, 42 ms at 192 kHz."""

HANGUP: Final = b"\0\0\0"
"""The frame that ends a call."""
ERROR: Final = b"\xff\0\1\1"
"""A frame that ends a call with an error of one byte; Asterisk ignores the value and reports a failure."""
DTMF_DIGITS: Final = "0123456789*#ABCD"

Frame: TypeAlias = "tuple[int, memoryview]"
"""A frame: its kind and its payload."""

_LENGTHS: Final = {KIND_HANGUP: 0, KIND_UUID: 16, KIND_DTMF: 1}
_HEADER: Final = Struct("!BH")
_ONLY_ASTERISK: Final = "let only Asterisk's AudioSocket() or Dial(AudioSocket/...) connect here"


class Decoder:
    """Decodes one connection's bytes, however they are split, into frames."""

    __slots__ = ("_error", "_rest", "_wanted")

    def __init__(self) -> None:
        self._rest = bytearray()  # an incomplete frame
        self._wanted = HEADER_BYTES  # the size of `_rest` at which it can be decoded further
        self._error: TransportError | None = None

    @property
    def midway(self) -> bool:
        """Whether the last frame is still incomplete."""
        return bool(self._rest)

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Frame]:
        """Yields the frames that `data` completes, in order, as `(kind, payload)`; exhaust it before feeding more.

        Payloads are views of `data`, not copies, unless the frame began in an earlier read. Audio frames without a
        sample are skipped. At most one incomplete frame is kept.

        Raises:
            TransportError: the bytes are not AudioSocket; raised after the frames before it, and again on each feed.

        """
        if self._error is not None:
            raise self._error
        if self._rest:
            self._rest += data
            if len(self._rest) < self._wanted:
                return
            data, self._rest = self._rest, bytearray()
        view = memoryview(data)
        start, end = 0, len(view)
        while end - start >= HEADER_BYTES:
            kind, size = view[start], view[start + 1] << 8 | view[start + 2]
            if not 0x10 <= kind <= 0x18 or size & 1 or size > MAX_PAYLOAD:
                self._check(kind, size)
            payload = start + HEADER_BYTES
            if end - payload < size:
                break
            start = payload + size
            if size or kind not in RATES:
                yield kind, view[payload:start]
        if start != end:
            self._rest += view[start:]
            self._wanted = HEADER_BYTES
            if end - start >= HEADER_BYTES:
                self._wanted += view[start + 1] << 8 | view[start + 2]

    def _check(self, kind: int, size: int) -> None:
        """Raises the fault of a header, if it has one, and keeps it for later feeds."""
        name = f"AudioSocket frame of kind 0x{kind:02x} with {size} bytes"
        expected = _LENGTHS.get(kind)
        if kind not in RATES and expected is None and kind != KIND_ERROR:
            self._error = TransportError(f"{name}: there is no such kind; {_ONLY_ASTERISK}")
        elif expected not in {None, size}:
            self._error = TransportError(f"{name} instead of {expected}; {_ONLY_ASTERISK}")
        elif size > MAX_PAYLOAD:
            self._error = TransportError(f"{name}: at most {MAX_PAYLOAD} are taken; have the trunk send 20 ms packets")
        elif kind in RATES and size & 1:
            # Asterisk puts only this kind on other codecs, so only here does c(slin) help.
            hint = "in the dialplan, add c(slin): Dial(AudioSocket/host:port/uuid/c(slin))"
            hint = hint if kind == KIND_AUDIO else _ONLY_ASTERISK
            self._error = TransportError(f"{name}, which is no whole number of 16-bit samples; {hint}")
        if self._error is not None:
            raise self._error


def encode_audio(kind: int, audio: bytes | memoryview) -> bytes:
    """Encodes one audio frame, to be written in one piece: Asterisk drops a call whose payload comes in pieces.

    Raises:
        ValueError: the audio is empty (Asterisk hangs up on that), ends within a sample, or exceeds `MAX_PAYLOAD`.

    """
    size = len(audio)
    if size & 1 or not 0 < size <= MAX_PAYLOAD:
        raise ValueError(
            f"{size} bytes of audio don't fit an AudioSocket frame: the size is an even number from 2 to {MAX_PAYLOAD}"
        )
    return _HEADER.pack(kind, size) + audio


def encode_uuid(call: UUID) -> bytes:
    """Encodes the first frame of a connection, as Asterisk sends it."""
    return _HEADER.pack(KIND_UUID, 16) + call.bytes


def encode_dtmf(digit: str) -> bytes:
    """Encodes the frame of a key, as Asterisk sends it."""
    return _HEADER.pack(KIND_DTMF, 1) + digit.encode("ascii")
