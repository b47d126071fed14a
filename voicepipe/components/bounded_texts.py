"""Bounds of what a transport says about a call: numbers, names and variables come from outside. Pure functions.

`CallInfo` applies them to whatever it is made of, so they hold for every transport, and for programs too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_CHARS = 200
"""The most characters of a number or a name, and of any value where a text is composed of it."""

MOST_VARIABLES = 64
"""The most variables of a call; those that come first are kept."""

MOST_NAME = 64
"""The most characters of a variable's name; variables with longer names are dropped."""

MOST_VALUE = 2000
"""The most characters of a variable's value."""

MOST_OF_VALUES = 16_000
"""The most characters of all values of a call together; variables beyond it are dropped."""

_BREAKS = re.compile("[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
"""Characters that end a line, or that a header can't hold; each run of them becomes a space."""

_ACTING = re.compile("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, marks that turn the direction of writing, and halves of characters."""


def one_line(text: str) -> str:
    """Returns a text on one line: line breaks become spaces, and other control characters are removed."""
    return text if text.isprintable() else _ACTING.sub("", _BREAKS.sub(" ", text))


def bounded(text: str, most: int = MOST_CHARS) -> str:
    """Returns a text on one line, and at most so much of it."""
    return one_line(str(text)[: 2 * most])[:most]


def bounded_variables(variables: Mapping[str, str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Returns variables within all bounds, and the names of those that were cut or dropped."""
    kept: dict[str, str] = {}
    cut: list[str] = []
    left = MOST_OF_VALUES
    for name, value in variables.items():
        if len(kept) == MOST_VARIABLES or len(name) > MOST_NAME or one_line(name) != name:
            cut.append(bounded(name, MOST_NAME))
            continue
        whole = one_line(str(value)[: 2 * MOST_VALUE])
        text = whole[: min(MOST_VALUE, left)]
        if len(whole) > len(text) or len(str(value)) > 2 * MOST_VALUE:
            cut.append(name)
        if text or not value:
            kept[name] = text
            left -= len(text)
    return kept, tuple(cut[:MOST_VARIABLES])
