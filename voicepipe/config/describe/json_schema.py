"""The JSON Schema of a pipeline set's file, for editors: completion, descriptions, and most mistakes as they are typed.

It is made from the same classes that the file is structured to, and from the options of the adapters given. What
a schema can't say is left to `voicepipe check`: whether names, files, tools and secrets are there, and how numbers
are written. It sees values as YAML 1.2's core schema reads them, so a text field admits numbers and booleans.

The dialect is 2020-12, but apart from `$defs` only with keywords that draft 7 has: many editors know no more.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args, get_origin
from urllib.parse import quote

import attrs

from voicepipe.components.registry import Registry, installed
from voicepipe.components.values import CaFile, Directory, File, Secret
from voicepipe.config.describe.fields import UNIONS, Bounds, as_data, describe
from voicepipe.config.describe.json_schema_references import component, pipeline_rules, reference
from voicepipe.config.sections import (
    LAYERED,
    Alternatives,
    Definition,
    Layer,
    PipelineSection,
    RouteSection,
    SetFile,
    ToolName,
    WhenSection,
)
from voicepipe.config.settings import TOOLS
from voicepipe.documents.scalars import free
from voicepipe.tools.settings import ARGUMENTS_SCHEMA, NAME, ArgumentsSchema

if TYPE_CHECKING:
    from voicepipe.config.describe.fields import DescribedField

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_LITERAL = r"[^$]|\$\$|\$(?![${])"
_RESOLVED = r"\$\{(?:[A-Za-z_][A-Za-z0-9_]*(?::-[^{}]*)?|file:[^{}]*)\}"
_NO_BOUNDS = Bounds()
_DEFS: Schema = {
    "text": {"type": ["string", "number", "boolean"], "pattern": f"^(?:{_LITERAL}|{_RESOLVED})*$"},
    "interpolated": {"type": "string", "pattern": f"^(?:{_LITERAL})*{_RESOLVED}(?:{_LITERAL}|{_RESOLVED})*$"},
}
"""Text, and text with at least one `${...}` in it: as `interpolate` takes them."""


def json_schema(registry: Registry | None = None) -> Schema:
    """The schema as plain data, ready for `json.dumps`.

    Args:
        registry: the adapters that files may name; None: the installed ones.

    Raises:
        TypeError: a field of an options or settings class has a type that no YAML document can hold.

    """
    schemas = Schemas(installed() if registry is None else registry)
    root = schemas.mapping(SetFile)
    return {"$schema": DIALECT, "title": "Pipelines of voicepipe", **root, "$defs": schemas.defs}


class Schemas:
    """The schemas of types; those that are used in several places are collected in `defs`."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.defs: dict[str, Schema] = dict(_DEFS)

    def define(self, name: str, make: Callable[[], Schema]) -> Schema:
        """A `$ref` to the definition of that name, which is made unless it is there or being made."""
        if name not in self.defs:
            self.defs[name] = {}
            self.defs[name] = make()
        step = name.replace("~", "~0").replace("/", "~1")  # RFC 6901, section 3, and section 6 for a fragment
        return {"$ref": f"#/$defs/{quote(step)}"}

    def mapping(self, cls: type) -> Schema:
        """An attrs class: its fields are the keys, and there are no others."""
        described = describe(cls)
        schema: Schema = {"type": "object"}
        if described.doc:
            schema["description"] = described.doc
        schema["properties"] = {one.name: self.field(one) for one in described.fields}
        if required := [one.name for one in described.fields if one.required]:
            schema["required"] = required
        schema["additionalProperties"] = False
        if rules := _RULES.get(cls):
            schema["allOf"] = rules(self)
        return schema

    def field(self, one: DescribedField) -> Schema:
        """A key's value, with its description and default."""
        schema = dict(self.of(one.type, one.bounds, one.name))
        if one.doc:
            schema["description"] = one.doc
        if not (one.required or attrs.has(type(one.default)) or one.default in _EMPTY):
            schema["default"] = as_data(one.default)
        return schema

    def of(self, kind: Any, bounds: Bounds = _NO_BOUNDS, key: str = "") -> Schema:
        """A value of that type.

        Args:
            kind: the type.
            bounds: what the field's validators ask besides.
            key: the field's name, for types that mean something else under another name.

        """
        origin, inside = get_origin(kind), get_args(kind)
        if special := _SPECIAL.get(kind):
            schema = special(self, key)
        elif kind in {str, Secret}:
            schema = _text(bounds)
        elif kind in _NUMBERS:
            schema = _any_of([_number(_NUMBERS[kind], bounds), {"$ref": "#/$defs/interpolated"}])
        elif origin is Literal:
            schema = _words(inside)
        elif origin in UNIONS:
            schema = _any_of([self.of(one, bounds, key) for one in inside])
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
"""Defaults that nobody wants an editor to write; a section's are those of its own keys."""
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


