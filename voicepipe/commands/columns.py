"""Rows of text in columns that fit a terminal: what is too wide is wrapped within its own column."""

from __future__ import annotations

import shutil
import textwrap
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WITHOUT_A_TERMINAL = 120
"""The width of a line, in characters, if it is not known, as in a pipe."""
NARROWEST = 16
"""The least width of a column, in characters, however narrow the terminal is."""


def in_columns(rows: Sequence[tuple[str, ...]], *, indent: str = "  ", gap: str = "  ") -> Iterator[str]:
    """Yields lines of at most the terminal's width (or `COLUMNS`), with each cell below its column's first.

    The widest columns are narrowed first, each to no less than `NARROWEST`.
    """
    width = shutil.get_terminal_size((WITHOUT_A_TERMINAL, 24)).columns
    widths = [max(1, *map(len, column)) for column in zip(*rows, strict=True)]
    room = width - len(indent) - len(gap) * (len(widths) - 1)
    while sum(widths) > room and max(widths) > NARROWEST:
        widest = widths.index(max(widths))
        others = max((size for index, size in enumerate(widths) if index != widest), default=0)
        wanted = max(room - sum(widths) + widths[widest], others - 1, NARROWEST)
        widths[widest] = min(wanted, widths[widest] - 1)
    for row in rows:
        cells = [
            textwrap.wrap(text, size, break_on_hyphens=False) or [""] for text, size in zip(row, widths, strict=True)
        ]
        for line in zip_longest(*cells, fillvalue=""):
            yield (indent + gap.join(text.ljust(size) for text, size in zip(line, widths, strict=True))).rstrip()
