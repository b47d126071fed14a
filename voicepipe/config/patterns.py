"""Patterns of routes: `*` stands for any run of characters, also for none, `?` for any one."""

from __future__ import annotations

_SEPARATORS = str.maketrans("", "", " -.()")


def plain_number(text: str) -> str:
    """A number, or a pattern of one, without what people put between digits: spaces, dashes, dots, parentheses."""
    return text.translate(_SEPARATORS)


def takes_all(pattern: str) -> bool:
    """Returns True if the pattern matches every text."""
    return pattern != "" and not pattern.strip("*")


def matches(pattern: str, text: str) -> bool:
    """Returns True if the pattern matches the whole text.

    The time it takes is at most their lengths multiplied, whatever a caller sends: a regular expression's
    backtracking is not bounded so.
    """
    at = here = 0
    star, resumed = -1, 0  # the latest `*`, and where the text goes on behind what it stands for so far
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
