"""The format of a stream's audio, as a start message announces it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from voicepipe.audio import AudioFormat, Encoding
from voicepipe.errors import TransportError

RATES: Final = frozenset({8000, 16000, 24000, 48000})
"""The rates that are taken, in Hz; G.711 is at 8,000 only."""

_ENCODINGS: Final[Mapping[str, Encoding]] = {
    **dict.fromkeys(("mulaw", "ulaw", "pcmu", "x-mulaw", "basic", "g711u"), "mulaw"),
    **dict.fromkeys(("alaw", "pcma", "x-alaw", "g711a"), "alaw"),
    **dict.fromkeys(("l16", "x-l16", "linear16", "pcm16", "x-raw"), "pcm16"),
}
_RATE: Final = re.compile(r";\s*rate\s*=\s*(\d{1,6})\s*(?:;|$)")


def read_format(announced: Any, default: AudioFormat) -> AudioFormat:
    """Returns the format that a start message announces.

    Args:
        announced: an object with an encoding, a rate and a number of channels, or text such as
            `audio/l16;rate=16000`; None if the message has neither.
        default: the format that was asked for; what is not announced is taken from it.

    Raises:
        TransportError: the format is none that a call can have.

    """
    if announced is None:
        return default
    named: Any
    rate: Any = None
    channels: Any = None
    if isinstance(announced, str):
        named = announced
    elif isinstance(announced, Mapping):
        named = announced.get("encoding")
        rate = announced.get("sampleRate", announced.get("sample_rate"))
        channels = announced.get("channels")
    else:
        raise _unusable(f"its format is {announced!r:.60}")
    encoding = default.encoding if named is None else _encoding(named)
    if rate is None and isinstance(named, str) and (match := _RATE.search(named)):
        rate = match[1]
    if channels not in {None, 1, "1"}:
        raise _unusable(f"its audio has {channels!r:.20} channels", "ask for one track: inbound")
    if rate is None:
        return AudioFormat(default.rate if encoding == default.encoding else 8000, encoding)
    return AudioFormat(_rate(rate, encoding), encoding)


def _encoding(named: object) -> Encoding:
    """Returns the encoding of a carrier's name for it: `audio/x-mulaw`, `PCMU`."""
    short = named.partition(";")[0].strip().lower().removeprefix("audio/") if isinstance(named, str) else ""
    if short not in _ENCODINGS:
        raise _unusable(f"its audio is encoded as {named!r:.60}")
    return _ENCODINGS[short]


def _rate(announced: object, encoding: Encoding) -> int:
    text = str(announced) if isinstance(announced, (int, str)) and not isinstance(announced, bool) else ""
    rate = int(text) if text.isascii() and text.isdigit() and len(text) <= 6 else 0
    if rate not in RATES or (encoding != "pcm16" and rate != 8000):
        raise _unusable(f"its audio is {encoding} at {announced!r:.20} Hz")
    return rate


def _unusable(what: str, hint: str = "") -> TransportError:
    hint = hint or "in the instructions, ask for mu-law or A-law at 8,000 Hz, or for 16-bit linear audio (L16)"
    return TransportError(f"the stream can't be used: {what}; {hint}")
