"""Checks a file and the files of its sets, for `reference-engine check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from reference_engine.settings.environment import read_environ
from reference_engine.settings.loading import kind_of, settings_of
from voicepipe import ConfigError, Problem, format_problems, load_config, problems_as_data, read_document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from reference_engine.settings.settings import EngineSettings
    from voicepipe import SetConfig


@frozen
class CheckResult:
    """The result of checking one file."""

    path: Path
    """The path, as it was given on the command line or in the engine's file."""
    summary: str = ""
    """The content in a line, and below it warnings; empty if there are problems."""
    problems: tuple[Problem, ...] = ()
    """All problems of the file."""


def check_file(path: Path, env_file: Path | None = None) -> tuple[CheckResult, ...]:
    """Reads an engine's file and those of its sets, or a set's own file, as a start would; opens no component.

    Sets are checked even if the engine's file has other problems. If `env_file` has problems, only these are returned.

    Args:
        path: an engine's file, or a pipeline set's.
        env_file: variables for `${NAME}`, which override the environment.

    Returns:
        The results, that of `path` first.

    """
    try:
        environ = read_environ(env_file)
    except ConfigError as error:
        return (CheckResult(env_file or path, problems=error.problems),)
    try:
        document = read_document(path, environ=environ)
        kind = kind_of(document)
    except ConfigError as error:
        return (CheckResult(path, problems=error.problems),)
    if kind == "set":
        return (_check_set(path, environ),)
    files = (document.take(("pipeline_sets", name), Path) for name in document.keys_at("pipeline_sets"))
    engine = _check(path, lambda: _engine_summary(settings_of(document, path)))
    return (engine, *(_check_set(file, environ) for file in dict.fromkeys(files) if file))


def report(checked: tuple[CheckResult, ...], *, colour: bool = False) -> str:
    """Returns the results as text for a terminal."""
    return "\n".join(_paragraphs(checked, colour)) + "\n"


def report_json(checked: tuple[CheckResult, ...]) -> str:
    """Returns the results as JSON: `{"ok": bool, "errors": [...]}`."""
    errors = problems_as_data(problem for result in checked for problem in result.problems)
    return json.dumps({"ok": not errors, "errors": errors}, indent=2, ensure_ascii=False) + "\n"


def _paragraphs(checked: tuple[CheckResult, ...], colour: bool) -> Iterator[str]:
    for result in checked:
        ok = f"{result.path}: ok: {result.summary}"
        yield format_problems(result.problems, colour=colour) if result.problems else ok
    if number := sum(len(result.problems) for result in checked):
        yield _count(number, "problem")


def _check_set(path: Path, environ: Mapping[str, str]) -> CheckResult:
    return _check(path, lambda: _set_summary(load_config(path, environ=environ)))


def _check(path: Path, summarise: Callable[[], str]) -> CheckResult:
    try:
        return CheckResult(path, summarise())
    except ConfigError as error:
        return CheckResult(path, problems=error.problems)


def _engine_summary(settings: EngineSettings) -> str:
    sets = f"{_count(len(settings.pipeline_sets), 'pipeline set')} ({', '.join(settings.pipeline_sets)})"
    return f"{sets}, {_count(len(settings.listeners), 'listener')}"


def _set_summary(config: SetConfig) -> str:
    summary = f"{_count(len(config.pipelines), 'pipeline')}, {config.active_pipeline} is active"
    return "\n".join((summary, *(f"warning: {warning}" for warning in config.warnings)))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
