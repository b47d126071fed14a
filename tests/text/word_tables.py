"""The tables of docs/reference/words.md, which are tests."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/reference/words.md"


def table(heading: str, number: int = 0) -> list[list[list[str]]]:
    """The rows of a table under a heading: cells, each with the texts in it that stand in backquotes, or its words."""
    (section,) = re.findall(
        rf"^## {heading}\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    found = re.findall(r"(?:^\|.*\n)+", section, re.MULTILINE)[number]
    rows = [line.strip().strip("|").split(" | ") for line in found.splitlines()[2:]]
    return [[re.findall(r"`([^`]*)`", cell) or [cell.strip()] for cell in row] for row in rows]