def _text(bounds: Bounds) -> Schema:
    """Text as typed. Its bounds are for what `${...}` comes to, so they hold only where there is none."""
    if bounds.choices:
        return _words(bounds.choices)
    pattern = bounds.pattern if bounds.pattern and "(?P" not in bounds.pattern else None
    asked = _with({}, minLength=bounds.min_length, maxLength=bounds.max_length, pattern=pattern)
    text: Schema = {"$ref": "#/$defs/text"}
    return {**text, "anyOf": [asked, {"$ref": "#/$defs/interpolated"}]} if asked else text


def _words(words: tuple[Any, ...]) -> Schema:
    """Fixed words, in quotes or as YAML reads them without."""
    written = [str(word) for word in words]
    read = [value for word in written if not isinstance(value := free(word), str)]
    return _any_of([{"enum": [*written, *read]}, {"$ref": "#/$defs/interpolated"}])


def _with(schema: Schema, **keywords: Any) -> Schema:
    return schema | {name: value for name, value in keywords.items() if value is not None}


def _any_of(schemas: list[Schema]) -> Schema:
    """Whichever fits; each alternative once."""
    flat: list[Schema] = []
    for schema in schemas:
        for one in schema["anyOf"] if set(schema) == {"anyOf"} else [schema]:
            if one not in flat:
                flat.append(one)
    return {"anyOf": flat}


def _path(_schemas: Schemas, _key: str) -> Schema:
    return _text(Bounds(min_length=1))


def _when_rules(_schemas: Schemas) -> list[Schema]:
    """A list of patterns has at least one."""
    listed = {"minItems": 1}
    keys = {one.name: listed for one in describe(WhenSection).fields}
    return [{"properties": {**keys, "variables": {"additionalProperties": listed}}}]


def _route_rules(_schemas: Schemas) -> list[Schema]:
    """It leads to a pipeline or to several, and no weight is nothing."""
    return [
        {"anyOf": [{"required": ["pipeline"]}, {"required": ["split"]}]},
        {"if": {"required": ["pipeline"]}, "then": {"properties": {"split": False}}},
        {"properties": {"split": {"minProperties": 1, "additionalProperties": {"exclusiveMinimum": 0}}}},
    ]


def _set_rules(schemas: Schemas) -> list[Schema]:
    """There is a pipeline, the active one if none is named, and no component takes an adapter's name."""
    (active,) = (one.default for one in describe(SetFile).fields if one.name == "active_pipeline")
    names = {"not": {"enum": list(schemas.registry.names())}}
    tools = {"pattern": f"^{NAME.pattern}$", "not": {"enum": list(TOOLS)}}
    return [
        {
            "properties": {
                "pipelines": {"minProperties": 1},
                "components": {"propertyNames": names},
                "tools": {"propertyNames": tools},
            }
        },
        {
            "if": {"not": {"required": ["active_pipeline"]}},
            "then": {"properties": {"pipelines": {"required": [active]}}},
        },
    ]


def _layer(settings: type[Any], schemas: Schemas, _key: str) -> Schema:
    return schemas.mapping(settings)


_SPECIAL: Mapping[Any, Callable[[Schemas, str], Schema]] = {
    Any: lambda _schemas, _key: {},
    bool: lambda _schemas, _key: _any_of([{"type": "boolean"}, {"$ref": "#/$defs/interpolated"}]),
    NoneType: lambda _schemas, _key: {"type": "null"},
    File: _path,
    CaFile: _path,
    Directory: _path,
    ToolName: lambda _schemas, _key: {"anyOf": [{"enum": list(TOOLS)}, {"$ref": "#/$defs/text"}]},
    ArgumentsSchema: lambda _schemas, _key: ARGUMENTS_SCHEMA,
    Alternatives: reference,
    Definition: lambda schemas, _key: component(schemas),
    Layer: lambda _schemas, _key: {"type": "object"},
    **{layer: partial(_layer, settings) for layer, settings in LAYERED.values()},
}
"""Types that mean more than their Python type says; the counterpart of the hooks in `load`."""

_RULES: Mapping[type, Callable[[Schemas], list[Schema]]] = {
    SetFile: _set_rules,
    PipelineSection: pipeline_rules,
    RouteSection: _route_rules,
    WhenSection: _when_rules,
}
"""What holds between the keys of a section."""
