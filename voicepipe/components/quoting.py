"""Quotes foreign text in messages: without secrets, on one line, shortened, in that order.

The order is the point. A secret is found in the text as it came. White space that is folded before may be part of
one, and a text that is cut before may end in the beginning of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_QUOTED = 200
"""The most characters that an error quotes of an answer."""

MOST_OF_MESSAGE = 400
"""The most characters of a message, or of a hint."""

MOST_LOOKED_AT = 4096
"""Characters of a text that are searched for secrets: ten times what is shown. Vendors answer with whole pages, and the
search runs on the loop: 2 ms for each thousand characters."""


def quoted(text: str, conceal: Callable[[str], str] = str, most: int = MOST_QUOTED) -> str:
    """Returns the part of a text that a message quotes, on one line.

    Args:
        text: as it came: neither folded nor cut.
        conceal: takes secrets out of it.
        most: how long it may become, in characters.

    """
    if len(text) > MOST_LOOKED_AT:
        # Not the last word: it may be the beginning of a secret, and all before it white space.
        looked_at = text[:MOST_LOOKED_AT]
        text = looked_at.removesuffix(looked_at.split()[-1]) or looked_at if looked_at.strip() else ""
    one_line = " ".join(conceal(text).split())
    return one_line if len(one_line) <= most else one_line[: most - 1] + "…"
