"""Reads `engine.yaml`, or finds out that a file is a pipeline set's; opens nothing."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from attrs import asdict, fields_dict

from reference_engine.settings.settings import (
    AdminSettings,
    EngineFile,
    EngineSettings,
    ListenerSettings,
    default_control_path,
    is_loopback,
    settings_for_set_file,
)
from voicepipe import ConfigError, Problem, Secret, absolute_path, read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from voicepipe import ConfigDocument

T = TypeVar("T")

_KINDS: dict[str, Literal["engine", "set"]] = {"pipeline_sets": "engine", "pipelines": "set"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_NAME_HINT = "letters, digits, `_`, `-` and `.`, at most 64"
_BOTH = "an engine's file names the files of its sets; move `pipelines:` and what belongs to it to one of those"
_NEITHER = "a pipeline set's file has `pipelines:`, an engine's `pipeline_sets:` with the paths of such files"


def load_settings(path: Path, *, environ: Mapping[str, str] | None = None) -> EngineSettings:
    """What to run with, from an engine's file or a pipeline set's own.

    Args:
        path: either file; messages name it so.
        environ: for `${NAME}`; None: the process's own.

    Raises:
        ConfigError: it is neither, or it is an engine's and something is wrong with it. A set's own file is not
            looked at any further.

    """
    document = read_document(path, environ=environ)
    return settings_for_set_file(path) if kind_of(document) == "set" else settings_of(document, path)


def load_engine_settings(path: Path, *, environ: Mapping[str, str] | None = None) -> EngineSettings:
    """What an engine's file says; the files of its sets are not looked at.

    Raises:
        ConfigError: with every problem of the file.

    """
    return settings_of(read_document(path, environ=environ), path)


def kind_of(document: ConfigDocument) -> Literal["engine", "set"]:
    """Whose file it is, by the key that only one of them has, or by one that is a misspelling of it.

    Raises:
        ConfigError: it has both of them, or nothing like either.

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


def settings_of(document: ConfigDocument, path: Path) -> EngineSettings:
    """What an engine's file says that was read already; `load_engine_settings` tells more."""
    try:
        file = document.structure(EngineFile)
    except ConfigError as error:
        raise ConfigError([*error.problems, *_inconsistencies(document, error.problems)], document.files) from None
    if problems := tuple(_inconsistencies(document, ())):
        raise ConfigError(problems, document.files)
    values = asdict(file, recurse=False)
    # Where the engine writes for as long as it runs; the socket's path must stay as short as it was written.
    for name in ("records", "last_known_good"):
        values[name] = absolute_path(values[name]) if values[name] else None
    values["control"] = file.control or default_control_path()
    return EngineSettings(**values, path=path, files=document.files, document=document)


def _inconsistencies(document: ConfigDocument, known: tuple[Problem, ...]) -> Iterator[Problem]:
    """What is wrong between settings, besides what is known; each is looked at as far as it can be read."""
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
        yield from _bound_twice(document, ("listeners", number), ListenerSettings, bound)
    if document.keys_at("admin"):
        yield from _bound_twice(document, ("admin",), AdminSettings, bound)
        yield from _open_to_all(document, known)


def _unknown_set(document: ConfigDocument, at: tuple[str | int, ...], sets: tuple[str, ...]) -> Iterator[Problem]:
    name = document.take(at, str)
    if name is not None and sets and name not in sets:
        guess = get_close_matches(name, sets, n=1)
        suggestion = f'did you mean "{guess[0]}"? ' if guess else ""
        message = f"there is no pipeline set {_shown(name)}"
        yield document.problem(at, message, f"{suggestion}pipeline sets: {', '.join(sets[:12])}")


def _bad_name(document: ConfigDocument, number: int, called: dict[str, int]) -> Iterator[Problem]:
    at = ("listeners", number, "name")
    name = _given(document, at, str, ListenerSettings)
    if name is None:
        return
    if not _NAME.fullmatch(name):
        yield document.problem(at, _misnamed(name), _NAME_HINT)
    elif name in called:
        message = f"listeners[{called[name]}] is called {_shown(name)} already"
        yield document.problem(at, message, "give each a `name:` of its own")
    called.setdefault(name, number)


def _bound_twice(
    document: ConfigDocument, at: tuple[str | int, ...], cls: type[Any], bound: dict[tuple[str, int], str]
) -> Iterator[Problem]:
    host = _given(document, (*at, "host"), str, cls)
    port = _given(document, (*at, "port"), int, cls)
    if host is None or not port:
        return
    if (host, port) in bound:
        message = f"{bound[host, port]} binds to port {port} of {_shown(host)} already"
        yield document.problem((*at, "port"), message, "give each a `port:` of its own")
    bound.setdefault((host, port), "admin" if at == ("admin",) else f"listeners[{at[-1]}]")


def _open_to_all(document: ConfigDocument, known: tuple[Problem, ...]) -> Iterator[Problem]:
    """What changes state needs a token once it can be reached from elsewhere."""
    host = document.take(("admin", "host"), str)
    if host is None or is_loopback(host) or document.take(("admin", "token"), Secret) is not None:
        return
    excused = any(problem.path == "admin.token" for problem in known) or _misspelt(document, ("admin",), AdminSettings)
    if not excused:
        message = f"{_shown(host)} can be reached from other machines, so `token` is required"
        hint = 'add `token: "${VOICEPIPE_ADMIN_TOKEN}"`, or bind to 127.0.0.1'
        yield document.problem(("admin", "host"), message, hint)


def _given(document: ConfigDocument, at: tuple[str | int, ...], of: type[T], cls: type[Any]) -> T | None:
    """A setting, its default where it is left out, or None where nobody knows."""
    *above, name = at
    if name in document.keys_at(*above):
        return document.take(at, of)
    if _misspelt(document, tuple(above), cls):
        return None
    default: Any = fields_dict(cls)[str(name)].default
    return default  # type: ignore[no-any-return] # of the field's type, which is T


def _misspelt(document: ConfigDocument, at: tuple[str | int, ...], cls: type[Any]) -> bool:
    """Whether there are unknown keys, which may be meant to be some that are missing."""
    return not set(document.keys_at(*at)) <= set(fields_dict(cls))


def _misnamed(name: str) -> str:
    return f"{_shown(name)} can't be a name: it stands in URLs, metrics and logs"


def _shown(text: str) -> str:
    """Text in quotes, with nothing in it that acts on a terminal; of a secret, where it comes from."""
    return f'"{repr(text)[1:-1][:60]}"'
