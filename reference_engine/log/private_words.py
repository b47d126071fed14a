"""Removes private words from log records: pressed keys, numbers that were said, e-mail addresses. Pure functions.

`logging.transcripts`, `logging.dtmf` and `logging.mask` of a set decide what its records show of conversations. What
private words look like only `voicepipe` knows, as for `redact`, which has hidden its own before anything comes here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, MutableMapping
from typing import TYPE_CHECKING, Any

from reference_engine.log.masked_values import HIDDEN, Mask
from voicepipe import PrivateWords

if TYPE_CHECKING:
    from voicepipe import LoggingSettings

MAX_DIGITS = 3
"""The most digits of a number that is shown, written in digits or in words."""

WORDS = ("heard", "said", "arguments", "result", "text", "changed")
"""Fields with speech of a conversation, with arguments and results of tools, or with what steers a call."""

QUOTING = ("message", "answered", "detail", "exception", "reason", "target", "failure")
"""Fields of messages that may quote speech."""

_ADDRESSES = PrivateWords(["email"])


def redacted(text: str) -> str:
    """Returns the text without numbers of four digits and more, in digits or in words, and without e-mail addresses."""
    hidden = [(span.begin, span.end) for span in _ADDRESSES.find(text)]
    hidden += PrivateWords.long_numbers(text, MAX_DIGITS)
    parts, at = [], 0
    for begin, end in sorted(hidden):
        if begin >= at:
            parts += [text[at:begin], HIDDEN]
        at = max(at, end)
    return "".join((*parts, text[at:])) if parts else text


def without_private(record: MutableMapping[str, Any], settings: LoggingSettings) -> None:
    """Removes from a log record what the logging settings of its set hide."""
    known = record.pop("known_values", None)
    masked = settings.dtmf == "masked"
    pressed = record.pop("pressed", ())
    for begins, ends in pressed if masked else ():
        heard = record["heard"]
        if not heard[begins:ends].startswith("["):  # else `redact` has hidden them already
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


_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_ALONE = re.compile(
    r"(?<![\w.:/#-])(?<!line )(?<!closed with code )\+?\d(?:[\s.\-]?\d){3,}(?![\w:/-]| (?:Hz|ms|s|bytes)\b)"
)


def _quoting(text: str) -> str:
    """Returns a message without private words; IDs, ports, line numbers, close codes and quantities stay."""
    return _ALONE.sub(HIDDEN, _ADDRESS.sub(HIDDEN, text))
