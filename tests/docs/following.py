"""Does what a guide says: its commands, its files, and the definitions that stand in place of others."""

from __future__ import annotations

import ast
import re
import subprocess
from typing import TYPE_CHECKING

from doc_pages import ROOT, blocks_in

from voicepipe import cli

if TYPE_CHECKING:
    from pathlib import Path

GUIDE = "docs/how-to/write-an-adapter.md"
PACKAGE = "voicepipe-ollama"


def follow(place: Path) -> Path:
    """Follows the guide from its first command to its last edit, and gives the package's directory."""
    package = place / PACKAGE
    for block in blocks_in(ROOT / GUIDE):
        if block.language == "sh":
            for line in block.text.splitlines():
                if line.startswith("voicepipe "):
                    assert cli.main([*line.split()[1:], "--into", str(place)]) == 0
                elif line.startswith("sed "):
                    subprocess.run(["/bin/sh", "-c", line], cwd=package, check=True)
        elif block.language == "python":
            file, _, name = block.title.partition(": ")
            path = package / file
            old = path.read_text(encoding="utf-8")  # so no file is new
            path.write_text(replaced(old, name, block.text) if name else block.text, encoding="utf-8")
    return package


def replaced(source: str, name: str, definition: str) -> str:
    """A module with another definition in place of the one of that name, and of the mark of a hole above it."""
    lines = source.splitlines(keepends=True)
    (node,) = (node for node in ast.parse(source).body if name in names_of(node))
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))]) - 1
    while re.match(r"# HOLE:", lines[first - 1]):
        first -= 1
    return "".join([*lines[:first], definition, *lines[node.end_lineno :]])


def names_of(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {node.name} if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else set()
