"""What the source says below fields and constants: their docstrings, which are no objects at run time."""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@frozen
class Said:
    """A name in a module or a class, as the source has it."""

    annotation: str
    """Its type as written; of an alias or a constant, what it stands for."""
    doc: str
    """The docstring below it; empty if there is none."""


def said_of_fields(cls: type) -> Mapping[str, Said]:
    """The fields of a class as its source has them, those of its bases first."""
    found: dict[str, Said] = {}
    for one in reversed(cls.__mro__[:-1]):
        if body := _body_of(source_of(one.__module__), one.__qualname__.split(".")):
            found |= said_in(body)
    return found


@cache
def source_of(module: str) -> ast.Module:
    """The syntax tree of a module that was imported; empty if its source is not there."""
    try:
        return ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError):
        return ast.Module([], [])


def said_in(body: Iterable[ast.stmt]) -> dict[str, Said]:
    """The names that statements of a module or class assign or declare, with the docstrings below them."""
    statements = list(body)
    found = {}
    for statement, below in zip(statements, [*statements[1:], ast.Pass()], strict=True):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value):
                is_alias = value is not None and ast.unparse(annotation) == "TypeAlias"
                written = value if is_alias and value is not None else annotation
            case ast.Assign(targets=[ast.Name(id=name)], value=written):
                pass
            case _:
                continue
        doc = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
        found[name] = Said(ast.unparse(written), paragraphs(doc) if isinstance(doc, str) else "")
    return found


def _body_of(tree: ast.AST, way: list[str]) -> list[ast.stmt]:
    """The statements of a class; `way` is its qualified name in parts, `<locals>` included."""
    name, *rest = way
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            rest = rest[1:] if rest[:1] == ["<locals>"] else rest
            return _body_of(node, rest) if rest else node.body
    return []


def paragraphs(doc: str) -> str:
    """A docstring with each paragraph on one line."""
    return "\n".join(" ".join(part.split()) for part in inspect.cleandoc(doc).split("\n\n") if part.strip())
