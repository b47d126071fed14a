"""The origin of each setting of a pipeline: the default, a component, the pipeline, or the file as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs
from attrs import frozen

from voicepipe.components.labels import ROLES
from voicepipe.components.values import Directory, File, Secret
from voicepipe.config.describe.effective import masked
from voicepipe.config.interpolate import is_literal
from voicepipe.config.sections import LAYERED
from voicepipe.config.settings import ComponentSettings
from voicepipe.documents import entries_of, path_of
from voicepipe.documents.nodes import ScalarNode, SequenceNode
from voicepipe.errors import Location

if TYPE_CHECKING:
    from collections.abc import Iterator

    from voicepipe.config.load import PlacedConfig
    from voicepipe.config.resolved import Resolved
    from voicepipe.documents import Cursor

Origin: TypeAlias = Literal["default", "component", "reference", "options", "pipeline", "file"]
"""The adapter's or section's default; `components`; the pipeline's reference; its `options`; the rest of the pipeline;
the rest of the file."""

_OWN = ("prompt", "greeting", "speaks_first", "tools", "selectable", "on_failure", "keys")


@frozen
class Setting:
    """One setting as it is in effect, and where it was set."""

    path: str
    """The path of the setting in its component or pipeline: `turns.barge_in.min_words`."""
    value: Any
    """Plain data; a secret as it is written, or `***`, and files as they are named."""
    origin: Origin
    """The part of the file that set it, or `default`."""
    source: str
    """The path of the value in the file: `components.house_voice.voice`; empty for a default."""
    where: Location | None
    """Line and column of the value; None for a default."""


@frozen
class ComponentProvenance:
    """One alternative of a role with its options."""

    settings: ComponentSettings
    """The settings that it is opened with."""
    options: tuple[Setting, ...]
    """All of them, in the order of the adapter's options class."""


@frozen
class PipelineProvenance:
    """A pipeline as it is in effect."""

    name: str
    """Its name."""
    where: Location
    """The location of the pipeline in the file."""
    components: tuple[ComponentProvenance, ...]
    """Role by role, in failover order."""
    settings: tuple[Setting, ...]
    """All other settings."""


def provenance_of(placed: PlacedConfig, pipeline: str) -> PipelineProvenance:
    """Returns a pipeline with all its settings, and the origin of each."""
    section, config = placed.file.pipelines[pipeline], placed.config.pipelines[pipeline]
    root = entries_of(placed.root)
    cursor = entries_of(root["pipelines"])[pipeline]
    own = entries_of(cursor)
    components = tuple(_component(resolved) for role in ROLES for resolved in getattr(section, role).components)
    settings = [setting for key in _OWN for setting in _settings(key, getattr(section, key), _given(key, own))]
    for key in LAYERED:
        settings += _settings(key, getattr(config, key), _given(key, root, own))
    tools = entries_of(root["tools"]) if "tools" in root else {}
    for name, tool in config.declared.items():
        settings += _settings(f"tools.{name}", tool, _given(name, tools))
    for key in ("timezone", "streaming", "limits", "logging"):
        settings += _settings(key, getattr(placed.file, key), _given(key, root))
    return PipelineProvenance(pipeline, cursor.key_where, components, tuple(settings))


def as_data(provenance: PipelineProvenance) -> dict[str, Any]:
    """Returns the components and settings of a pipeline as data for JSON."""
    return {
        "components": [
            {
                "role": component.settings.role,
                "name": component.settings.name,
                "adapter": component.settings.adapter,
                "path": component.settings.path,
                **place_as_data(component.settings.where),
                "options": [_setting_as_data(option) for option in component.options],
            }
            for component in provenance.components
        ],
        "settings": [_setting_as_data(setting) for setting in provenance.settings],
    }


def place_as_data(where: Location) -> dict[str, Any]:
    """Returns a place in a file as data for JSON."""
    return {"file": str(where.file), "line": where.line, "column": where.column}


def _setting_as_data(setting: Setting) -> dict[str, Any]:
    data = {"path": setting.path, "value": setting.value, "origin": setting.origin}
    return data | ({"source": setting.source, **place_as_data(setting.where)} if setting.where else {})


def _component(resolved: Resolved) -> ComponentProvenance:
    cursors = resolved.cursor.entries()
    values = _inner(resolved.settings.options).items()
    options = (setting for name, value in values for setting in _settings(name, value, _given(name, cursors)))
    return ComponentProvenance(resolved.settings, tuple(options))


def _settings(path: str, value: Any, cursors: list[Cursor]) -> Iterator[Setting]:
    """Yields a setting, or those below it; a later cursor is laid over an earlier one."""
    if _is_section(value) and (inner := _inner(value)):
        for name, item in inner.items():
            yield from _settings(f"{path}.{name}", item, _given(name, *map(entries_of, cursors)))
        return
    cursor = cursors[-1] if cursors else None
    shown = _shown(path.rpartition(".")[2], value, cursor)
    if cursor is None:
        yield Setting(path, shown, "default", "", None)
    else:
        yield Setting(path, shown, _origin(cursor.keys), path_of(cursor.keys), cursor.where)


def _given(name: str, *entries: Mapping[str, Cursor]) -> list[Cursor]:
    return [cursors[name] for cursors in entries if name in cursors]


def _origin(keys: tuple[str | int, ...]) -> Origin:
    match keys:
        case ("components", *_):
            return "component"
        case ("pipelines", _, "options", *_):
            return "options"
        case ("pipelines", _, role, *_) if role in ROLES:
            return "reference"
        case ("pipelines", *_):
            return "pipeline"
    return "file"


def _shown(name: str, value: Any, cursor: Cursor | None) -> Any:
    """Returns a value as plain data without secrets."""
    if isinstance(value, tuple):
        items = cursor.items() if cursor and isinstance(cursor.node, SequenceNode) else [None] * len(value)
        return [_shown(name, item, at) for item, at in zip(value, items, strict=True)]
    if _is_section(value):
        entries = entries_of(cursor) if cursor else {}
        return {key: _shown(key, item, entries.get(key)) for key, item in _inner(value).items()}
    node = cursor.node if cursor else None
    if isinstance(node, ScalarNode) and (isinstance(value, File | Directory) or not is_literal(node.text)):
        return node.text
    if isinstance(value, Secret):
        return value.source
    if isinstance(value, str):
        return masked(name, str(value))
    return str(value) if isinstance(value, File | Directory) else value


def _is_section(value: Any) -> bool:
    return isinstance(value, Mapping) or (attrs.has(type(value)) and not isinstance(value, File | Directory))


def _inner(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    return {field.name: getattr(value, field.name) for field in attrs.fields(type(value))}
