"""Describes a Python function to a model: JSON Schema from its signature, text from its docstring."""

from __future__ import annotations

import inspect
import re
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from voicepipe.tools.schemas import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCALARS: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
"""JSON Schema's names of Python's scalar types."""

_SECTION = re.compile(r"^(Args|Arguments|Returns|Raises|Yields|Example|Examples|Note|Notes):\s*$", re.MULTILINE)
_ENTRY = re.compile(r"^\s*\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?:\s*(?P<text>.*)$")


def parameters_of(function: Callable[..., Any], context: type) -> tuple[dict[str, Any], str]:
    """Returns the JSON Schema of a function's parameters, and the name of the one of type `context`, or `""`.

    Raises:
        TypeError: a parameter has no type, no name of its own, or a type without a JSON Schema.

    """
    name = function.__name__
    try:
        hints = get_type_hints(function)
    except NameError as error:
        hint = "import it where the program runs, not only for type checkers"
        raise TypeError(f"the tool {name}: {error}; {hint}") from None
    descriptions = _parameter_descriptions(function)
    properties: dict[str, Any] = {}
    required: list[str] = []
    takes_context = ""
    for parameter in inspect.signature(function).parameters.values():
        if hints.get(parameter.name) is context:
            takes_context = parameter.name
            continue
        if parameter.kind not in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise TypeError(f"the tool {name} has a parameter {parameter}: each needs a name of its own")
        if parameter.name not in hints:
            raise TypeError(f"the tool {name} has a parameter {parameter.name} without a type")
        schema = _schema_of(hints[parameter.name], f"the parameter {parameter.name} of the tool {name}")
        if parameter.name in descriptions:
            schema["description"] = descriptions[parameter.name]
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif parameter.default is not None:
            schema["default"] = plain(parameter.default)
        properties[parameter.name] = schema
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return parameters, takes_context


def _schema_of(hint: Any, what: str) -> dict[str, Any]:
    origin, inside = get_origin(hint), get_args(hint)
    if hint in SCALARS:
        return {"type": SCALARS[hint]}
    if origin is Literal:
        return {"enum": list(inside)}
    if origin is list and inside:
        return {"type": "array", "items": _schema_of(inside[0], what)}
    if origin in {Union, UnionType}:
        return {"anyOf": [_schema_of(member, what) for member in inside]}
    known = "str, int, float, bool, Literal[...], list[...] or ... | None"
    raise TypeError(f"{what} is {hint}, which has no JSON Schema here: use {known}")


def description_of(function: Callable[..., Any]) -> str:
    """Returns a function's docstring up to its first section, a line for each paragraph.

    Raises:
        TypeError: there is no such text.

    """
    doc = inspect.getdoc(function) or ""
    section = _SECTION.search(doc)
    text = doc[: section.start()] if section else doc
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    if not (description := "\n".join(filter(None, paragraphs))):
        raise TypeError(f"the tool {function.__name__} has no docstring: write one, the model reads it")
    return description


def _parameter_descriptions(function: Callable[..., Any]) -> dict[str, str]:
    """Returns the descriptions in a docstring's `Args:` section, by parameter."""
    doc = inspect.getdoc(function) or ""
    sections = list(_SECTION.finditer(doc))
    descriptions: dict[str, str] = {}
    for index, section in enumerate(sections):
        if not section.group(1).startswith("Arg"):
            continue
        end = sections[index + 1].start() if index + 1 < len(sections) else len(doc)
        lines = [line for line in doc[section.end() : end].splitlines() if line.strip()]
        indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
        name = ""
        for line in lines:
            if len(line) - len(line.lstrip()) == indent and (entry := _ENTRY.match(line)):
                name = entry["name"]
                descriptions[name] = entry["text"].strip()
            elif name:
                descriptions[name] = f"{descriptions[name]} {line.strip()}".strip()
    return descriptions
