"""Removes private words from log records: pressed keys, numbers that were said, e-mail addresses. Pure functions.

`logging.transcripts`, `logging.dtmf` and `logging.mask` of a set decide how much its records show of conversations.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from reference_engine.log.masked_values import HIDDEN, Mask

if TYPE_CHECKING:
    from voicepipe import LoggingSettings

MAX_DIGITS = 3
"""The most digits of a number that is shown, written in digits or in words."""

WORDS = ("heard", "said", "arguments", "result", "text", "changed")
"""Fields with speech of a conversation, with arguments and results of tools, or with what steers a call."""

QUOTING = ("message", "answered", "detail", "exception", "reason", "target", "failure")
"""Fields of messages that may quote speech."""

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
    """Returns the text without numbers of four digits and more, in digits or in words, and without e-mail addresses."""
    text = _SPOKEN_ADDRESS.sub(HIDDEN, _ADDRESS.sub(HIDDEN, text))
    return _GLUED.sub(HIDDEN, _RUN.sub(_short_or_hidden, text))


def _short_or_hidden(match: re.Match[str]) -> str:
    digits = sum(len(token) if token.isdecimal() else 1 for token in _TOKEN.findall(match[0]))
    return match[0] if digits <= MAX_DIGITS else HIDDEN


def without_private(record: MutableMapping[str, Any], settings: LoggingSettings) -> None:
    """Removes from a log record what the logging settings of its set hide."""
    known = record.pop("known_values", None)
    masked = settings.dtmf == "masked"
    pressed = record.pop("pressed", ())
    for begins, ends in pressed if masked else ():
        heard = record["heard"]
        record["heard"] = heard[:begins] + "*" * (ends - begins) + heard[ends:]
    if masked and record.get("tool") == "send_dtmf" and "arguments" in record:
        record["arguments"] = dict.fromkeys(record["arguments"], HIDDEN)
    if known is not None and settings.mask:
        _mask(record, Mask(known, settings.mask))
    if settings.transcripts == "full":
        return
    for name in WORDS:
        if name in record:
            record[name] = None if settings.transcripts == "off" else redacted_value(record[name])
    for name in QUOTING:
        if isinstance(record.get(name), str):
            record[name] = _quoting(record[name])


def _mask(record: MutableMapping[str, Any], mask: Mask) -> None:
    for name in ("caller", "called"):
        if name in record:
            record[name] = mask.number(name, record[name])
    for name in ("variables", "changed"):
        if name in record:
            record[name] = mask.variables(record[name])
    for name in (*WORDS, *QUOTING):
        if name in record and name != "changed":
            record[name] = mask.text(record[name])


def redacted_value(value: Any) -> Any:
    """Returns a value of any type without private words; lists and mappings are searched too."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {key: redacted_value(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted_value(item) for item in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if len(re.sub(r"\D", "", str(value))) <= MAX_DIGITS else HIDDEN
    return value


_ALONE = re.compile(
    r"(?<![\w.:/#-])(?<!line )(?<!closed with code )\+?\d(?:[\s.\-]?\d){3,}(?![\w:/-]| (?:Hz|ms|s|bytes)\b)"
)


def _quoting(text: str) -> str:
    """Returns a message without private words; IDs, ports, line numbers, close codes and quantities stay."""
    return _ALONE.sub(HIDDEN, _ADDRESS.sub(HIDDEN, text))
