"""`voicepipe diff`: shows what would change if one file replaced another, or were reloaded."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from voicepipe.commands.asking import NoAnswerError, ask_serving
from voicepipe.commands.tools import add_tools_to, tools_of
from voicepipe.config.describe.effective import comparable, effective
from voicepipe.config.load import load_config
from voicepipe.config.report import format_json, format_problems
from voicepipe.documents import shown
from voicepipe.errors import ConfigError, Problem
from voicepipe.pipelines.difference import Change, Difference, compare

if TYPE_CHECKING:
    from argparse import _SubParsersAction
    from collections.abc import Iterable, Iterator

    from voicepipe.config.settings import SetConfig

EX_CONFIG = 78
"""The exit status for an invalid configuration file, as in BSD's sysexits.h."""

_DESCRIPTION = """\
Shows what would change if NEW replaced OLD, or if a running engine reloaded FILE: the components that would be opened,
kept and closed, and the pipelines that would change for new calls. Active calls keep their version. Secrets are shown
as they are written in the file. No component is opened, and no connection is made except to the engine.
"""

_EXAMPLES = """\
examples:
  voicepipe diff config/ai-agent.yaml candidate.yaml
  voicepipe diff config/ai-agent.yaml --engine /run/user/1000/voicepipe/control.sock
  voicepipe diff tenants/acme.yaml --engine http://127.0.0.1:9090 --set acme
  voicepipe diff --format json old.yaml new.yaml | jq .changed

exit status, as of diff: 0 no difference, 1 differences, 2 wrong usage or no answer from the engine, 78 a file is
invalid (see `voicepipe check`)
"""

_LONGEST = 60


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "diff",
        help="show how a changed pipeline file would affect calls",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
        usage="voicepipe diff [options] OLD NEW\n       voicepipe diff [options] FILE --engine PATH_OR_URL",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a pipeline set's YAML file")
    parser.add_argument("--engine", metavar="PATH_OR_URL", help="compare with the version that this engine serves now")
    parser.add_argument("--set", metavar="NAME", help="the name of the engine's pipeline set; default: the only one")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="default: text")
    add_tools_to(parser)
    parser.set_defaults(run=run, refuse=parser.error)


def run(arguments: Namespace) -> int:
    """Shows the difference; returns the exit status."""
    if len(arguments.files) != (1 if arguments.engine else 2):
        arguments.refuse("give two files, or one and --engine")
    if arguments.set and not arguments.engine:
        arguments.refuse("--set needs --engine")
    as_json = arguments.format == "json"
    problems: list[Problem] = []
    configs = [config for path in arguments.files if (config := _loaded(path, tools_of(arguments), problems))]
    if problems:
        sys.stdout.write(format_json(problems) + "\n" if as_json else format_problems(problems))
        return EX_CONFIG
    try:
        old, difference = _from_engine(arguments, configs[0]) if arguments.engine else _between(*configs)
    except NoAnswerError as error:
        sys.stderr.write(f"{error}\n  hint: {error.hint}\n")
        return 2
    new = str(arguments.files[-1])
    if as_json:
        data = {"old": old, "new": new, **difference.as_data()}
        sys.stdout.write(json.dumps(data, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write("\n".join(_in_text(old, new, difference)) + "\n")
    return 1 if difference else 0


def _loaded(path: Path, tools: tuple[str, ...], problems: list[Problem]) -> SetConfig | None:
    try:
        return load_config(path, tools=tools)
    except ConfigError as error:
        problems += error.problems
        return None


def _between(old: SetConfig, new: SetConfig) -> tuple[str, Difference]:
    difference = compare(comparable(old), comparable(new))
    return str(old.path), attrs.evolve(difference, hidden=not difference and old.digest != new.digest)


def _from_engine(arguments: Namespace, new: SetConfig) -> tuple[str, Difference]:
    serving = ask_serving(arguments.engine, arguments.set)
    try:
        difference = compare(serving.config, effective(new))
    except (AttributeError, KeyError, TypeError) as error:
        message = f"what the engine serves can't be compared: {type(error).__name__}: {error}"
        raise NoAnswerError(message, "check that the engine has the same version as this command") from error
    difference = attrs.evolve(difference, hidden=not difference and serving.digest != new.digest)
    return f"{serving.set}, version {serving.version}", difference


def _in_text(old: str, new: str, difference: Difference) -> Iterator[str]:
    """Yields the lines of the text output."""
    if not difference:
        yield f"{old} -> {new}: no difference"
        return
    yield f"{old} -> {new}, from the next call on:"
    if difference.hidden:
        yield "\nThe only difference is in a secret that is written into the file itself, which is not shown."
    yield from _section("components", _components(difference))
    yield from _section("pipelines", _pipelines(difference))
    at_once = [change for change in difference.settings if change.path.startswith("logging.")]
    yield from _section("settings", (_change(change) for change in difference.settings if change not in at_once))
    yield from _section("immediately, also for active calls", map(_change, at_once))
    yield "\nNo restart is needed."


def _section(title: str, lines: Iterable[str]) -> Iterator[str]:
    if entries := list(lines):
        yield f"\n{title}:"
        yield from (f"  {line}" for line in entries)


def _components(difference: Difference) -> Iterator[str]:
    for component in difference.opens:
        yield f"opens   {component}, for {', '.join(component.pipelines)}"
    for component in difference.closes:
        yield f"closes  {component}, with the last call that uses it"
    for component in difference.keeps:
        yield f"keeps   {component}"


def _pipelines(difference: Difference) -> Iterator[str]:
    for name in difference.added:
        yield f"adds     {name}"
    for name in difference.removed:
        yield f"removes  {name}"
    for name, changes in difference.changed.items():
        yield f"changes  {name}"
        yield from (f"    {_change(change)}" for change in changes)
    for name in difference.unused:
        yield f"differs  {name}, which no call gets"


def _change(change: Change) -> str:
    old, new = _brief(change.old), _brief(change.new)
    if old != new:
        return f"{change.path}: {old} -> {new}"
    if isinstance(change.new, dict):
        return f"{change.path}: {new}, with different content"
    return f"{change.path}: {new}, with a different value that is not shown"


def _brief(value: Any) -> str:
    """Returns a value in a few words."""
    match value:
        case None:
            return "nothing"
        case {"file": str(path)} | {"directory": str(path)} | {"file": {"file": str(path)}}:
            return path
        case float():
            return f"{value:g}"
        case str():
            return shown(value, _LONGEST) if value != value.strip() or not value.isprintable() or not value else value
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
