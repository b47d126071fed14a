"""`voicepipe diff`: shows what would change if one file replaced another, or were reloaded."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from voicepipe.commands.asking import NoAnswerError, ask_serving
from voicepipe.commands.tools import add_tools_to, tools_of
from voicepipe.config.describe.effective import effective
from voicepipe.config.load import load_config
from voicepipe.config.report import format_json, format_problems
from voicepipe.errors import ConfigError, Problem
from voicepipe.pipelines.difference import Difference, compare
from voicepipe.pipelines.difference_text import difference_between, in_text

if TYPE_CHECKING:
    from argparse import _SubParsersAction

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
        sys.stdout.write("\n".join(in_text(old, new, difference)) + "\n")
    return 1 if difference else 0


def _loaded(path: Path, tools: tuple[str, ...], problems: list[Problem]) -> SetConfig | None:
    try:
        return load_config(path, tools=tools)
    except ConfigError as error:
        problems += error.problems
        return None


def _between(old: SetConfig, new: SetConfig) -> tuple[str, Difference]:
    return str(old.path), difference_between(old, new)


def _from_engine(arguments: Namespace, new: SetConfig) -> tuple[str, Difference]:
    serving = ask_serving(arguments.engine, arguments.set)
    try:
        difference = compare(serving.config, effective(new))
    except (AttributeError, KeyError, TypeError) as error:
        message = f"what the engine serves can't be compared: {type(error).__name__}: {error}"
        raise NoAnswerError(message, "check that the engine has the same version as this command") from error
    difference = attrs.evolve(difference, hidden=not difference and serving.digest != new.digest)
    return f"{serving.set}, version {serving.version}", difference
