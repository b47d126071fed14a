"""The schema of references: what may stand after `stt:`, `llm:` or `tts:`, and of options laid over them.

A schema can't follow a component's name, so what hangs on that (its role, its options) is left to
`voicepipe check`. Options of adapters that stand in the pipeline itself are known to the last key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from voicepipe.components.labels import ROLES
from voicepipe.config.describe.fields import describe

if TYPE_CHECKING:
    from voicepipe.components.labels import Role
    from voicepipe.components.registry import Adapter
    from voicepipe.config.describe.json_schema_types import Schemas

Schema: TypeAlias = dict[str, Any]


def reference(schemas: Schemas, role: str) -> Schema:
    """A pipeline's reference for a role; options that it must have may also be laid over it."""
    (of,) = (one for one in ROLES if one == role)
    return _reference(schemas, (of,), whole=False)


def component(schemas: Schemas) -> Schema:
    """Returns the schema of a value under `components:`: a reference for any role."""
    return _reference(schemas, ROLES, whole=False)


def pipeline_rules(schemas: Schemas) -> list[Schema]:
    """Returns the rules between the references of a pipeline and its `options`."""
    return [rule for role in ROLES for rule in _role_rules(schemas, role)]


def _role_rules(schemas: Schemas, role: Role) -> list[Schema]:
    """Without options laid over it, a reference has all it must have; those laid over one are its adapter's."""
    laid_over = {"required": ["options"], "properties": {"options": _has(role, {"type": "object"})}}
    adapters = [one for one in schemas.registry if one.role == role]
    options = [_options(schemas, one) for one in adapters]
    rules: list[Schema] = [
        {"if": laid_over, "else": {"properties": {role: _reference(schemas, (role,), whole=True)}}},
        {"if": _has(role, {"type": "array"}), "then": _over(role, {"type": "null"})},
        {
            "if": _has(role, {"not": {"anyOf": [{"type": "array"}, *map(_names, adapters)]}}),
            "then": _over(role, {"anyOf": [{"type": "null"}, *options]}),
        },
    ]
    for adapter, known in zip(adapters, options, strict=True):
        then: Schema = _over(role, known)
        if required := _required(adapter):
            either = [
                {"anyOf": [_has(role, {"type": "object", "required": [name]}), _over(role, {"required": [name]})]}
                for name in required
            ]
            then["allOf"] = [{"if": laid_over, "then": {"allOf": either}}]
        rules.append({"if": _has(role, _names(adapter)), "then": then})
    return rules


def _has(key: str, value: Schema) -> Schema:
    """A mapping with that key."""
    return {"required": [key], "properties": {key: value}}


def _over(role: Role, value: Schema) -> Schema:
    """A pipeline whose `options` for that role, if there are any, are such."""
    return {"properties": {"options": {"properties": {role: value}}}}


def _names(adapter: Adapter[Any]) -> Schema:
    """A reference that names an adapter itself."""
    return {"anyOf": [{"const": adapter.name}, {"type": "object", **_has("type", {"const": adapter.name})}]}


def _reference(schemas: Schemas, roles: tuple[Role, ...], *, whole: bool) -> Schema:
    """A name, a mapping with `type:`, or a list of those; `whole`: with all options that it must have."""
    name = f"{roles[0] if len(roles) == 1 else 'component'}-{'whole' if whole else 'reference'}"
    adapters = [one for one in schemas.registry if one.role in roles]

    def make() -> Schema:
        fitting = {one.name for one in adapters}
        alone = {one.name for one in adapters if not (whole and _required(one))}
        schema: Schema = {
            "anyOf": [
                *([{"enum": sorted(alone)}] if alone else []),
                {"$ref": "#/$defs/text"},
                _inline(schemas, adapters, whole=whole),
                {"type": "array", "minItems": 1, "items": _reference(schemas, roles, whole=True)},
            ]
        }
        others = {*schemas.registry.names()} - fitting
        rules = [
            *(_not_alone(other, f"{other} is not an adapter for {roles[0]}") for other in sorted(others)),
            *(
                _not_alone(one.name, f"{one.name} needs options: {{type: {one.name}, {_required(one)[0]}: ...}}")
                for one in adapters
                if one.name not in alone
            ),
        ]
        return schema | ({"allOf": rules} if rules else {})

    return schemas.define(name, make)


def _not_alone(name: str, message: str) -> Schema:
    """A name that can't stand by itself. To say why, `errorMessage` is an extension of the editors' own."""
    return {"if": {"const": name}, "then": {"type": "object", "errorMessage": message}}


def _inline(schemas: Schemas, adapters: list[Adapter[Any]], *, whole: bool) -> Schema:
    """A mapping with `type:` and that adapter's options; where the type is a `${...}`, with any."""
    names = sorted({one.name for one in adapters})
    schema: Schema = {
        "type": "object",
        "required": ["type"],
        "properties": {
            "type": {
                "anyOf": [{"enum": names}, {"$ref": "#/$defs/interpolated"}],
                "description": "An adapter's name; the keys beside it are that adapter's options.",
            }
        },
    }
    rules: list[Schema] = []
    for name in names:
        fitting = [_typed(schemas, one, whole=whole) for one in adapters if one.name == name]
        then = fitting[0] if len(fitting) == 1 else {"anyOf": fitting}
        rules.append({"if": _has("type", {"const": name}), "then": then})
    return schema | ({"allOf": rules} if rules else {})


def _typed(schemas: Schemas, adapter: Adapter[Any], *, whole: bool) -> Schema:
    """An adapter's options with `type:` beside them."""
    options = _options(schemas, adapter)
    name = f"{adapter.role}-{adapter.name}"

    def make() -> Schema:
        schema = schemas.defs[name]
        properties = {key: {"$ref": f"{options['$ref']}/properties/{key}"} for key in schema["properties"]}
        return schema | {"type": "object", "properties": {"type": {"const": adapter.name}, **properties}}

    typed = schemas.define(f"{name}-typed", make)
    required = _required(adapter)
    return {**typed, "required": required} if whole and required else typed


def _options(schemas: Schemas, adapter: Adapter[Any]) -> Schema:
    """An adapter's options alone, as they are laid over a reference; null is none."""

    def make() -> Schema:
        schema = schemas.mapping(adapter.options)
        schema.pop("required", None)
        return schema | {"type": ["object", "null"]}

    return schemas.define(f"{adapter.role}-{adapter.name}", make)


def _required(adapter: Adapter[Any]) -> list[str]:
    return [one.name for one in describe(adapter.options).fields if one.required]
