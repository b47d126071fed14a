"""Reads and checks `engine.yaml`, and tells it from a pipeline set's file; opens nothing."""

from __future__ import annotations

import re
from difflib import get_close_matches
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from attrs import asdict, evolve, fields_dict

from reference_engine.settings.fleet_settings import FleetSettings
from reference_engine.settings.keep_settings import KeepSettings
from reference_engine.settings.notify_settings import NotifyTarget
from reference_engine.settings.records_place import PlaceError, read_place
from reference_engine.settings.settings import (
    AdminSettings,
    AgentCheckSettings,
    EngineFile,
    EngineSettings,
    ListenerKeys,
    ListenerSettings,
    default_control_path,
    settings_for_set_file,
)
from voicepipe import (
    ConfigError,
    Problem,
    Secret,
    TypedSection,
    absolute_path,
    document_schema,
    installed_transports,
    is_loopback,
    read_document,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from voicepipe import ConfigDocument, TransportRegistry

T = TypeVar("T")
Classes: TypeAlias = tuple[type[Any], ...]
"""The classes whose fields are the keys of one mapping."""

_KINDS: dict[str, Literal["engine", "set"]] = {"pipeline_sets": "engine", "pipelines": "set"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_NAME_HINT = "letters, digits, `_`, `-` and `.`, at most 64"
_BOTH = "an engine's file names the files of its sets; move `pipelines:` and what belongs to it to one of those"
_NEITHER = "a pipeline set's file has `pipelines:`, an engine's `pipeline_sets:` with the paths of such files"


def load_settings(path: Path, *, environ: Mapping[str, str] | None = None) -> EngineSettings:
    """Returns the settings of an engine's file; for a pipeline set's own file, default settings that serve it.

    Args:
        path: either file; messages name it by this path.
        environ: the variables for `${NAME}`; None: the process's environment.

    Raises:
        ConfigError: the file is neither, or is an engine's file with problems. A set's own file is not checked here.

    """
    document = read_document(path, environ=environ)
    return settings_for_set_file(path) if kind_of(document) == "set" else settings_of(document, path)


def load_engine_settings(path: Path, *, environ: Mapping[str, str] | None = None) -> EngineSettings:
    """Returns the settings of an engine's file; the files of its sets are not read.

    Raises:
        ConfigError: with all problems of the file.

    """
    return settings_of(read_document(path, environ=environ), path)


def kind_of(document: ConfigDocument) -> Literal["engine", "set"]:
    """Returns whose file it is, by the key that only one kind has, or by a misspelling of it.

    Raises:
        ConfigError: the file has both keys, or none that is similar to either.

    """
    keys = document.keys_at()
    present = [key for key in _KINDS if key in keys]
    if len(present) > 1:
        message = "`pipelines` and `pipeline_sets` can't stand in one file"
        raise ConfigError([document.problem(("pipelines",), message, _BOTH, key=True)])
    kinds = {_KINDS[guess] for key in present or keys for guess in get_close_matches(key, _KINDS, n=1, cutoff=0.75)}
    if len(kinds) != 1:
        raise ConfigError([document.problem((), "the file has neither `pipelines` nor `pipeline_sets`", _NEITHER)])
    return kinds.pop()


def engine_schema() -> dict[str, Any]:
    """Returns the JSON Schema of an engine's file, with the options of every installed transport."""
    return document_schema(EngineFile, "The file of a reference engine", listeners_of(installed_transports()))


def listeners_of(transports: TransportRegistry) -> TypedSection:
    """Returns the section of a listener, whose `type` is one of these transports."""
    return TypedSection(ListenerSettings, ListenerKeys, transports)


def settings_of(document: ConfigDocument, path: Path) -> EngineSettings:
    """Returns the settings of an engine's file that was read already; raises as `load_engine_settings` does."""
    try:
        file = document.structure(EngineFile, listeners_of(installed_transports()))
    except ConfigError as error:
        raise ConfigError([*error.problems, *_inconsistencies(document, error.problems)], document.files) from None
    if problems := tuple(_inconsistencies(document, ())):
        raise ConfigError(problems, document.files)
    values = asdict(file, recurse=False)
    if file.records is not None:
        where = document.problem(("records",), "").where
        values["records"] = evolve(read_place(file.records, path.parent), where=str(where))
    # The engine writes there for as long as it runs. `control` is not made absolute: a socket's path has a limit.
    for name in ("records_spool", "notify_spool", "last_known_good"):
        values[name] = absolute_path(values[name]) if values[name] else None
    values["control"] = file.control or default_control_path()
    return EngineSettings(**values, path=path, files=document.files, document=document)


def _inconsistencies(document: ConfigDocument, known: tuple[Problem, ...]) -> Iterator[Problem]:
    """Yields the problems between settings, as far as the settings can be read; `known` are the other problems."""
    sets = document.keys_at("pipeline_sets")
    for name in sets:
        if not _NAME.fullmatch(name):
            yield document.problem(("pipeline_sets", name), _misnamed(name), _NAME_HINT, key=True)
    sets = tuple(filter(_NAME.fullmatch, sets))
    called: dict[str, int] = {}
    bound: dict[tuple[str, int], str] = {}
    for number in range(document.length_at("listeners")):
        yield from _unknown_set(document, ("listeners", number, "set"), sets)
        yield from _bad_name(document, number, called)
        if (options := _options_at(document, number)) and {"host", "port"} <= set(fields_dict(options)):
            yield from _bound_twice(document, ("listeners", number), (ListenerKeys, options), bound)
    if document.keys_at("admin"):
        yield from _bound_twice(document, ("admin",), (AdminSettings,), bound)
        yield from _open_to_all(document, known)
    if document.keys_at("agent_check"):
        yield from _bound_twice(document, ("agent_check",), (AgentCheckSettings,), bound)
    yield from _no_fleet(document, sets)
    yield from _no_place(document)
    yield from _same_target(document)
    yield from _keeps_in_vain(document)
    if document.keys_at("otel") and not (find_spec("opentelemetry") and find_spec("opentelemetry.sdk")):
        message, hint = "OpenTelemetry is not installed", "pip install 'voicepipe-telephony[otel]'"
        yield document.problem(("otel",), message, hint, key=True)


def _unknown_set(document: ConfigDocument, at: tuple[str | int, ...], sets: tuple[str, ...]) -> Iterator[Problem]:
    name = document.take(at, str)
    if name is not None and sets and name not in sets:
        guess = get_close_matches(name, sets, n=1)
        suggestion = f'did you mean "{guess[0]}"? ' if guess else ""
        message = f"there is no pipeline set {_shown(name)}"
        yield document.problem(at, message, f"{suggestion}pipeline sets: {', '.join(sets[:12])}")


def _options_at(document: ConfigDocument, number: int) -> type[Any] | None:
    """Returns the class of a listener's options; None if its type is not known."""
    at = ("listeners", number, "type")
    name = document.take(at, str) if "type" in document.keys_at(*at[:-1]) else fields_dict(ListenerKeys)["type"].default
    transport = installed_transports().get(name or "")
    return transport.options if transport is not None else None


def _bad_name(document: ConfigDocument, number: int, called: dict[str, int]) -> Iterator[Problem]:
    at = ("listeners", number, "name")
    options = _options_at(document, number)
    classes = (ListenerKeys,) if options is None else (ListenerKeys, options)
    name = _given(document, at, str, classes)
    if name == "" and "name" not in document.keys_at(*at[:-1]):
        name = _given(document, (*at[:-1], "type"), str, classes)
    if name is None:
        return
    if not _NAME.fullmatch(name):
        yield document.problem(at, _misnamed(name), _NAME_HINT)
    elif name in called:
        message = f"listeners[{called[name]}] is called {_shown(name)} already"
        yield document.problem(at, message, "give each a `name:` of its own")
    called.setdefault(name, number)


def _bound_twice(
    document: ConfigDocument, at: tuple[str | int, ...], classes: Classes, bound: dict[tuple[str, int], str]
) -> Iterator[Problem]:
    host = _given(document, (*at, "host"), str, classes)
    port = _given(document, (*at, "port"), int, classes)
    if host is None or not port:
        return
    if (host, port) in bound:
        message = f"{bound[host, port]} binds to port {port} of {_shown(host)} already"
        yield document.problem((*at, "port"), message, "give each a `port:` of its own")
    bound.setdefault((host, port), str(at[0]) if len(at) == 1 else f"listeners[{at[-1]}]")


def _open_to_all(document: ConfigDocument, known: tuple[Problem, ...]) -> Iterator[Problem]:
    """Yields a problem if `admin` can be reached from other machines and has no token."""
    host = document.take(("admin", "host"), str)
    if host is None or is_loopback(host) or document.take(("admin", "token"), Secret) is not None:
        return
    excused = any(problem.path == "admin.token" for problem in known) or _misspelt(
        document, ("admin",), (AdminSettings,)
    )
    if not excused:
        message = f"{_shown(host)} can be reached from other machines, so `token` is required"
        hint = 'add `token: "${VOICEPIPE_ADMIN_TOKEN}"`, or bind to 127.0.0.1'
        yield document.problem(("admin", "host"), message, hint)


def _no_place(document: ConfigDocument) -> Iterator[Problem]:
    """Yields a problem if `records` names no place that records can go to."""
    text = document.take(("records",), str)
    try:
        if text is not None:
            read_place(text)
    except PlaceError as error:
        problem = document.problem(("records",), str(error), error.hint)
        yield evolve(problem, source="") if "@" in (text or "") else problem  # the line may have a password


def _same_target(document: ConfigDocument) -> Iterator[Problem]:
    """Yields a problem for each target of webhooks that has the name of an earlier one, or its host and no name."""
    named: dict[str, int] = {}
    for number in range(document.length_at("notify")):
        target = document.take(("notify", number), NotifyTarget)
        if target is not None and (first := named.setdefault(target.shown, number)) != number:
            key = "name" if target.name else "url"
            message = f"notify[{first}] is called {_shown(target.shown)} already"
            yield document.problem(("notify", number, key), message, "give each a `name:` of its own")


def _keeps_in_vain(document: ConfigDocument) -> Iterator[Problem]:
    """Yields a problem if `keep` contradicts itself, or there is no database in which it could delete."""
    keep = document.take(("keep",), KeepSettings)
    if keep is None:
        return
    for name, why in keep.contradictions():
        yield document.problem(("keep", name), why, "leave it out, or keep records for longer")
    text = document.take(("records",), str)
    try:
        is_database = text is not None and read_place(text).is_database
    except PlaceError:
        return
    if keep.ages and not is_database:
        message = "nothing can be deleted without a database of records"
        hint = "name one (`records: sqlite:///var/lib/voicepipe/calls.db`), or have logrotate delete files of records"
        yield document.problem(("keep",), message, hint, key=True)


def _no_fleet(document: ConfigDocument, sets: tuple[str, ...]) -> Iterator[Problem]:
    """Yields the problems of `fleet` with other settings."""
    fleet = document.take(("fleet",), FleetSettings) if "fleet" in document.keys_at() else None
    if fleet is None:
        return
    for number in range(len(fleet.sets)):
        yield from _unknown_set(document, ("fleet", "sets", number), sets)
    if fleet.key_file is not None and fleet.cert_file is None:
        yield document.problem(("fleet", "key_file"), "a key without a certificate", "name it in `cert_file`")
    if fleet.password is not None and fleet.user is None:
        yield document.problem(("fleet", "password"), "a password without a user", "name the user in `user`", key=True)
    if "workers" in document.keys_at() and document.take(("workers",), str) not in {None, "1"}:
        message = "an engine with several workers can't belong to a fleet yet"
        yield document.problem(("workers",), message, "use `workers: 1`, or reload each engine by itself", key=True)


def _given(document: ConfigDocument, at: tuple[str | int, ...], of: type[T], classes: Classes) -> T | None:
    """Returns a setting, or its default if it is left out; None if it is invalid, or may be misspelt.

    `classes` are those whose fields are the keys of its mapping.
    """
    *above, name = at
    if name in document.keys_at(*above):
        return document.take(at, of)
    if _misspelt(document, tuple(above), classes):
        return None
    default: Any = next(fields[str(name)].default for cls in classes if name in (fields := fields_dict(cls)))
    return default  # type: ignore[no-any-return] # of the field's type, which is T


def _misspelt(document: ConfigDocument, at: tuple[str | int, ...], classes: Classes) -> bool:
    """Returns whether a mapping has unknown keys, which may be misspellings of missing ones."""
    return not set(document.keys_at(*at)) <= {name for cls in classes for name in fields_dict(cls)}


def _misnamed(name: str) -> str:
    return f"{_shown(name)} can't be a name: it stands in URLs, metrics and logs"


def _shown(text: str) -> str:
    """Returns a value in quotes, shortened, with control characters escaped."""
    return f'"{repr(text)[1:-1][:60]}"'
