"""Patterns of routes: `*` matches any run of characters, also an empty one, and `?` any single character."""

from __future__ import annotations

_SEPARATORS = str.maketrans("", "", " -.()")


def plain_number(text: str) -> str:
    """Returns a number, or a pattern of one, without spaces, dashes, dots and parentheses."""
    return text.translate(_SEPARATORS)


def takes_all(pattern: str) -> bool:
    """Returns True if the pattern matches every text."""
    return pattern != "" and not pattern.strip("*")


def matches(pattern: str, text: str) -> bool:
    """Returns True if the pattern matches the whole text.

    It takes at most the product of both lengths, whatever a caller sends; the backtracking of a regular expression has
    no such bound.
    """
    at = here = 0
    star, resumed = -1, 0  # the latest `*`, and the end of the text that it matches so far
    while here < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resumed = at, here
            at += 1
        elif at < len(pattern) and pattern[at] in {"?", text[here]}:
            at += 1
            here += 1
        elif star >= 0:
            resumed += 1
            at, here = star + 1, resumed
        else:
            return False
    return not pattern[at:].strip("*")
