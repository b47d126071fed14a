"""What a model is told of a Python function: JSON Schema from its signature, words from its docstring."""

from __future__ import annotations

import inspect
import re
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from voicepipe.tools.schemas import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCALARS: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
"""JSON Schema's names of types."""

_SECTION = re.compile(r"^(Args|Arguments|Returns|Raises|Yields|Example|Examples|Note|Notes):\s*$", re.MULTILINE)
_ENTRY = re.compile(r"^\s*\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?:\s*(?P<said>.*)$")


def parameters_of(function: Callable[..., Any], context: type) -> tuple[dict[str, Any], str]:
    """JSON Schema of a function's parameters, and which of them takes the context; empty: none does.

    Raises:
        TypeError: one of them is not to be told in JSON Schema.

    """
    name = function.__name__
    try:
        hints = get_type_hints(function)
    except NameError as error:
        hint = "import it where the program runs, not only for type checkers"
        raise TypeError(f"the tool {name}: {error}; {hint}") from None
    said = _said_of_parameters(function)
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
        if parameter.name in said:
            schema["description"] = said[parameter.name]
        if parameter.default is parameter.empty:
            required.append(parameter.name)
        elif parameter.default is not None:
            schema["default"] = plain(parameter.default)
        properties[parameter.name] = schema
    parameters = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return parameters, takes_context


def _schema_of(of: Any, what: str) -> dict[str, Any]:
    origin, inside = get_origin(of), get_args(of)
    if of in SCALARS:
        return {"type": SCALARS[of]}
    if origin is Literal:
        return {"enum": list(inside)}
    if origin is list and inside:
        return {"type": "array", "items": _schema_of(inside[0], what)}
    if origin in {Union, UnionType}:
        return {"anyOf": [_schema_of(one, what) for one in inside]}
    hint = "str, int, float, bool, Literal[...], list[...] and ... | None can be"
    raise TypeError(f"{what} is {of}, which a model can't be told: {hint}")


def description_of(function: Callable[..., Any]) -> str:
    """What a function's docstring says before its sections, on one line a paragraph.

    Raises:
        TypeError: it says nothing.

    """
    doc = inspect.getdoc(function) or ""
    section = _SECTION.search(doc)
    text = doc[: section.start()] if section else doc
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    if not (description := "\n".join(filter(None, paragraphs))):
        raise TypeError(f"the tool {function.__name__} has no docstring: it is what the model reads")
    return description


def _said_of_parameters(function: Callable[..., Any]) -> dict[str, str]:
    """What a docstring's `Args:` says, by parameter."""
    doc = inspect.getdoc(function) or ""
    sections = list(_SECTION.finditer(doc))
    said: dict[str, str] = {}
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
                said[name] = entry["said"].strip()
            elif name:
                said[name] = f"{said[name]} {line.strip()}".strip()
    return said
