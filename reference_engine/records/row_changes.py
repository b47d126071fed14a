"""Changes of rows as values, and as lines of the spool. Pure.

Every change says the same however often it is made: `begin` adds a row, such as a call, unless it is there, `put` adds
a row or replaces it by key, `change` sets some columns of a row, and `end` puts a call's row and has it counted in
`hourly`, unless it had ended already.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from attrs import frozen

VERSION = 1
"""The version of the spool's format."""


@frozen
class RowChange:
    """A change of one row of the database."""

    how: Literal["begin", "put", "change", "end"]
    """What is done with the row, as in the module's docstring."""
    table: str
    """The table's name."""
    row: Mapping[str, Any]
    """The columns, which have the key: plain data and times."""


class UnknownFormatError(ValueError):
    """A line is of a later version of the spool's format."""


def as_line(change: RowChange) -> str:
    """Returns a change as a line of JSON, without a line end."""
    times = [name for name, value in change.row.items() if isinstance(value, datetime)]
    row = {name: value.isoformat() if name in times else value for name, value in change.row.items()}
    data = {"v": VERSION, "how": change.how, "table": change.table, "times": times, "row": row}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def from_line(line: bytes) -> RowChange:
    """Returns the change that a line is.

    Raises:
        UnknownFormatError: the line is of a later version of the software.
        ValueError: the line is damaged.

    """
    data = json.loads(line)
    if not isinstance(data, dict) or not isinstance(data.get("v"), int):
        raise ValueError("this is no line of a spool")  # noqa: TRY004 - a damaged line
    if data["v"] > VERSION:
        raise UnknownFormatError(f"format {data['v']}")
    try:
        row = {
            name: datetime.fromisoformat(value) if name in data["times"] else value
            for name, value in data["row"].items()
        }
        return RowChange(data["how"], data["table"], row)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no line of a spool: {error}") from error


def storable_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row whose values are `storable`."""
    return {name: value if type(value) in _AS_THEY_ARE else storable(value) for name, value in row.items()}


def storable(value: Any) -> Any:
    """Returns plain data that every database takes: no NUL, no half of a surrogate pair, in any text of it."""
    kind = type(value)
    if kind is str:
        return value if value.isascii() and "\0" not in value else _clean(value)
    if kind is dict:
        return {storable(name) if type(name) is str else str(name): storable(item) for name, item in value.items()}
    if kind in _AS_THEY_ARE:
        return value
    if isinstance(value, str):  # a Secret, or another class of text
        return _clean(str.__str__(value))
    if isinstance(value, Mapping):
        return storable(dict(value))
    return [storable(item) for item in value] if isinstance(value, list | tuple) else value


_AS_THEY_ARE = frozenset({int, float, bool, type(None), datetime})


def _clean(text: str) -> str:
    if not text.isascii() and _has_surrogates(text):
        text = text.encode(errors="replace").decode()
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _has_surrogates(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
