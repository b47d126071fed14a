"""What the person in front of the demonstration sees: aligned lines, in colour where there is a terminal."""

from __future__ import annotations

import os
import shutil
import textwrap
import time
from typing import TYPE_CHECKING, Final, Literal, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

WIDEST: Final = 100
"""Columns, at most."""

Style = Literal["plain", "bold", "faint", "good", "bad", "caller", "agent"]

_CODES: Final[dict[Style, str]] = {
    "plain": "",
    "bold": "\x1b[1m",
    "faint": "\x1b[2m",
    "good": "\x1b[32m",
    "bad": "\x1b[31m",
    "caller": "\x1b[36m",
    "agent": "\x1b[33m",
}


class Screen:
    """Writes lines to a terminal or a file."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began = time.monotonic()
        self.colour = out.isatty() and not os.environ.get("NO_COLOR")
        self.width = max(60, min(WIDEST, shutil.get_terminal_size((WIDEST, 25)).columns))

    def heading(self, text: str) -> None:
        """Begins a part."""
        self.text("")
        self.text(text, "bold")

    def event(self, who: str, what: str, text: str, style: Style = "plain") -> None:
        """Something that happens now: how long after the demonstration began in s, who, what, and more about it."""
        margin = f"{time.monotonic() - self._began:6.2f}  {who:<10} {what:<8} "
        first, *others = self._wrapped(text, len(margin))
        self.text(self.paint(margin, "faint") + self.paint(first, style))
        self.block(others, style, indent=len(margin))

    def block(self, lines: Iterable[str], style: Style = "plain", *, indent: int = 8) -> None:
        """Lines that belong to the event above."""
        for line in lines:
            for piece in self._wrapped(line, indent):
                self.text(" " * indent + self.paint(piece, style))

    def _wrapped(self, text: str, indent: int) -> list[str]:
        """Lines that fit; those that do already stay as they are."""
        room = self.width - indent
        pieces: list[str] = []
        for line in text.splitlines():
            fits = len(line) <= room
            pieces += [line] if fits else textwrap.wrap(line, room, break_on_hyphens=False, subsequent_indent="  ")
        return pieces or [""]

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as they need to be, and no wider."""
        widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
        for row in (head, *rows):
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            self.text(self.paint(line, "faint" if row is head else "plain"))

    def text(self, text: str, style: Style = "plain") -> None:
        """One line as it is."""
        self._out.write(self.paint(text, style) + "\n")
        self._out.flush()

    def paint(self, text: str, style: Style) -> str:
        """The text in that style, if there is colour."""
        return f"{_CODES[style]}{text}\x1b[0m" if self.colour and _CODES[style] and text else text
