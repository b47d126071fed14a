"""The JSON Schema of a program's own YAML file, as `ConfigDocument.structure` reads it, for editors.

What a schema can't say is left to the program's check: whether names and files are there, and what `check` of a type
finds. The dialect is that of `json_schema`.
"""

from __future__ import annotations

from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any

from voicepipe.components.registry import Registry
from voicepipe.components.values import CaFile, Directory, File
from voicepipe.config.describe.json_schema import DIALECT
from voicepipe.config.describe.json_schema_types import Schema, Schemas, Specials, any_of, path_schema

if TYPE_CHECKING:
    from voicepipe.config.typed_sections import TypedSection

_SPECIAL: Specials = {
    Any: lambda _schemas, _key: {},
    bool: lambda _schemas, _key: any_of([{"type": "boolean"}, {"$ref": "#/$defs/interpolated"}]),
    NoneType: lambda _schemas, _key: {"type": "null"},
    **dict.fromkeys((File, CaFile, Directory, Path), path_schema),
}


def document_schema(cls: type[Any], title: str, typed: TypedSection | None = None) -> Schema:
    """Returns the schema as plain data, ready for `json.dumps`.

    Args:
        cls: the class of the whole document.
        title: the schema's title.
        typed: as in `ConfigDocument.structure`.

    Raises:
        TypeError: a field has a type that no YAML document can hold.

    """
    special = dict(_SPECIAL)
    if typed is not None:
        special[typed.section] = lambda schemas, _key: _typed(schemas, typed)
    schemas = Schemas(Registry(), special, {})
    root = schemas.mapping(cls)
    return {"$schema": DIALECT, "title": title, **root, "$defs": schemas.defs}


def _typed(schemas: Schemas, typed: TypedSection) -> Schema:
    """Returns the schema of a mapping whose `type` decides on the keys beside the common ones."""
    schema = schemas.mapping(typed.keys)
    common: Schema = schema["properties"]
    default = common["type"].get("default")
    common["type"] |= any_of([{"enum": list(typed.types.names())}, {"$ref": "#/$defs/interpolated"}])
    del schema["additionalProperties"]
    schema["allOf"] = [
        _options(schemas, typed, name, common, is_default=name == default) for name in typed.types.names()
    ]
    return schema


def _options(schemas: Schemas, typed: TypedSection, name: str, common: Schema, *, is_default: bool) -> Schema:
    """Returns the rule for the options of one type, which also holds without a `type` for the default one."""
    chosen = typed.types.get(name)
    options = schemas.mapping(chosen.options) if chosen is not None else {}
    named: Schema = {"properties": {"type": {"const": name}}}
    if not is_default:
        named["required"] = ["type"]
    then = options | {"properties": {**dict.fromkeys(common, True), **options.get("properties", {})}}
    return {"if": named, "then": then}
