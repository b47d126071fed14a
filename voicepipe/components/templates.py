"""Texts in which `{caller}` or `{variables.customer|there}` stands for a value of the call. Pure functions.

A name in braces counts only if it looks like one: a letter or `_`, then letters, digits and `_`, or `variables.` and a
variable's name. All other braces are text, also those after `$`, so JSON and code in a prompt stay as they are.
`{{caller}}` is the text `{caller}`. What follows `|` is said while the value is not known; without it nothing is said,
and the space before it is left out. Values are put in once: braces in a value are text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAMES = ("caller", "called", "listener", "transport_id", "call_id", "date", "time")
"""The names that a text may have in braces, besides `variables.NAME`."""

VARIABLE = "variables."
"""The beginning of the name of a variable's value."""

_PLACE = re.compile(
    r"(?P<space>[ \t]*)(?<!\$)(?P<open>\{\{?)(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[^\s{}|]*)?)"
    r"(?:\|(?P<default>[^{}\n]*))?\}(?P<close>\}?)"
)

_SPACED = re.compile(r"(?<!\$)\{[ \t]*(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[^\s{}|]*)?)[ \t]*\}")


class Template(str):
    """A text of the configuration whose names in braces are to be replaced; any other `str` is said as it is."""

    __slots__ = ()


@frozen
class Place:
    """A name in braces, in a text."""

    name: str
    """The name."""
    begins: int
    """The index of its brace in the text."""


def places_in(text: str) -> Iterator[Place]:
    """Yields the names in braces of a text, in order, also those that there are not; none for `{{name}}`."""
    if "{" in text:
        for match in _PLACE.finditer(text):
            if match["open"] == "{":
                yield Place(match["name"], match.start("open"))


def spaced_places_in(text: str) -> Iterator[tuple[int, str, str]]:
    """Yields the index, the text and the name of each `{ name }` that would stand for a value without its spaces."""
    if "{" in text:
        for match in _SPACED.finditer(text):
            if len(match[0]) > len(match["name"]) + 2 and is_name(match["name"]):
                yield match.start(), match[0], match["name"]


def has_places(text: str) -> bool:
    """Returns True if `fill` may change a text."""
    return "{" in text and _PLACE.search(text) is not None


def is_name(name: str) -> bool:
    """Returns True if a name stands for a value: one of `NAMES`, or `variables.` and the name of a variable."""
    return name in NAMES or (name.startswith(VARIABLE) and name != VARIABLE)


def fill(text: str, value_of: Callable[[str], str | None]) -> str:
    """Returns the text with the values in place of the names.

    Args:
        text: the text; names that there are not stay as they are.
        value_of: returns the value of a name as it is to be put in; None or an empty text: it is not known.

    """
    if "{" not in text:
        return str(text)

    def replaced(match: re.Match[str]) -> str:
        if match["open"] == "{{":
            return f"{match['space']}{match[0].lstrip()[1:].removesuffix('}' if match['close'] else '')}"
        if not is_name(match["name"]):
            return match[0]
        value = value_of(match["name"]) or match["default"] or ""
        return f"{match['space'] if value else ''}{value}{match['close']}"

    return _PLACE.sub(replaced, text)
