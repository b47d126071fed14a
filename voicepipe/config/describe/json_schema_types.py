"""JSON Schemas of types: attrs classes, texts, numbers, lists, unions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, get_origin
from urllib.parse import quote

import attrs

from voicepipe.components.values import Secret
from voicepipe.config.describe.fields import UNIONS, Bounds, as_data, describe
from voicepipe.documents.scalars import core_schema_value

if TYPE_CHECKING:
    from voicepipe.components.registry import Registry
    from voicepipe.config.describe.fields import DescribedField

Schema: TypeAlias = dict[str, Any]


_LITERAL = r"[^$]|\$\$|\$(?![${])"


_RESOLVED = r"\$\{(?:[A-Za-z_][A-Za-z0-9_]*(?::-[^{}]*)?|file:[^{}]*)\}"


_NO_BOUNDS = Bounds()


_DEFS: Schema = {
    "text": {"type": ["string", "number", "boolean"], "pattern": f"^(?:{_LITERAL}|{_RESOLVED})*$"},
    "interpolated": {"type": "string", "pattern": f"^(?:{_LITERAL})*{_RESOLVED}(?:{_LITERAL}|{_RESOLVED})*$"},
}
"""Text, and text with at least one `${...}` in it: as `interpolate` takes them."""


Specials: TypeAlias = Mapping[Any, "Callable[[Schemas, str], Schema]"]
"""Schemas of types that mean more than the Python type says."""

Rules: TypeAlias = Mapping[type, "Callable[[Schemas], list[Schema]]"]
"""Rules between the keys of a section."""


class Schemas:
    """Makes schemas of types; those that are used in several places are collected in `defs`.

    Args:
        registry: the adapters.
        special: schemas of types that mean more than the Python type says.
        rules: rules between the keys of a section.

    """

    def __init__(self, registry: Registry, special: Specials, rules: Rules) -> None:
        self.registry, self._special, self._rules = registry, special, rules
        self.defs: dict[str, Schema] = dict(_DEFS)

    def define(self, name: str, make: Callable[[], Schema]) -> Schema:
        """Returns a `$ref` to a definition, which is made unless it exists or is being made."""
        if name not in self.defs:
            self.defs[name] = {}
            self.defs[name] = make()
        step = name.replace("~", "~0").replace("/", "~1")  # RFC 6901, section 3, and section 6 for a fragment
        return {"$ref": f"#/$defs/{quote(step)}"}

    def mapping(self, cls: type) -> Schema:
        """Returns the schema of an attrs class: its fields are the keys, and there are no others."""
        described = describe(cls)
        schema: Schema = {"type": "object"}
        if described.doc:
            schema["description"] = described.doc
        schema["properties"] = {field.name: self.field(field) for field in described.fields}
        if required := [field.name for field in described.fields if field.required]:
            schema["required"] = required
        schema["additionalProperties"] = False
        if rules := self._rules.get(cls):
            schema["allOf"] = rules(self)
        return schema

    def field(self, described: DescribedField) -> Schema:
        """Returns the schema of a key's value, with its description and default."""
        schema = dict(self.of(described.type, described.bounds, described.name))
        if described.doc:
            schema["description"] = described.doc
        if not (described.required or attrs.has(type(described.default)) or described.default in _EMPTY):
            schema["default"] = as_data(described.default)
        return schema

    def of(self, kind: Any, bounds: Bounds = _NO_BOUNDS, key: str = "") -> Schema:
        """Returns the schema of a value.

        Args:
            kind: the type.
            bounds: the bounds of the field's validators.
            key: the field's name, for types that mean something else under another name.

        """
        origin, inside = get_origin(kind), get_args(kind)
        if special := self._special.get(kind):
            schema = special(self, key)
        elif kind in {str, Secret}:
            schema = text_schema(bounds)
        elif kind in _NUMBERS:
            schema = any_of([_number(_NUMBERS[kind], bounds), {"$ref": "#/$defs/interpolated"}])
        elif origin is Literal:
            schema = _words(inside)
        elif origin in UNIONS:
            schema = any_of([self.of(alternative, bounds, key) for alternative in inside])
        elif origin is tuple:
            schema = _with({"type": "array", "items": self.of(inside[0])}, minItems=bounds.min_length)
        elif origin in {Mapping, dict}:
            values = {"type": "object", "additionalProperties": self.of(inside[1])}
            schema = _with(values, minProperties=bounds.min_length)
        elif attrs.has(kind):
            schema = self.mapping(kind)
        else:
            raise TypeError(f"there is no schema for {kind}: a field of a YAML document can't be that")
        return schema


_EMPTY: tuple[Any, ...] = ("", (), {})
"""Defaults that an editor need not write."""


_NUMBERS = {int: "integer", float: "number"}


def _number(kind: str, bounds: Bounds) -> Schema:
    if bounds.choices:
        return {"enum": list(bounds.choices)}
    return _with(
        {"type": kind},
        minimum=bounds.minimum,
        exclusiveMinimum=bounds.exclusive_minimum,
        maximum=bounds.maximum,
        exclusiveMaximum=bounds.exclusive_maximum,
    )


def text_schema(bounds: Bounds) -> Schema:
    """Returns the schema of a text; its bounds apply only if it has no `${...}`, whose value is not known."""
    if bounds.choices:
        return _words(bounds.choices)
    pattern = bounds.pattern if bounds.pattern and "(?P" not in bounds.pattern else None
    asked = _with({}, minLength=bounds.min_length, maxLength=bounds.max_length, pattern=pattern)
    text: Schema = {"$ref": "#/$defs/text"}
    return {**text, "anyOf": [asked, {"$ref": "#/$defs/interpolated"}]} if asked else text


def _words(words: tuple[Any, ...]) -> Schema:
    """Returns the schema of fixed words, in quotes or as YAML reads them without quotes."""
    written = [str(word) for word in words]
    read = [value for word in written if not isinstance(value := core_schema_value(word), str)]
    return any_of([{"enum": [*written, *read]}, {"$ref": "#/$defs/interpolated"}])


def _with(schema: Schema, **keywords: Any) -> Schema:
    return schema | {name: value for name, value in keywords.items() if value is not None}


def any_of(schemas: list[Schema]) -> Schema:
    """Returns a schema that any of several satisfies; each alternative occurs once."""
    flat: list[Schema] = []
    for schema in schemas:
        for alternative in schema["anyOf"] if set(schema) == {"anyOf"} else [schema]:
            if alternative not in flat:
                flat.append(alternative)
    return {"anyOf": flat}


def path_schema(_schemas: Schemas, _key: str) -> Schema:
    """Returns the schema of a path: a text that is not empty."""
    return text_schema(Bounds(min_length=1))
