"""What scalars become: the hooks for text, numbers, booleans, fixed words and free-form values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from voicepipe.documents.nodes import Scalar
from voicepipe.documents.words import did_you_mean

if TYPE_CHECKING:
    from cattrs import BaseConverter

    from voicepipe.documents.reading import Cursor

Hook: TypeAlias = Callable[["Cursor", Any], Any]
"""Takes the place and the type; returns the value, or reports and raises `Refused`."""

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]+)?|\.[0-9]+)")


def text_hook(place: Cursor, _: Any) -> str:
    """The text as typed."""
    return place.text()


def _bare(place: Cursor, expected: str, otherwise: str) -> str:
    """The text of a scalar that must not be in quotes, unless it is resolved from elsewhere."""
    node = place.node
    if not isinstance(node, Scalar) or node.null:
        place.refuse(f"expected {expected}, got {place.given}", place.example(otherwise))
    text = place.text(expected)
    if not node.plain and place.reading.literal(node):
        hint = "remove the quotes" if text else place.example(otherwise)
        place.refuse(f"expected {expected}, got {place.given}", hint)
    return text


def int_hook(place: Cursor, _: Any) -> int:
    """A whole number."""
    text = _bare(place, "a whole number", "10")
    if not _WHOLE.fullmatch(text):
        place.refuse(f"expected a whole number, got {place.given}", f"digits only, {place.example('10')}")
    return int(text)


def float_hook(place: Cursor, _: Any) -> float:
    """A number."""
    text = _bare(place, "a number", "1.5")
    if not (_DECIMAL.fullmatch(text) and math.isfinite(float(text))):
        place.refuse(f"expected a number, got {place.given}", f"digits and a point only, {place.example('1.5')}")
    return float(text)


def bool_hook(place: Cursor, _: Any) -> bool:
    """True or false."""
    text = _bare(place, "true or false", "true or false")
    if text not in {"true", "false"}:
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text.lower(), text.lower())
        hint = f"write {meant}" if meant in {"true", "false"} else "write true or false"
        place.refuse(f"expected true or false, got {place.given}", hint)
    return text == "true"


def literal_hook(of: Any, _: BaseConverter) -> Hook:
    """Makes the hook for one of some fixed words."""
    values = {str(value): value for value in get_args(of)}

    def structure(place: Cursor, of: Any) -> Any:
        expected = place.reading.describe(of)
        text = place.text(expected)
        if text not in values:
            place.refuse(f"expected {expected}, got {place.given}", did_you_mean(text, values, "valid"))
        return values[text]

    return structure


def free(text: str) -> bool | float | str | None:
    """A plain scalar by YAML 1.2's core schema (chapter 10.3.2); raises `ValueError` for an int beyond Python's."""
    if text in _NULLS:
        return None
    if text in _BOOLS:
        return text.lower() == "true"
    if _CORE_INT.fullmatch(text):
        return int(text, 0 if text[:2] in {"0o", "0x"} else 10)
    if _CORE_FLOAT.fullmatch(text):
        return float(text)
    if _CORE_SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text


_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLS = frozenset({"true", "True", "TRUE", "false", "False", "FALSE"})
_CORE_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_CORE_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CORE_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
