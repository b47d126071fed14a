"""Runs the checks of adapters, and places their problems at the options in the YAML."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from voicepipe.components.values import Directory
from voicepipe.documents import path_of
from voicepipe.errors import ConfigError, Location, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from voicepipe.components.registry import Adapter
    from voicepipe.components.secrets import Secrets
    from voicepipe.documents import Cursor

NOWHERE = Location(Path())
"""The location of a problem that names its option by `path` only, as an adapter's `check` does."""


def check(adapter: Adapter[Any], options: Any, secrets: Secrets) -> Iterable[Problem]:
    """Returns the problems that the adapter finds, with secrets as they are written."""
    return (
        attrs.evolve(problem, message=secrets.conceal(problem.message), hint=secrets.conceal(problem.hint))
        for problem in _run_check(adapter, partial(adapter.check, options))
    )


def check_installed(adapter: Adapter[Any]) -> Iterable[Problem]:
    """Returns the adapter's problems with this machine, such as a missing library."""
    return _run_check(adapter, adapter.check_installed)


def _run_check(adapter: Adapter[Any], find: Callable[[], Iterable[Problem]]) -> Iterable[Problem]:
    try:
        return tuple(find())
    except ConfigError as error:
        return error.problems
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the boundary of a component
        hint = "this is a bug in the adapter: report it to its author"
        return (Problem(NOWHERE, "", f"the check of adapter {adapter.name} failed: {type(error).__name__}", hint),)


def label_of(adapter: Adapter[Any], options: Any, secrets: Secrets) -> str | None:
    """Returns the model or voice as the adapter names it, without secrets; None if it has none, or raises."""
    try:
        label = adapter.label(options)
    except (Exception, SystemExit):  # noqa: BLE001 - the boundary of a component; opening it reports the fault
        return None
    return None if label is None else secrets.conceal(label)


def placed(problem: Problem, cursor: Cursor, options: Any) -> Problem:
    """Returns the problem at the place of its option in the YAML, unless it has one, such as a line of a script."""
    for name, at in cursor.entries().items():
        value = getattr(options, name, None)
        if isinstance(value, Directory) and value.name == problem.where.file:
            return attrs.evolve(problem, where=at.where, path=path_of(at.keys))
    if problem.where.file != NOWHERE.file:
        return problem
    option = cursor.entries().get(problem.path.split(".", maxsplit=1)[0])
    path = ".".join(filter(None, (path_of(cursor.keys), problem.path)))
    return attrs.evolve(problem, where=option.where if option else cursor.where, path=path)
