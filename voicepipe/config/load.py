"""Loads a pipeline set's file as a `SetConfig`, or raises every problem at once."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve, frozen

from voicepipe.components.labels import ROLES
from voicepipe.components.registry import Registry, installed
from voicepipe.components.values import CaFile, Directory, File, Secret
from voicepipe.config.files import Files, Unreadable
from voicepipe.config.identity import sha256_of, written
from voicepipe.config.reading import read_ca_file, read_directory, read_file, read_secret
from voicepipe.config.references import REFERENCE, SetContext, check_components, read_reference, set_context
from voicepipe.config.resolved import ResolvedReference
from voicepipe.config.routes import check_routes, routes_of
from voicepipe.config.sections import LAYERED, Definition, Layer, PipelineSection, PromptFile, SetFile, ToolName
from voicepipe.config.settings import TOOLS, PipelineSettings, SetConfig
from voicepipe.config.tools import check_tools, read_arguments_schema, read_tool_name
from voicepipe.documents import Cursor, Refused, converter_with, did_you_mean, entries_of, parse_document
from voicepipe.documents.nodes import MappingNode, Node
from voicepipe.errors import ConfigError, Location, Problem
from voicepipe.tools.settings import ArgumentsSchema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from voicepipe.components.secrets import Secrets


@frozen
class PlacedConfig:
    """A configuration with the file's sections and places that it was made from."""

    config: SetConfig
    """The configuration that a set serves."""
    file: SetFile
    """Section by section; a component's options know where each of them stands."""
    root: Cursor
    """The whole document."""


def load_config(
    path: Path,
    *,
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
    tools: Iterable[str] = (),
    contents: Mapping[Path, bytes] | None = None,
) -> SetConfig:
    """Returns the configuration of a pipeline set's file, with its files read and its secrets resolved.

    Opens no component. Blocks for as long as reading and parsing take: about a second for 1,000 pipelines.

    Args:
        path: the YAML file; messages name it so.
        registry: the adapters that it may name; None: the installed ones.
        environ: for `${NAME}`; None: the process's own.
        tools: names that `tools:` may have besides the built-in ones.
        contents: files by absolute path that are as given here, whatever is on the disk.

    Raises:
        ConfigError: with every problem of the file and of the files it names.

    """
    return load_with_places(path, registry=registry, environ=environ, tools=tools, contents=contents).config


def load_with_places(
    path: Path,
    *,
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
    tools: Iterable[str] = (),
    contents: Mapping[Path, bytes] | None = None,
) -> PlacedConfig:
    """Returns the configuration as `load_config` does, with the sections and cursors that it was made from."""
    placed, _ = _loaded(path, registry, environ, tools, contents=contents)
    if placed is None:
        raise AssertionError("the configuration was refused without a problem")
    return placed


@frozen
class Presumed:
    """A configuration of which not everything was at hand."""

    placed: PlacedConfig | None
    """With the text of a `${...}` where its value belongs; None if that leaves too much open."""
    missing: tuple[str, ...]
    """The references that could not be resolved, as they are written."""


def load_without_secrets(
    path: Path,
    *,
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
    tools: Iterable[str] = (),
) -> Presumed:
    """Loads a file in which variables may be unset, and files of `${file:}` absent.

    For checks in a place that has no secrets. Nothing else is loosened, but an adapter doesn't check a component of
    which an option must be there and isn't, unless it is text.

    Raises:
        ConfigError: with every other problem.

    """
    return Presumed(*_loaded(path, registry, environ, tools, allow_missing=True))


def _loaded(
    path: Path,
    registry: Registry | None,
    environ: Mapping[str, str] | None,
    tools: Iterable[str],
    *,
    contents: Mapping[Path, bytes] | None = None,
    allow_missing: bool = False,
) -> tuple[PlacedConfig | None, tuple[str, ...]]:
    """The configuration and what it lacks; None instead of it if there is too much of that, and nothing else wrong."""
    path = Path(path)
    try:
        files = Files(path, contents)
        content = files.configuration()
    except Unreadable as error:
        there = [name for name in error.names if name.endswith((".yaml", ".yml"))]
        hint = error.hint or did_you_mean(path.name, there, "YAML files in that directory")
        raise ConfigError([Problem(Location(path), "", f"the file {error}", hint)]) from None
    document = parse_document(content, path)
    context = _FileContext(
        document.source,
        registry=installed() if registry is None else registry,
        environ=os.environ if environ is None else environ,
        files=files,
        tools=(*TOOLS, *tools),
        allow_missing=allow_missing,
    )
    try:
        return document.structure(PlacedConfig, context), tuple(context.missing)
    except ConfigError as error:
        if context.missing and not error.problems:
            return None, tuple(context.missing)
        raise ConfigError(error.problems, (files.absolute, *files.paths)) from None
    finally:
        context.clear()


def _read_config(root: Cursor, _: Any) -> PlacedConfig:
    """The whole file; what is wrong in one section keeps no other from being looked at."""
    context = set_context(root)
    entries = root.entries()
    components, pipelines = (entries_of(entries.get(name)) for name in ("components", "pipelines"))
    context.components.update(components)
    own, context.tools = context.tools, tuple(dict.fromkeys((*context.tools, *entries_of(entries.get("tools")))))
    try:
        file = root.read(SetFile)
    finally:
        check_components(context)
        check_tools(entries.get("tools"), own)
        _check_active(root, entries, pipelines)
        at = entries.get("pipelines")
        check_routes(entries.get("routes"), pipelines if at and at.sound else ())
    if context.problems:
        raise Refused
    return PlacedConfig(_assembled(root, file), file, root)


