"""JSON Schema of tools' arguments: faults of a schema, and of arguments.

Models are given the schema, so their arguments are mostly valid. jsonschema is imported on first use: 0.1 s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

MOST_OF_FAULTS = 300
"""The most of the faults that is reported, in characters: they quote arguments, which may be long."""


def arguments_check(parameters: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], str]:
    """Returns a function that returns the faults of a tool's arguments as text, empty if there are none.

    Args:
        parameters: JSON Schema 2020-12. References may point only into it: nothing is fetched.

    Raises:
        ValueError: the parameters are not a JSON Schema of type `object`.

    """
    if faults := schema_faults(parameters):
        raise ValueError("; ".join(f"parameters: {'.'.join(map(str, path))} {fault}" for path, fault in faults))
    schema = plain(parameters)
    validator = import_module("jsonschema").Draft202012Validator(
        schema, registry=import_module("referencing").Registry()
    )

    def check(arguments: Mapping[str, Any]) -> str:
        errors = sorted(validator.iter_errors(plain(arguments)), key=lambda error: list(map(str, error.path)))
        return "; ".join(map(_fault_text, errors))[:MOST_OF_FAULTS]

    return check


def schema_faults(parameters: Mapping[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    """Returns the faults of a tool's parameters as a JSON Schema of type `object`, each with its path in them."""
    kind, schema = import_module("jsonschema").Draft202012Validator, plain(parameters)
    errors = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER).iter_errors(schema)
    faults = {tuple(error.path): f"is not JSON Schema: {error.message}"[:MOST_OF_FAULTS] for error in errors}
    if not faults and schema.get("type") != "object":
        faults[()] = "arguments have names, so the schema is that of an object"
    for path, target in _references(schema, ()):
        if not _leads_somewhere(schema, target):
            faults[path] = "leads to nothing in this schema, and nothing is fetched from elsewhere"
    return list(faults.items())


def plain(value: Any) -> Any:
    """Copies a value into the plain types that `json.loads` returns."""
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, str) else value


def _fault_text(error: Any) -> str:
    at = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path).lstrip(".")
    return f"{at}: {error.message}" if at else str(error.message)


def _references(schema: Any, path: tuple[str | int, ...]) -> list[tuple[tuple[str | int, ...], str]]:
    """Returns the `$ref`s in a schema, each with its path."""
    references = []
    if isinstance(schema, dict):
        for name, item in schema.items():
            if name in {"$ref", "$dynamicRef"} and isinstance(item, str):
                references.append(((*path, name), item))
            references += _references(item, (*path, name))
    elif isinstance(schema, list):
        for index, item in enumerate(schema):
            references += _references(item, (*path, index))
    return references


def _leads_somewhere(schema: Any, target: str) -> bool:
    """Whether a reference is a JSON pointer into the schema itself (RFC 6901)."""
    if not target.startswith("#/"):
        return False
    at = schema
    for step in target[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        at = at.get(name) if isinstance(at, dict) else None
    return at is not None
