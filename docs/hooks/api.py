# ruff: noqa: INP001 - MkDocs finds hooks by their path, they are no package
"""The pages of the public API: every name of a package, under the module that defines it."""

from __future__ import annotations

import ast
import inspect
import re
from importlib import import_module
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING

from tables import default_code, developer_table, paragraphs

from voicepipe.config.describe.docstrings import documented_names, source_of

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION = re.compile(r"^(?P<head>Args|Returns|Raises|Attributes):\n(?P<items>(?:[ ]{4}.*\n?|\n)+)", re.MULTILINE)
ITEM = re.compile(r"^ {4}(?P<name>\S[^:\n]*): (?P<text>.*(?:\n {8}.*)*)", re.MULTILINE)
HEADS = {"Args": "Arguments", "Returns": "Returns", "Raises": "Raises", "Attributes": "Attributes"}


def public_api(package: str = "voicepipe.public") -> str:
    """A section for each module that a package's public names come from."""
    modules: dict[str, list[tuple[str, str]]] = {}
    for module, name, public in _public(package):
        modules.setdefault(module, []).append((name, public))
    parts = []
    for module, names in modules.items():
        documented = paragraphs(import_module(module).__doc__ or "")[0]
        # A module that is imported from itself goes by its name.
        parts += [f"## `{module}`", documented] if module == package else [f"## {documented.rstrip('.')}"]
        parts += [part for name, public in names for part in _named(package, module, name, public)]
    return "\n\n".join(parts)


def public_names(names: str) -> str:
    """A section for each of these names of `voicepipe`, in this order."""
    defined = {public: (module, name) for module, name, public in _public("voicepipe.public")}
    parts = [part for public in names.split() for part in _named("voicepipe.public", *defined[public], public)]
    return "\n\n".join(parts)


def _public(package: str) -> Iterator[tuple[str, str, str]]:
    """What a package imports to make it public, and what it defines itself; no modules."""
    found = import_module(package)
    for node in source_of(package).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("voicepipe"):
            for name in node.names:
                public = name.asname or name.name
                if public in found.__all__ and not isinstance(getattr(found, public), ModuleType):
                    yield node.module, name.name, public
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in found.__all__:
            yield package, node.name, node.name


def _named(package: str, module: str, name: str, public: str) -> Iterator[str]:
    what = inspect.unwrap(getattr(import_module(package), public), stop=_is_function)
    yield f"### `{public}`"
    if isinstance(what, FunctionType):
        yield f"```python\n{_signature(public, what)}\n```"
        yield _document(what.__doc__ or "")
    elif isinstance(what, type):
        yield from _class(what)
    else:
        documented = documented_names(source_of(module).body)[name]
        yield f"```python\n{public} = {documented.annotation}\n```"
        yield documented.doc


def _is_function(what: object) -> bool:
    return isinstance(what, FunctionType)


def _class(cls: type) -> Iterator[str]:
    yield _document(cls.__doc__ or "")
    yield developer_table(cls)
    making = vars(cls).get("__init__")
    if isinstance(making, FunctionType) and SECTION.search(f"{inspect.getdoc(making) or ''}\n"):
        yield f"```python\n{_signature(cls.__name__, making).removesuffix(' -> None')}\n```"
        yield _document(making.__doc__ or "")
    for name, member in vars(cls).items():
        if name.startswith("_") or not (doc := inspect.getdoc(member)):
            continue
        function = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if isinstance(function, FunctionType):
            yield f"```python\n{_signature(name, function)}\n```"
            yield _document(doc)
        elif isinstance(function, property):
            yield f"`{name}`: {_document(doc)}"


def _signature(name: str, function: FunctionType) -> str:
    signature = inspect.signature(function)
    managed = hasattr(function, "__wrapped__")
    wrapped = inspect.unwrap(function)
    keyword = ""
    returned = signature.return_annotation
    if managed and isinstance(returned, str):
        keyword = "async with " if "AsyncIterator" in returned else "with "
        returned = returned.partition("[")[2].removesuffix("]")
    elif inspect.iscoroutinefunction(wrapped):
        keyword = "await "
    kept = [one for one in signature.parameters.values() if one.name not in {"self", "cls"}]
    parameters = [_parameter(one) for one in kept]
    bare = next((n for n, one in enumerate(kept) if one.kind is one.KEYWORD_ONLY), None)
    if bare is not None:
        parameters.insert(bare, "*")
    arrow = " as " if managed else " -> "
    line = f"{keyword}{name}({', '.join(parameters)}){arrow}{returned}"
    if len(line) <= 100:
        return line
    listed = "".join(f"    {one},\n" for one in parameters)
    return f"{keyword}{name}(\n{listed}){arrow}{returned}"


def _parameter(one: inspect.Parameter) -> str:
    text = f"{one.name}: {one.annotation}" if one.annotation is not one.empty else one.name
    if one.default is one.empty:
        return text
    return f"{text} = {default_code(one.default)}"


def _document(doc: str) -> str:
    """A docstring as Markdown: its sections become lists."""
    text = inspect.cleandoc(doc) + "\n"

    def listed(match: re.Match[str]) -> str:
        items = [f"- `{item['name']}`: {' '.join(item['text'].split())}" for item in ITEM.finditer(match["items"])]
        body = "\n".join(items) or " ".join(match["items"].split())
        return f"{HEADS[match['head']]}:\n\n{body}\n\n"

    return SECTION.sub(listed, text).strip()
