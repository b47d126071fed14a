"""The JSON Schema of a pipeline set's file, for editors: completion, descriptions, and most mistakes as they are typed.

It is made from the same classes that the file is structured to, and from the options of the adapters given. What
a schema can't say is left to `voicepipe check`: whether names, files, tools and secrets are there, and how numbers
are written. It sees values as YAML 1.2's core schema reads them, so a text field admits numbers and booleans.

The dialect is 2020-12, but apart from `$defs` only with keywords that draft 7 has: many editors know no more.
"""

from __future__ import annotations

from functools import partial
from types import NoneType
from typing import Any

from voicepipe.components.registry import Registry, installed
from voicepipe.components.values import CaFile, Directory, File
from voicepipe.config.describe.fields import describe
from voicepipe.config.describe.json_schema_references import component, pipeline_rules, reference
from voicepipe.config.describe.json_schema_types import Rules, Schema, Schemas, Specials, any_of, path_schema
from voicepipe.config.redact_settings import PrivatePattern
from voicepipe.config.resolved import ResolvedReference
from voicepipe.config.sections import (
    LAYERED,
    Definition,
    Layer,
    PipelineSection,
    RouteSection,
    SetFile,
    ToolName,
    WhenSection,
)
from voicepipe.config.settings import TOOLS
from voicepipe.config.timezones import TimeZone
from voicepipe.tools.settings import ARGUMENTS_SCHEMA, NAME, ArgumentsSchema

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(registry: Registry | None = None) -> Schema:
    """Returns the schema as plain data, ready for `json.dumps`.

    Args:
        registry: the adapters that files may name; None: the installed ones.

    Raises:
        TypeError: a field of an options or settings class has a type that no YAML document can hold.

    """
    schemas = Schemas(installed() if registry is None else registry, _SPECIAL, _RULES)
    root = schemas.mapping(SetFile)
    return {"$schema": DIALECT, "title": "Pipelines of voicepipe", **root, "$defs": schemas.defs}


def _when_rules(_schemas: Schemas) -> list[Schema]:
    """Returns the rule that a list of patterns is not empty."""
    listed = {"minItems": 1}
    keys = {field.name: listed for field in describe(WhenSection).fields}
    return [{"properties": {**keys, "variables": {"additionalProperties": listed}}}]


def _route_rules(_schemas: Schemas) -> list[Schema]:
    """Returns the rules that a route has either `pipeline` or `split`, and that weights are more than 0."""
    return [
        {"anyOf": [{"required": ["pipeline"]}, {"required": ["split"]}]},
        {"if": {"required": ["pipeline"]}, "then": {"properties": {"split": False}}},
        {"properties": {"split": {"minProperties": 1, "additionalProperties": {"exclusiveMinimum": 0}}}},
    ]


def _set_rules(schemas: Schemas) -> list[Schema]:
    """Returns the rules for names: there is a pipeline, the default one unless another is active; no name is taken."""
    (active,) = (field.default for field in describe(SetFile).fields if field.name == "active_pipeline")
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


_SPECIAL: Specials = {
    Any: lambda _schemas, _key: {},
    bool: lambda _schemas, _key: any_of([{"type": "boolean"}, {"$ref": "#/$defs/interpolated"}]),
    NoneType: lambda _schemas, _key: {"type": "null"},
    File: path_schema,
    CaFile: path_schema,
    Directory: path_schema,
    ToolName: lambda _schemas, _key: {"anyOf": [{"enum": list(TOOLS)}, {"$ref": "#/$defs/text"}]},
    TimeZone: path_schema,
    PrivatePattern: path_schema,
    ArgumentsSchema: lambda _schemas, _key: ARGUMENTS_SCHEMA,
    ResolvedReference: reference,
    Definition: lambda schemas, _key: component(schemas),
    Layer: lambda _schemas, _key: {"type": "object"},
    **{layer: partial(_layer, settings) for layer, settings in LAYERED.values()},
}
"""Schemas of types that mean more than the Python type says; `load` has readers for the same types."""

_RULES: Rules = {
    SetFile: _set_rules,
    PipelineSection: pipeline_rules,
    RouteSection: _route_rules,
    WhenSection: _when_rules,
}
"""Rules between the keys of a section."""
