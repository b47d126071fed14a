"""The text of a document, for messages that quote a line of it without its secrets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from voicepipe.documents.nodes import ScalarNode
from voicepipe.documents.parse import LINE_BREAK

if TYPE_CHECKING:
    from pathlib import Path

    from voicepipe.documents.nodes import Node

_LONGEST_LINE = 160


_SECRET_KEY = re.compile(
    r"""(?i)\b[\w-]*(?:key|token|secret|password|passwd|credentials?)["']?\s*[:=]\s*(?P<value>[^\s,{}\[\]#][^,}\]#]*)"""
)
"""Finds likely secrets in lines that could not be read as a type, so that no field tells which values are secret."""


class Source:
    """The text that a document was read from, for showing its lines."""

    def __init__(self, text: str, name: Path) -> None:
        self.name = name
        self._lines = LINE_BREAK.split(text)
        self._concealed: dict[int, list[tuple[int, int]]] = {}
        self._secrets: set[int] = set()

    def conceal(self, scalar: ScalarNode) -> None:
        """Masks that scalar in every line that is shown from now on."""
        self._secrets.add(id(scalar))
        for line in range(scalar.line, min(scalar.end_line, len(self._lines)) + 1):
            begin = scalar.column if line == scalar.line else 1
            end = scalar.end_column if line == scalar.end_line else len(self._lines[line - 1]) + 1
            self._concealed.setdefault(line, []).append((begin - 1, end - 1))

    def conceals(self, scalar: ScalarNode) -> bool:
        """Returns True if that scalar is masked."""
        return id(scalar) in self._secrets

    def find(self, node: Node, text: str) -> tuple[int, int]:
        """Returns the line and column of a text within a scalar; those of the scalar, if it is written in another way.

        A text in quotes may have escapes, and a long one may be folded.
        """
        if isinstance(node, ScalarNode):
            for number in range(node.line, min(node.end_line, len(self._lines)) + 1):
                begin = node.column - 1 if number == node.line else 0
                if (at := self._lines[number - 1].find(text, begin)) >= 0:
                    return number, at + 1
        return node.line, node.column

    def line(self, number: int) -> str:
        """Returns a line without its secrets; empty if there is no such line, or it is longer than 160 characters."""
        if number > len(self._lines) or len(self._lines[number - 1]) > _LONGEST_LINE:
            return ""
        line = self._lines[number - 1]
        named = (match for match in _SECRET_KEY.finditer(line) if not match["value"].lstrip("\"'").startswith("$"))
        for begin, end in (*self._concealed.get(number, ()), *(match.span("value") for match in named)):
            line = line[:begin] + "*" * (end - begin) + line[end:]
        return line
