"""Loads a pipeline set's file as a `SetConfig`, or raises every problem at once.

Theory of operation
===================

`voicepipe check`, a start and a reload all come through `_loaded`, so a file that one of them accepts is accepted by
the others. It opens no component and makes no connection. It blocks, so it runs in a thread or, while calls are up, in
a helper process (`pipelines/read_in_helper.py`).

*Files.* One `Files` reads the YAML and everything that it names (prompts, scripts, secrets, models), each once. A file
that is being replaced meanwhile is therefore one and the same for all pipelines that name it.

*Reading.* `parse_document` makes nodes of the YAML, and `_read_config` reads them as a `SetFile`: the classes in
`sections.py`, whose types, validators and docstrings are also the documentation. The head of `documents/reading.py`
explains cursors, contexts and readers. `_FileContext` adds the readers of what only this file has: references, layers,
tools, secrets and files.

*Checks across sections* follow: components that nobody uses, tools, the active pipeline, routes. They run even if
sections were refused, so that one report has all problems. What has the wrong type has been reported by then, so they
look at values in trials, and pass over what can't be read.

*Layers.* A pipeline may have a section of its own (`LAYERED`), such as `turns`, which overrides the file's key by key.
It is read twice. First alone, for its own mistakes. Then, in `_assembled`, its *nodes* are laid over the file's nodes,
and the result is read as the whole section: defaults fill in what neither has, validators judge the combination, and
each problem still has the place where its value was written.

*Assembling* happens only if there is no problem: sections become `PipelineSettings`, with their layers applied, their
references resolved, and relative paths made absolute.

*Digest.* Beside the values, `_assembled` makes their normal form: plain data with all defaults filled in, references
resolved, files by their hashes, and secrets as they are written (`identity.py`). Its SHA-256 is the digest. So
comments, the order of keys and a default that is written out change no digest. A secret's new value doesn't either,
which is why a reload compares the settings as well.

*Missing secrets.* `load_without_secrets` accepts variables that are not set, for a check in CI. The text of such a
`${NAME}` takes the place of its value, and no type or validator judges it. Where it stands for something that must be
known, such as the name of a pipeline, there is no configuration (`Presumed.placed` is None), and no problem either.

*Failure.* `ConfigError` has all problems and the paths of all files that were read or looked for, so that a watcher
notices when a missing file appears.
"""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import evolve, frozen

from voicepipe.components.labels import ROLES
from voicepipe.components.registry import Registry, installed
from voicepipe.components.values import CaFile, Directory, File, Secret
from voicepipe.config.alternatives import REFERENCE
from voicepipe.config.files import Files, Unreadable
from voicepipe.config.identity import sha256_of, written
from voicepipe.config.price_warnings import price_warnings
from voicepipe.config.reading import read_ca_file, read_directory, read_file, read_secret
from voicepipe.config.redact_settings import PrivatePattern, read_pattern
from voicepipe.config.references import check_components, read_reference
from voicepipe.config.resolved import ResolvedReference
from voicepipe.config.routes import check_routes, routes_of
from voicepipe.config.sections import LAYERED, Definition, Layer, PipelineSection, PromptFile, SetFile, ToolName
from voicepipe.config.set_context import SetContext, set_context
from voicepipe.config.settings import TOOLS, PipelineSettings, SetConfig
from voicepipe.config.texts import check_consent, check_texts
from voicepipe.config.timezones import TimeZone, read_timezone
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
    """A configuration with the sections and cursors that it was made from, for tools that show places."""

    config: SetConfig
    """The configuration."""
    file: SetFile
    """The sections of the file; the components in them have cursors of their options."""
    root: Cursor
    """The cursor of the whole document."""


def load_config(
    path: Path,
    *,
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
    tools: Iterable[str] = (),
    contents: Mapping[Path, bytes] | None = None,
    allow_missing: bool = False,
) -> SetConfig:
    """Returns the configuration of a pipeline set's file, with its files read and its secrets resolved.

    Opens no component. Blocks for as long as reading and parsing take: about a second for 1,000 pipelines.

    Args:
        path: the YAML file, as messages are to name it.
        registry: the adapters that it may name; None: the installed ones.
        environ: the variables for `${NAME}`; None: the process's environment.
        tools: names that `tools:` may have besides the built-in ones.
        contents: contents of files by absolute path, which replace those on the disk.
        allow_missing: whether variables of `${NAME}` may be unset here, and files of `${file:...}` absent; the text of
            such a reference then takes the place of its value.

    Raises:
        ConfigError: with every problem of the file and of the files it names; with `allow_missing` also if it can't be
            read without a value that is missing.

    """
    placed, missing = _loaded(path, registry, environ, tools, contents=contents, allow_missing=allow_missing)
    if placed is None:
        message = f"it can't be read without the values of {', '.join(missing)}"
        raise ConfigError([Problem(Location(Path(path)), "", message, "set them, or name a file of them")])
    return placed.config


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
    """A configuration whose variables and secret files may be missing on this machine."""

    placed: PlacedConfig | None
    """The configuration, with the text of each missing `${...}` in place of its value; None if it needs the values."""
    missing: tuple[str, ...]
    """The references that could not be resolved, as they are written."""


