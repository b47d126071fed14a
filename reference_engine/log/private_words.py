"""What the log shows of what callers say, hear and press: no PIN that was pressed, and no card that was read out.

Pure: a record's fields in, the same without what is private out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from voicepipe import LoggingSettings

HIDDEN = "***"
"""Stands where something was."""

MAX_DIGITS = 3
"""A longer number is not shown, in digits or in words for numbers."""

WORDS = ("heard", "said", "arguments", "result")
"""Fields of records that hold what was said, or what a tool was told and tells."""

QUOTING = ("message", "answered", "detail", "exception", "reason")
"""Fields that may quote some of it."""

_NUMBER = (
    r"(?:\d+|zero|oh|o|nought|double|triple|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen"
    r"|fourteen|fifteen|sixteen|seventeen|eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
    r"|hundred|thousand"
    r"|null|eins|ein|zwei|zwo|drei|vier|fünf|sechs|sieben|acht|neun|zehn|elf|zwölf|doppel"
    r"|cero|uno|dos|tres|cuatro|cinco|seis|siete|ocho|nueve|diez|once|doce|doble"
    r"|zéro|un|deux|trois|quatre|cinq|sept|huit|neuf|dix|onze|douze|treize|quatorze|quinze|seize|vingt|trente"
    r"|quarante|cinquante|soixante)"
)
_BETWEEN = r"[\s,.;:()/-]{1,3}(?:(?:and|und|y|et)\s+)?"
_RUN = re.compile(rf"(?<!\w)\+?{_NUMBER}(?:{_BETWEEN}{_NUMBER})*(?!\w)", re.IGNORECASE)
_GLUED = re.compile(r"\d(?:[\s.\-/]?\d){3,}")
_TOKEN = re.compile(rf"\b{_NUMBER}\b", re.IGNORECASE)
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_DOT = "(?:dot|punkt|punto|point)"
_SPOKEN_ADDRESS = re.compile(
    rf"(?i)\b[\w.+-]+(?: {_DOT} [\w-]+)* (?:at|arroba|arobase) [\w-]+(?: {_DOT} \w+)+",
)


def redacted(text: str) -> str:
    """The text without numbers of four digits and more, in figures or in words, and without e-mail addresses."""
    text = _SPOKEN_ADDRESS.sub(HIDDEN, _ADDRESS.sub(HIDDEN, text))
    return _GLUED.sub(HIDDEN, _RUN.sub(_short_or_hidden, text))


def _short_or_hidden(match: re.Match[str]) -> str:
    digits = sum(len(token) if token.isdecimal() else 1 for token in _TOKEN.findall(match[0]))
    return match[0] if digits <= MAX_DIGITS else HIDDEN


def without_private(record: MutableMapping[str, Any], settings: LoggingSettings) -> None:
    """Takes out of a log record what its set does not want to see there."""
    masked = settings.dtmf == "masked"
    pressed = record.pop("pressed", ())
    for begins, ends in pressed if masked else ():
        heard = record["heard"]
        record["heard"] = heard[:begins] + "*" * (ends - begins) + heard[ends:]
    if masked and record.get("tool") == "send_dtmf" and "arguments" in record:
        record["arguments"] = dict.fromkeys(record["arguments"], HIDDEN)
    if settings.transcripts == "full":
        return
    for name in WORDS:
        if name in record:
            record[name] = None if settings.transcripts == "off" else _redacted(record[name])
    for name in QUOTING:
        if isinstance(record.get(name), str):
            record[name] = _quoting(record[name])


def _redacted(value: Any) -> Any:
    """The same for what tools are given: arguments may be numbers, and lists and mappings of all that."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: _redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if len(re.sub(r"\D", "", str(value))) <= MAX_DIGITS else HIDDEN
    return value


_ALONE = re.compile(r"(?<![\w.:/#-])(?<!line )\+?\d(?:[\s.\-]?\d){3,}(?![\w:/-]| Hz\b)")


def _quoting(text: str) -> str:
    """Messages keep IDs, ports, line numbers and rates in Hz, which people need: only numbers by themselves go."""
    return _ALONE.sub(HIDDEN, _ADDRESS.sub(HIDDEN, text))
