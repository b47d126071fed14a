"""Readers of scalars: text, numbers, booleans, `Literal` texts, and free-form values by YAML 1.2's core schema."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias, get_args

from voicepipe.documents.nodes import ScalarNode
from voicepipe.documents.suggestions import did_you_mean

if TYPE_CHECKING:
    from voicepipe.documents.reading import Cursor

Reader: TypeAlias = Callable[["Cursor", Any], Any]
"""Takes a cursor and a type; returns the value, or reports a problem and raises `Refused`."""

_WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?((0|[1-9][0-9]*)(\.[0-9]+)?|\.[0-9]+)")


def read_string(cursor: Cursor, _: Any) -> str:
    """Returns the text as typed."""
    return cursor.text()


def _unquoted(cursor: Cursor, expected: str, otherwise: str) -> str:
    """Returns the text of a scalar; refuses one in quotes, unless it is a reference."""
    node = cursor.node
    if not isinstance(node, ScalarNode) or node.null:
        cursor.refuse(f"expected {expected}, got {cursor.given}", cursor.example(otherwise))
    text = cursor.text(expected)
    if not node.plain and cursor.context.is_literal(node):
        hint = "remove the quotes" if text else cursor.example(otherwise)
        cursor.refuse(f"expected {expected}, got {cursor.given}", hint)
    return text


def read_int(cursor: Cursor, _: Any) -> int:
    """Returns a whole number: decimal digits, without leading zeros."""
    text = _unquoted(cursor, "a whole number", "10")
    if not _WHOLE.fullmatch(text):
        cursor.refuse(f"expected a whole number, got {cursor.given}", f"digits only, {cursor.example('10')}")
    return int(text)


def read_float(cursor: Cursor, _: Any) -> float:
    """Returns a finite number: decimal digits with or without a point."""
    text = _unquoted(cursor, "a number", "1.5")
    if not (_DECIMAL.fullmatch(text) and math.isfinite(float(text))):
        cursor.refuse(f"expected a number, got {cursor.given}", f"digits and a point only, {cursor.example('1.5')}")
    return float(text)


def read_bool(cursor: Cursor, _: Any) -> bool:
    """Returns True for `true`, False for `false`."""
    text = _unquoted(cursor, "true or false", "true or false")
    if text not in {"true", "false"}:
        meant = {"yes": "true", "on": "true", "no": "false", "off": "false"}.get(text.lower(), text.lower())
        hint = f"write {meant}" if meant in {"true", "false"} else "write true or false"
        cursor.refuse(f"expected true or false, got {cursor.given}", hint)
    return text == "true"


def literal_reader(of: Any) -> Reader:
    """Makes the reader of a `Literal`."""
    values = {str(value): value for value in get_args(of)}

    def read_literal(cursor: Cursor, of: Any) -> Any:
        expected = cursor.context.describe(of)
        text = cursor.text(expected)
        if text not in values:
            cursor.refuse(f"expected {expected}, got {cursor.given}", did_you_mean(text, values, "valid"))
        return values[text]

    return read_literal


def core_schema_value(text: str) -> bool | float | str | None:
    """Returns the value of a plain scalar by YAML 1.2's core schema (chapter 10.3.2).

    Raises:
        ValueError: an integer has more digits than Python converts.

    """
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