def _check_active(root: Cursor, entries: Mapping[str, Cursor], pipelines: Mapping[str, Cursor]) -> None:
    """Reports a set without pipelines, or one whose active pipeline is none of them."""
    at, active = entries.get("pipelines"), entries.get("active_pipeline")
    if at is None or not isinstance(at.node, MappingNode):
        return
    if not pipelines:
        at.report("there are no pipelines", "a pipeline is a name, and below it `stt:`, `llm:` and `tts:`")
    elif active is None:
        if "default" not in pipelines:
            hint = f"add `active_pipeline:` with one of {', '.join(pipelines)}"
            message = 'is not set, and there is no pipeline "default"'
            root.report(message, hint, where=at.head, key="active_pipeline")
    else:
        try:
            name = str(active.trial().text())
        except Refused:
            return
        if name not in pipelines:
            active.report(f"there is no pipeline {active.given}", did_you_mean(name, pipelines, "pipelines"))


def _assembled(root: Cursor, file: SetFile) -> SetConfig:
    context = set_context(root)
    nodes = {name: cursor.node for name, cursor in root.entries().items()}
    cursors = entries_of(root.entries().get("pipelines"))
    pipelines: dict[str, PipelineSettings] = {}
    normal: dict[str, Any] = {}
    for name, section in file.pipelines.items():
        layered: dict[str, Any] = {}
        layered_nodes: dict[str, Node | None] = {}
        for key, (_, settings) in LAYERED.items():
            whole_of, node, layer = getattr(file, key), nodes.get(key), getattr(section, key)
            if layer:
                node = _laid_over(node, layer.cursor.node)
                whole_of = Cursor(context, node, cursors[name], key).read(settings)
            layered[key], layered_nodes[key] = whole_of, node
        if (recorded := layered["recording"]).directory:
            beside = context.files.absolute.parent / recorded.directory
            layered["recording"] = evolve(recorded, directory=str(beside))
        pipelines[name] = _pipeline(name, section, file, layered, context.secrets)
        of = {key: cursor.node for key, cursor in cursors[name].entries().items()}
        own = {key: written(getattr(section, key), of.get(key)) for key in _OWN}
        roles = {role: [one.written for one in getattr(section, role).components] for role in ROLES}
        normal[name] = own | roles | {key: written(layered[key], layered_nodes[key]) for key in LAYERED}
    routes = routes_of(file.routes, root.entries().get("routes"))
    shared = {key: written(getattr(file, key), nodes.get(key)) for key in _SHARED}
    whole = shared | {"pipelines": normal}
    return SetConfig(
        path=context.source.name,
        digest=sha256_of(whole),
        active_pipeline=str(file.active_pipeline),
        pipelines=pipelines,
        logging=file.logging,
        files=(context.files.absolute, *context.files.paths),
        sources=context.files.sources,
        routes=routes,
        written=pickle.dumps(whole),  # few need it, and from a helper process it comes at no cost to calls
    )


_OWN = ("prompt", "greeting", "tools", "selectable", "on_failure", "keys")
_SHARED = ("active_pipeline", "routes", "tools", "streaming", "limits", "logging")


def _pipeline(
    name: str, section: PipelineSection, file: SetFile, layered: Mapping[str, Any], secrets: Secrets
) -> PipelineSettings:
    stt, llm, tts = (tuple(one.settings for one in getattr(section, role).components) for role in ROLES)
    return PipelineSettings(
        name=name,
        stt=stt,
        llm=llm,
        tts=tts,
        prompt=section.prompt.text if isinstance(section.prompt, PromptFile) else section.prompt,
        greeting=section.greeting,
        tools=tuple(map(str, section.tools)),
        declared={str(name): file.tools[name] for name in section.tools if name in file.tools},
        selectable=section.selectable,
        on_failure=section.on_failure,
        keys=section.keys,
        **layered,
        streaming=file.streaming,
        limits=file.limits,
        secrets=secrets,
    )


def _laid_over(base: Node | None, over: Node) -> Node:
    """One mapping laid over another, level by level; what is no mapping is replaced."""
    if not isinstance(base, MappingNode) or not isinstance(over, MappingNode):
        return over
    entries = dict(base.entries)
    for name, (key, node) in over.entries.items():
        entries[name] = (key, _laid_over(entries[name][1], node) if name in entries else node)
    return MappingNode(entries, over.line, over.column)


def _read_definition(cursor: Cursor, _: Any) -> Definition:
    return Definition(cursor)


def _read_layer(cursor: Cursor, _: Any) -> Layer:
    cursor.entries()
    return Layer(cursor)


def _layer_reader(layer: type[Layer], settings: type[Any]) -> Callable[[Cursor, Any], Layer]:
    def reader(cursor: Cursor, _: Any) -> Layer:
        cursor.read(settings)
        return layer(cursor)

    return reader


class _FileContext(SetContext):
    converter = converter_with(
        {
            PlacedConfig: _read_config,
            ResolvedReference: read_reference,
            Definition: _read_definition,
            Layer: _read_layer,
            **{layer: _layer_reader(layer, settings) for layer, settings in LAYERED.values()},
            ToolName: read_tool_name,
            ArgumentsSchema: read_arguments_schema,
            Secret: read_secret,
            File: read_file,
            CaFile: read_ca_file,
            Directory: read_directory,
        }
    )
    nouns: ClassVar[Mapping[Any, str]] = {
        **SetContext.nouns,
        ResolvedReference: REFERENCE,
        ToolName: "a tool's name",
        ArgumentsSchema: "a mapping, JSON Schema of an object",
        Layer: "a mapping",
        **{layer: "a mapping" for layer, _ in LAYERED.values()},
    }
