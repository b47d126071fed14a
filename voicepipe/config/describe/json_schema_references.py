"""The schema of references, the values of `stt:`, `llm:` and `tts:`, and of the options laid over them.

A schema can't follow the name of a component, so its role and its options are left to `voicepipe check`. The options of
adapters that a pipeline names itself are described completely.
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
    """Returns the schema of a pipeline's reference; options that it must have may also be laid over it."""
    (known,) = (name for name in ROLES if name == role)
    return _reference(schemas, (known,), whole=False)


def component(schemas: Schemas) -> Schema:
    """Returns the schema of a value under `components:`: a reference for any role."""
    return _reference(schemas, ROLES, whole=False)


def pipeline_rules(schemas: Schemas) -> list[Schema]:
    """Returns the rules between the references of a pipeline and its `options`."""
    return [rule for role in ROLES for rule in _role_rules(schemas, role)]


def _role_rules(schemas: Schemas, role: Role) -> list[Schema]:
    """Returns the rules of a role: options laid over a reference are its adapter's; without them it is complete."""
    laid_over = {"required": ["options"], "properties": {"options": _has(role, {"type": "object"})}}
    adapters = [adapter for adapter in schemas.registry if adapter.role == role]
    options = [_options(schemas, adapter) for adapter in adapters]
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
    """Returns the schema of a mapping with a key."""
    return {"required": [key], "properties": {key: value}}


def _over(role: Role, value: Schema) -> Schema:
    """Returns the schema of a pipeline whose `options` for a role, if there are any, have a schema."""
    return {"properties": {"options": {"properties": {role: value}}}}


def _names(adapter: Adapter[Any]) -> Schema:
    """Returns the schema of a reference that names an adapter itself."""
    return {"anyOf": [{"const": adapter.name}, {"type": "object", **_has("type", {"const": adapter.name})}]}


def _reference(schemas: Schemas, roles: tuple[Role, ...], *, whole: bool) -> Schema:
    """Returns the schema of a name, a mapping with `type:`, or a list of those.

    Args:
        schemas: the schemas so far.
        roles: the roles that the reference may have.
        whole: whether all required options must be there.

    """
    name = f"{roles[0] if len(roles) == 1 else 'component'}-{'whole' if whole else 'reference'}"
    adapters = [adapter for adapter in schemas.registry if adapter.role in roles]

    def make() -> Schema:
        fitting = {adapter.name for adapter in adapters}
        alone = {adapter.name for adapter in adapters if not (whole and _required(adapter))}
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
                _not_alone(
                    adapter.name,
                    f"{adapter.name} needs options: {{type: {adapter.name}, {_required(adapter)[0]}: ...}}",
                )
                for adapter in adapters
                if adapter.name not in alone
            ),
        ]
        return schema | ({"allOf": rules} if rules else {})

    return schemas.define(name, make)


def _not_alone(name: str, message: str) -> Schema:
    """Returns a rule against a name by itself; editors show its `errorMessage`, an extension of theirs."""
    return {"if": {"const": name}, "then": {"type": "object", "errorMessage": message}}


def _inline(schemas: Schemas, adapters: list[Adapter[Any]], *, whole: bool) -> Schema:
    """Returns the schema of a mapping with `type:` and that adapter's options; any if it is a `${...}`."""
    names = sorted({adapter.name for adapter in adapters})
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
        fitting = [_typed(schemas, adapter, whole=whole) for adapter in adapters if adapter.name == name]
        then = fitting[0] if len(fitting) == 1 else {"anyOf": fitting}
        rules.append({"if": _has("type", {"const": name}), "then": then})
    return schema | ({"allOf": rules} if rules else {})


def _typed(schemas: Schemas, adapter: Adapter[Any], *, whole: bool) -> Schema:
    """Returns the schema of an adapter's options with `type:` beside them."""
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
    """Returns the schema of an adapter's options alone, as they are laid over a reference; null: none."""

    def make() -> Schema:
        schema = schemas.mapping(adapter.options)
        schema.pop("required", None)
        return schema | {"type": ["object", "null"]}

    return schemas.define(f"{adapter.role}-{adapter.name}", make)


def _required(adapter: Adapter[Any]) -> list[str]:
    return [field.name for field in describe(adapter.options).fields if field.required]
