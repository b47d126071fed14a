"""The command `notify`: sends a webhook to each target of a file, and says what came back."""

from __future__ import annotations

import os
import sys
from argparse import RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Sends a webhook of the type `test` to each target that `notify` of an engine's FILE names, signed as all others, and
prints what the target has answered. It is sent once, and by this command itself: no engine need run.
"""

EXAMPLES = """\
examples:
  reference-engine notify config/engine.yaml
  reference-engine notify --env-file /etc/voicepipe/env config/engine.yaml

exit status: 0 each target has taken it, 1 one has not, or there is none, 78 the file is invalid, 2 wrong usage
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `notify`."""
    command = commands.add_parser(
        "notify",
        help="send a test to the targets of webhooks",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, metavar="FILE", help="an engine's YAML file")
    command.add_argument(
        "--env-file", type=Path, metavar="PATH", help="NAME=value lines for ${NAME}; they override the environment"
    )
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Prints a line for each target; returns the exit status."""
    from reference_engine.settings.environment import read_environ  # noqa: PLC0415 - see `run`
    from reference_engine.settings.loading import load_settings  # noqa: PLC0415 - see `run`
    from reference_engine.telemetry.webhook_trying import try_target  # noqa: PLC0415 - see `run`
    from voicepipe import ConfigError, format_problems  # noqa: PLC0415 - see `run`

    try:
        settings = load_settings(arguments.file, environ=read_environ(arguments.env_file))
    except ConfigError as error:
        sys.stdout.write(format_problems(error.problems))
        return os.EX_CONFIG
    if not settings.notify:
        sys.stderr.write(f"reference-engine: {arguments.file} has no `notify`\n")
        return 1
    status = 0
    for target in settings.notify:
        answer = try_target(target)
        taken = answer.fate == "delivered"
        status = status if taken else 1
        sys.stdout.write(f"{target.shown}: {'ok' if taken else 'failed'}: {answer}\n")
        sys.stdout.flush()
    return status
