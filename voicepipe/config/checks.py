"""What adapters find wrong with their options, brought to where the YAML names it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from voicepipe.config.values import Directory, Secret
from voicepipe.documents import path_of
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe.documents import Place
    from voicepipe.registry import Adapter

NOWHERE = Location(Path())
"""Where an adapter's `check` puts a problem of an option: `path` says which one."""


def check(adapter: Adapter[Any], options: Any) -> Iterable[Problem]:
    """What the adapter finds wrong, without secrets."""
    try:
        problems = tuple(adapter.check(options))
    except ConfigError as error:
        problems = error.problems
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge of a component: its fault is its user's problem
        hint = "this is a fault of the adapter; its author needs to know"
        return (Problem(NOWHERE, "", f"the check of adapter {adapter.name} failed: {type(error).__name__}", hint),)
    secrets = tuple(_secrets(options)) if problems else ()
    return (
        attrs.evolve(problem, message=_without(secrets, problem.message), hint=_without(secrets, problem.hint))
        for problem in problems
    )


def placed(problem: Problem, place: Place, options: Any) -> Problem:
    """The problem where the YAML names what it is about, unless it knows a better place, such as a line of a script."""
    for name, at in place.entries().items():
        value = getattr(options, name, None)
        if isinstance(value, Directory) and value.name == problem.where.file:
            return attrs.evolve(problem, where=at.where, path=path_of(at.keys))
    if problem.where.file != NOWHERE.file:
        return problem
    option = place.entries().get(problem.path.split(".", maxsplit=1)[0])
    path = ".".join(filter(None, (path_of(place.keys), problem.path)))
    return attrs.evolve(problem, where=option.where if option else place.where, path=path)


def _secrets(value: Any) -> Iterator[Secret]:
    if isinstance(value, Secret):
        yield value
    elif attrs.has(type(value)):
        for field in attrs.fields(type(value)):
            yield from _secrets(getattr(value, field.name))
    elif isinstance(value, tuple):
        for one in value:
            yield from _secrets(one)
    elif isinstance(value, dict):
        yield from _secrets(tuple(value.values()))


def _without(secrets: Iterable[Secret], text: str) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, secret.source)
    return text
