"""Reads the docstrings below fields and constants from the source: Python drops them at run time."""

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
class DocumentedName:
    """A documented name of a module or a class."""

    annotation: str
    """The type as it is written; for an alias or a constant, the value."""
    doc: str
    """The docstring below it; empty if there is none."""


def documented_fields(cls: type) -> Mapping[str, DocumentedName]:
    """Returns the documented fields of a class, those of its bases first."""
    documented: dict[str, DocumentedName] = {}
    for base in reversed(cls.__mro__[:-1]):
        if body := _body_of(source_of(base.__module__), base.__qualname__.split(".")):
            documented |= documented_names(body)
    return documented


@cache
def source_of(module: str) -> ast.Module:
    """Returns the syntax tree of an imported module; an empty one without its source."""
    try:
        return ast.parse(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError):
        return ast.Module([], [])


def documented_names(body: Iterable[ast.stmt]) -> dict[str, DocumentedName]:
    """Returns the names that statements of a module or class assign or declare, with the docstrings below them."""
    statements = list(body)
    documented = {}
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
        documented[name] = DocumentedName(ast.unparse(written), paragraphs(doc) if isinstance(doc, str) else "")
    return documented


def _body_of(tree: ast.AST, path: list[str]) -> list[ast.stmt]:
    """Returns the statements of a class; `path` is its qualified name in parts, `<locals>` included."""
    name, *rest = path
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            rest = rest[1:] if rest[:1] == ["<locals>"] else rest
            return _body_of(node, rest) if rest else node.body
    return []


def paragraphs(doc: str) -> str:
    """Returns a docstring with each paragraph on one line."""
    return "\n".join(" ".join(part.split()) for part in inspect.cleandoc(doc).split("\n\n") if part.strip())
