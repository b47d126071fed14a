"""Checks the values that components give against their Protocols, once, at the boundary.

Code behind the boundary relies on it. Without the check a text that is None would raise somewhere in turn-taking or
playout, and look like a defect of voicepipe or of an observer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeAlias

from voicepipe.audio import AudioFormat
from voicepipe.components.events import (
    EndOfTurn,
    ReplyDone,
    SpeechAudio,
    SpeechMark,
    TextDelta,
    Transcript,
    TurnResumed,
    Usage,
)
from voicepipe.components.requests import Listen, StreamInput, ToolCall

if TYPE_CHECKING:
    Test: TypeAlias = Callable[[Any], bool]
    Fields: TypeAlias = tuple[tuple[str, Test, str], ...]


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and isfinite(value)


def _is_count(value: object) -> bool:
    return isinstance(value, Integral)


def _is_amount(value: object) -> bool:
    return isinstance(value, Real) and isfinite(value) and float(value) >= 0


def _is_bytes(value: object) -> bool:
    return isinstance(value, bytes | bytearray | memoryview)


def _or_none(test: Test) -> Test:
    return lambda value: value is None or test(value)


_USAGE: Fields = tuple(
    (name, _or_none(_is_amount), "a number from 0 on, or None")
    for name in ("input_tokens", "output_tokens", "characters", "audio_s")
)
_TRANSCRIPT: dict[type, Fields] = {
    Transcript: (
        ("text", _is_text, "text"),
        ("audio_end_ms", _or_none(_is_number), "a number or None"),
        ("confidence", _or_none(_is_number), "a number or None"),
        ("language", _or_none(_is_text), "text or None"),
    ),
    EndOfTurn: (),
    TurnResumed: (),
    Usage: _USAGE,
}
_REPLY: dict[type, Fields] = {
    TextDelta: (("text", _is_text, "text"),),
    ToolCall: (
        ("id", _is_text, "text"),
        ("name", _is_text, "text"),
        ("arguments", lambda value: isinstance(value, Mapping), "a mapping"),
    ),
    ReplyDone: (("listen", _or_none(lambda value: isinstance(value, Listen)), "a Listen or None"),),
    Usage: _USAGE,
}
_SPEECH: dict[type, Fields] = {
    SpeechAudio: (("audio", _is_bytes, "bytes"), ("segment", _is_count, "a whole number")),
    SpeechMark: (
        ("segment", _is_count, "a whole number"),
        ("chars", _is_number, "a number"),
        ("at_ms", _is_number, "a number"),
    ),
    Usage: _USAGE,
}
_INPUT: dict[type, Fields] = {
    StreamInput: (
        ("format", lambda value: isinstance(value, AudioFormat), "an AudioFormat"),
        ("chunk_ms", _is_number, "a number"),
    )
}
_OUTPUT: dict[type, Fields] = {AudioFormat: ()}


def fault_of_transcript(event: object) -> str:
    """Returns the fault of an event of a recogniser's stream; empty if it has none."""
    return "" if event is None else _fault(event, _TRANSCRIPT)


def fault_of_reply(event: object) -> str:
    """Returns the fault of an event of a language model's reply; empty if it has none."""
    return "" if event is None else _fault(event, _REPLY)


def fault_of_speech(event: object, output: AudioFormat) -> str:
    """Returns the fault of an event of a synthesiser's stream in that format; empty if it has none."""
    fault = "" if event is None else _fault(event, _SPEECH)
    if not fault and isinstance(event, SpeechAudio) and len(event.audio) % output.sample_bytes:
        return f"gave {len(event.audio)} bytes of audio, which end within a sample"
    return fault


def fault_of_input(wanted: object) -> str:
    """Returns the fault of what a recogniser's `input_for` returned; empty if it has none."""
    return _fault(wanted, _INPUT)


def fault_of_output(output: object) -> str:
    """Returns the fault of what a synthesiser's `output_for` returned; empty if it has none."""
    return _fault(output, _OUTPUT)


def _fault(value: object, wanted: dict[type, Fields]) -> str:
    fields = wanted.get(type(value)) or next((has for kind, has in wanted.items() if isinstance(value, kind)), None)
    if fields is None:
        return f"gave {_kind(value)} where {' or '.join(kind.__name__ for kind in wanted)} was due"
    for name, test, what in fields:
        if not test(given := getattr(value, name)):
            return f"gave a {type(value).__name__} whose {name} is {_kind(given)} and not {what}"
    return ""


def _kind(value: object) -> str:
    """Names a value by its type, because the value itself may be a caller's words; a plain number is shown."""
    if isinstance(value, float) or (isinstance(value, Integral) and value < 0):
        return str(value)
    return type(value).__name__
