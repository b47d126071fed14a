"""JSON Schema of tools' arguments: whether it is one, and what is wrong with arguments.

Models are told the schema, so the arguments mostly fit. jsonschema is imported when it is first needed: 0.1 s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

MOST_TOLD = 300
"""Characters of what is wrong with arguments: the model's own, which may be long."""


def arguments_check(parameters: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], str]:
    """A function that says what is wrong with a tool's arguments; empty: nothing.

    Args:
        parameters: JSON Schema 2020-12. References lead nowhere but into it: nothing is fetched.

    Raises:
        ValueError: it is no JSON Schema of an object.

    """
    if faults := schema_faults(parameters):
        raise ValueError("; ".join(f"parameters: {'.'.join(map(str, path))} {said}" for path, said in faults))
    schema = plain(parameters)
    validator = import_module("jsonschema").Draft202012Validator(
        schema, registry=import_module("referencing").Registry()
    )

    def check(arguments: Mapping[str, Any]) -> str:
        errors = sorted(validator.iter_errors(plain(arguments)), key=lambda error: list(map(str, error.path)))
        return "; ".join(map(_told, errors))[:MOST_TOLD]

    return check


def schema_faults(parameters: Mapping[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    """Where a tool's parameters are no JSON Schema of an object, and why; nothing: they are one."""
    kind, schema = import_module("jsonschema").Draft202012Validator, plain(parameters)
    errors = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER).iter_errors(schema)
    faults = {tuple(error.path): f"is not JSON Schema: {error.message}"[:MOST_TOLD] for error in errors}
    if not faults and schema.get("type") != "object":
        faults[()] = "arguments have names, so the schema is that of an object"
    for path, target in _references(schema, ()):
        if not _leads_somewhere(schema, target):
            faults[path] = "leads to nothing in this schema, and nothing is fetched from elsewhere"
    return list(faults.items())


def plain(value: Any) -> Any:
    """A value as `json.loads` would give it."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    return str(value) if isinstance(value, str) else value


def _told(error: Any) -> str:
    at = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.path).lstrip(".")
    return f"{at}: {error.message}" if at else str(error.message)


def _references(schema: Any, path: tuple[str | int, ...]) -> list[tuple[tuple[str | int, ...], str]]:
    """The `$ref`s in a schema, each with the way to it."""
    found = []
    if isinstance(schema, dict):
        for name, one in schema.items():
            if name in {"$ref", "$dynamicRef"} and isinstance(one, str):
                found.append(((*path, name), one))
            found += _references(one, (*path, name))
    elif isinstance(schema, list):
        for index, one in enumerate(schema):
            found += _references(one, (*path, index))
    return found


def _leads_somewhere(schema: Any, target: str) -> bool:
    """Whether a reference is a JSON pointer into the schema itself (RFC 6901)."""
    if not target.startswith("#/"):
        return False
    at = schema
    for step in target[2:].split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        at = at.get(name) if isinstance(at, dict) else None
    return at is not None
