"""Formats problems as text and as JSON."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from voicepipe.documents.suggestions import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voicepipe.errors import Problem

_BOLD, _RED, _FAINT, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[2m", "\x1b[0m"


def format_problems(problems: Iterable[Problem], *, colour: bool = False) -> str:
    """Returns a paragraph for each problem: `file:line:column: path: message`, the line with a caret, and the hint."""
    return "\n".join(_paragraph(problem, colour) for problem in problems)


def problems_as_data(problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Returns a dict for each problem: file, line, column, path, message, hint."""
    return [
        {
            "file": str(problem.where.file),
            "line": problem.where.line,
            "column": problem.where.column,
            "path": problem.path,
            "message": problem.message,
            "hint": problem.hint,
        }
        for problem in problems
    ]


def format_json(problems: Iterable[Problem]) -> str:
    """Returns a JSON object with `ok` and the `errors`."""
    errors = problems_as_data(problems)
    return json.dumps({"ok": not errors, "errors": errors}, indent=2, ensure_ascii=False)


def _paragraph(problem: Problem, colour: bool) -> str:
    def paint(text: str, code: str) -> str:
        return f"{code}{text}{_PLAIN}" if colour else text

    path = f" {printable(problem.path)}:" if problem.path else ""
    lines = [f"{paint(printable(f'{problem.where}:'), _BOLD)}{path} {paint(printable(problem.message), _RED)}"]
    if problem.source.strip():
        space = re.sub(r"[^\t]", " ", printable(problem.source[: problem.where.column - 1]))
        lines += [f"    {printable(problem.source)}", f"    {space}{paint('^', _RED)}"]
    if problem.hint:
        lines.append(f"  {paint('hint:', _FAINT)} {printable(problem.hint)}")
    return "\n".join(lines) + "\n"
