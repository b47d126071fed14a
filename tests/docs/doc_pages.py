"""The pages of the documentation, for the tests that hold them to the code."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

from attrs import frozen

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r'^(?P<space> *)```(?P<language>\w+)(?: title="(?P<title>[^"]*)")?\n(?P<text>.*?)^ *```$', re.MULTILINE | re.DOTALL
)


@frozen
class Block:
    """A block of code in a page."""

    page: Path
    language: str
    title: str
    text: str


def blocks_in(page: Path) -> list[Block]:
    return [
        Block(page, match["language"], match["title"] or "", dedent(match["text"]))
        for match in BLOCK.finditer(page.read_text(encoding="utf-8"))
    ]


def block_titled(page: str, title: str) -> str:
    """The text of the one block of that title."""
    (text,) = (block.text for block in blocks_in(ROOT / page) if block.title == title)
    return text


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))