def load_without_secrets(
    path: Path,
    *,
    registry: Registry | None = None,
    environ: Mapping[str, str] | None = None,
    tools: Iterable[str] = (),
    contents: Mapping[Path, bytes] | None = None,
) -> Presumed:
    """Loads a file whose variables may be unset, and whose files of `${file:}` may be absent, as in CI.

    Everything else is checked as usual, except that no adapter checks a component that lacks a required option which is
    not text.

    Raises:
        ConfigError: with every other problem.

    """
    return Presumed(*_loaded(path, registry, environ, tools, contents=contents, allow_missing=True))


def _loaded(
    path: Path,
    registry: Registry | None,
    environ: Mapping[str, str] | None,
    tools: Iterable[str],
    *,
    contents: Mapping[Path, bytes] | None = None,
    allow_missing: bool = False,
) -> tuple[PlacedConfig | None, tuple[str, ...]]:
    """Returns the configuration, or None if it needs values that are missing, and the missing references."""
    path = Path(path)
    try:
        files = Files(path, contents)
        content = files.configuration()
    except Unreadable as error:
        nearby = [name for name in error.names if name.endswith((".yaml", ".yml"))]
        hint = error.hint or did_you_mean(path.name, nearby, "YAML files in that directory")
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
    """Reads the whole file; a mistake in one section keeps no other section from being checked."""
    context = set_context(root)
    entries = root.entries()
    components, pipelines = (entries_of(entries.get(name)) for name in ("components", "pipelines"))
    context.components.update(components)
    others, context.tools = context.tools, tuple(dict.fromkeys((*context.tools, *entries_of(entries.get("tools")))))
    try:
        file = root.read(SetFile)
    finally:
        check_components(context)
        check_tools(entries.get("tools"), others)
        check_texts(root)
        _check_active(root, entries, pipelines)
        at = entries.get("pipelines")
        zone = entries.get("timezone")
        check_routes(entries.get("routes"), pipelines if at and at.sound else (), zone)
    if context.problems:
        raise Refused
    config = _assembled(root, file)
    check_consent(root, config.pipelines)
    if context.problems:
        raise Refused
    return PlacedConfig(config, file, root)


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
            value, node, layer = getattr(file, key), nodes.get(key), getattr(section, key)
            if layer:
                node = _laid_over(node, layer.cursor.node)
                value = Cursor(context, node, cursors[name], key).read(settings)
            layered[key], layered_nodes[key] = value, node
        if (recorded := layered["recording"]).directory:
            beside = context.files.absolute.parent / recorded.directory
            layered["recording"] = evolve(recorded, directory=str(beside))
        pipelines[name] = _pipeline(name, section, file, layered, context.secrets)
        own_nodes = {key: cursor.node for key, cursor in cursors[name].entries().items()}
        own = {key: written(getattr(section, key), own_nodes.get(key)) for key in _OWN}
        roles = {role: [resolved.written for resolved in getattr(section, role).components] for role in ROLES}
        normal[name] = own | roles | {key: written(layered[key], layered_nodes[key]) for key in LAYERED}
    routes = routes_of(file.routes, root.entries().get("routes"), file.timezone)
    shared = {key: written(getattr(file, key), nodes.get(key)) for key in _SHARED}
    whole = shared | {"pipelines": normal}
    return SetConfig(
        path=context.source.name,
        digest=sha256_of(whole),
        active_pipeline=str(file.active_pipeline),
        pipelines=pipelines,
        logging=file.logging,
        redact=file.redact,
        files=(context.files.absolute, *context.files.paths),
        sources=context.files.sources,
        routes=routes,
        warnings=tuple(price_warnings(file.prices, root.entries().get("prices"), pipelines.values())),
        written=pickle.dumps(whole),  # few need it; pickled, it costs next to nothing on its way from a helper process
    )


_OWN = (
    "prompt",
    "greeting",
    "speaks_first",
    "tools",
    "selectable",
    "on_failure",
    "keys",
    "hold",
    "ringback",
    "comfort_noise",
)
"""The keys that only a pipeline has, in its normal form."""
_SHARED = ("active_pipeline", "routes", "timezone", "tools", "streaming", "limits", "prices", "redact", "logging")
"""The keys that only the file has, in its normal form."""


def _pipeline(
    name: str, section: PipelineSection, file: SetFile, layered: Mapping[str, Any], secrets: Secrets
) -> PipelineSettings:
    stt, llm, tts = (tuple(resolved.settings for resolved in getattr(section, role).components) for role in ROLES)
    return PipelineSettings(
        name=name,
        stt=stt,
        llm=llm,
        tts=tts,
        prompt=section.prompt.text if isinstance(section.prompt, PromptFile) else section.prompt,
        greeting=section.greeting,
        speaks_first=section.speaks_first,
        tools=tuple(map(str, section.tools)),
        declared={str(name): file.tools[name] for name in section.tools if name in file.tools},
        selectable=section.selectable,
        on_failure=section.on_failure,
        keys=section.keys,
        hold=section.hold,
        ringback=section.ringback,
        comfort_noise=section.comfort_noise,
        **layered,
        streaming=file.streaming,
        limits=file.limits,
        prices=file.prices,
        timezone=str(file.timezone),
        secrets=secrets,
    )


def _laid_over(base: Node | None, over: Node) -> Node:
    """Returns one mapping laid over another, key by key at every level; any other value is replaced."""
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
            TimeZone: read_timezone,
            PrivatePattern: read_pattern,
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
        TimeZone: "the name of a time zone",
        PrivatePattern: "a regular expression",
        ArgumentsSchema: "a mapping, JSON Schema of an object",
        Layer: "a mapping",
        **{layer: "a mapping" for layer, _ in LAYERED.values()},
    }
