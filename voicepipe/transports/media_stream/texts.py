"""Texts that strangers give, such as numbers and parameters, made fit for prompts, records and logs.

They are data of any length and any characters. `CallInfo` gets a bounded number of them, each bounded, on one line.
"""

from __future__ import annotations

import json
from base64 import b64decode
from binascii import Error as Base64Error
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST: Final = 64
"""The most variables of a call; further ones are dropped."""
NAME_CHARACTERS: Final = 64
"""The longest name of a variable, in characters; variables with longer names are dropped."""
VALUE_CHARACTERS: Final = 1024
"""The longest value, in characters; longer ones are cut."""
NUMBER_CHARACTERS: Final = 128
"""The longest number of a party, in characters: a SIP URI may be one."""


def clean(value: object, most: int = VALUE_CHARACTERS) -> str:
    """Returns a value as one line of at most `most` characters; objects and lists as JSON, None as nothing."""
    if value is None:
        return ""
    if not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return "".join(character if character.isprintable() else " " for character in value[:most]).strip()


def variables(*sources: Mapping[Any, Any]) -> dict[str, str]:
    """Returns the named values of several sources; of two with one name, the first. Values that are empty are kept."""
    result: dict[str, str] = {}
    for source in sources:
        for key, value in source.items():
            name = clean(key, NAME_CHARACTERS + 1)
            if name and len(name) <= NAME_CHARACTERS and len(result) < MOST:
                result.setdefault(name, clean(value))
    return result


def pairs(text: str) -> dict[str, Any]:
    """Returns the parts of `name=value;name=value`, or of a JSON object, which Plivo's `extra_headers` may be."""
    text = text.strip()
    if text.startswith("{"):
        try:
            parsed = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return parsed if isinstance(parsed, dict) else {}
    items: Iterable[str] = text.replace(",", ";").split(";")
    return {name.strip(): value.strip() for name, is_pair, value in (item.partition("=") for item in items) if is_pair}


def client_state(value: object) -> object:
    """Returns Telnyx's client state decoded, if it is base64 of UTF-8, as Telnyx requires; else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return b64decode(value, validate=True).decode()
    except (Base64Error, ValueError):
        return value
