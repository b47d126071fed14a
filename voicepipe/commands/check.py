"""`voicepipe check`: checks pipeline files, and reports every problem."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

from voicepipe.commands.probing import probe
from voicepipe.commands.tools import add_tools_to, tools_of
from voicepipe.components.labels import ROLES
from voicepipe.components.registry import installed
from voicepipe.config.load import Presumed, load_with_places, load_without_secrets
from voicepipe.config.report import format_json, format_problems
from voicepipe.documents.suggestions import printable
from voicepipe.errors import ConfigError, Problem
from voicepipe.pipelines.opening import OPEN_S

if TYPE_CHECKING:
    from argparse import _SubParsersAction

EX_CONFIG = 78
"""The exit status for an invalid configuration file, as in BSD's sysexits.h."""

_DESCRIPTION = """\
Checks pipeline files as a start or a reload does, and reports all problems at once, each with file:line:column, the
key, a message, the line, and a hint. No component is opened and no connection is made, unless you use --probe.
"""

_EXAMPLES = """\
examples:
  voicepipe check config/ai-agent.yaml
  voicepipe check tenants/*.yaml
  voicepipe check --format json config/ai-agent.yaml | jq '.errors[].path'
  voicepipe check --allow-missing-secrets config/ai-agent.yaml      # in CI
  voicepipe check --probe config/ai-agent.yaml                      # do models load, do keys work?
  voicepipe check --tools myshop.tools config/ai-agent.yaml

exit status: 0 all files are valid, 78 at least one is not, 2 wrong usage, 1 any other error
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "check",
        help="check pipeline files without serving them",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a pipeline set's YAML file")
    parser.add_argument(
        "--format", choices=["text", "json"], default="text", help="default: text, in colour on a terminal"
    )
    parser.add_argument(
        "--allow-missing-secrets",
        action="store_true",
        help="accept ${NAME} that is not set, and ${file:PATH} that does not exist",
    )
    parser.add_argument(
        "--probe",
        action="store_true",
        help=f"also open and close the components of reachable pipelines; each has {OPEN_S:g} s",
    )
    add_tools_to(parser)
    parser.set_defaults(run=run, refuse=parser.error)


def run(arguments: Namespace) -> int:
    """Reports on all files; returns the exit status."""
    if arguments.probe and arguments.allow_missing_secrets:
        arguments.refuse("--probe needs all secrets: don't combine it with --allow-missing-secrets")
    problems: list[Problem] = []
    reports: list[str] = []
    for path in arguments.files:
        try:
            presumed = _loaded(path, arguments)
        except ConfigError as error:
            problems += error.problems
            reports.append(format_problems(error.problems, colour=_colourful()))
        else:
            opens = ", all components of reachable pipelines open" if arguments.probe else ""
            reports.append(f"{printable(str(path))}: {_summary(presumed)}{opens}")
            if presumed.placed is not None:
                reports += [f"warning: {warning}" for warning in presumed.placed.config.warnings]
    if problems:
        reports.append(_count(len(problems), "problem"))
    sys.stdout.write((format_json(problems) if arguments.format == "json" else "\n".join(reports)) + "\n")
    return EX_CONFIG if problems else 0


def _loaded(path: Path, arguments: Namespace) -> Presumed:
    """Loads a file; raises `ConfigError` for its problems, and with --probe for components that can't be opened."""
    tools = tools_of(arguments)
    if arguments.allow_missing_secrets:
        return load_without_secrets(path, tools=tools)
    placed = load_with_places(path, tools=tools)
    if arguments.probe and (problems := probe(placed, installed(), OPEN_S)):
        raise ConfigError(problems)
    return Presumed(placed, ())


def _summary(presumed: Presumed) -> str:
    """Returns a line that sums up a valid file."""
    without = f", without {_some(list(presumed.missing))}" if presumed.missing else ""
    if presumed.placed is None:
        return f"ok, as far as it can be checked{without}"
    config = presumed.placed.config
    components = {
        component.key for pipeline in config.pipelines.values() for role in ROLES for component in pipeline.role(role)
    }
    pipelines = f"{_count(len(config.pipelines), 'pipeline')} ({_some(list(config.pipelines))})"
    return f"ok: {pipelines}, {_count(len(components), 'component')}, {config.active_pipeline} is active{without}"


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _colourful() -> bool:
    """Returns True if the terminal wants colour (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
