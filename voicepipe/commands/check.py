"""`voicepipe check`: are these files fit to be served, and if not, why."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

from voicepipe.config.load import load_config
from voicepipe.config.report import format_json, format_problems
from voicepipe.errors import ConfigError, Problem
from voicepipe.registry import ROLES

if TYPE_CHECKING:
    from argparse import _SubParsersAction

    from voicepipe.config.settings import SetConfig

EX_CONFIG = 78
"""From BSD's sysexits.h: something is wrong in a configuration file."""

_DESCRIPTION = """\
Reads pipeline files as a start or a reload would, and reports everything that is wrong with them at once:
file:line:column, the setting, what is wrong, the line itself, and a hint. Nothing is opened or connected to.
"""

_EXAMPLES = """\
examples:
  voicepipe check config/ai-agent.yaml
  voicepipe check tenants/*.yaml
  voicepipe check --format json config/ai-agent.yaml | jq '.errors[].path'
  DEEPGRAM_API_KEY=x voicepipe check config/ai-agent.yaml     # ${NAME} must be set, to anything

exit status: 0 all files are fine, 78 at least one is not, 2 wrong usage, 1 anything else
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
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Reports on all files; returns the exit status."""
    problems: list[Problem] = []
    reports: list[str] = []
    for path in arguments.files:
        try:
            config = load_config(path)
        except ConfigError as error:
            problems += error.problems
            reports.append(format_problems(error.problems, colour=_colourful()))
        else:
            reports.append(f"{path}: {_summary(config)}")
    if problems:
        reports.append(_count(len(problems), "problem"))
    sys.stdout.write((format_json(problems) if arguments.format == "json" else "\n".join(reports)) + "\n")
    return EX_CONFIG if problems else 0


def _summary(config: SetConfig) -> str:
    """What the file comes to, in a line."""
    components = {one.key for pipeline in config.pipelines.values() for role in ROLES for one in pipeline.role(role)}
    pipelines = f"{_count(len(config.pipelines), 'pipeline')} ({_some(list(config.pipelines))})"
    return f"ok: {pipelines}, {_count(len(components), 'component')}, {config.active_pipeline} is active"


def _count(number: int, of: str) -> str:
    return f"{number:,} {of}{'' if number == 1 else 's'}"


def _some(names: list[str], most: int = 5) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _colourful() -> bool:
    """Whether the terminal wants colour (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
