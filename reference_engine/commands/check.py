"""The command `check`: reports the problems of a file, and of the files of its sets."""

from __future__ import annotations

import os
import sys
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

from reference_engine.commands.asking import stdout_has_colour

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Reads FILE as a start or a reload would, and the files of all its sets if it is an engine's. Every problem is reported
at once, with file:line:column, the setting, what is wrong, the line itself, and a hint. Nothing is opened or connected
to, so it can run anywhere the file is: in an editor, before a commit, in CI.
"""

EXAMPLES = """\
examples:
  reference-engine check config/engine.yaml
  reference-engine check --env-file /etc/voicepipe/env config/engine.yaml
  reference-engine check --format json config/engine.yaml | jq '.errors[].path'

exit status: 0 all files are valid, 78 at least one is not, 2 wrong usage, 1 any other failure
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `check`."""
    command = commands.add_parser(
        "check",
        help="check files without opening anything",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, metavar="FILE", help="an engine's YAML file, or a pipeline set's")
    command.add_argument(
        "--env-file", type=Path, metavar="PATH", help="NAME=value lines for ${NAME}; they override the environment"
    )
    command.add_argument(
        "--format", choices=["text", "json"], default="text", help="default: text, in colour on a terminal"
    )
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Prints the problems, or a summary of each file; returns 78 if there are problems."""
    from reference_engine.settings.checking import check_file, report, report_json  # noqa: PLC0415 - see `run`

    checked = check_file(arguments.file, arguments.env_file)
    as_json = arguments.format == "json"
    sys.stdout.write(report_json(checked) if as_json else report(checked, colour=stdout_has_colour()))
    return os.EX_CONFIG if any(result.problems for result in checked) else 0
