"""The command `reload`: makes a running engine read its files again."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from reference_engine.commands.asking import add_control_option, request_change

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Makes a running engine read its files again, waits for the end of the reload, and prints the outcome: the components
that were opened, kept and closed, and the pipelines that are different for the next call; or every problem with its
file, line and column. A rejected file changes nothing: the version before continues to serve. Several pipeline sets are
reloaded independently.
"""

EXAMPLES = """\
examples:
  reference-engine reload
  reference-engine reload && echo "the next call uses it"
  reference-engine reload --set acme --force
  voicepipe check config/ai-agent.yaml && reference-engine reload

exit status: 0 all files are served now, 1 a file was rejected, or no engine answers
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `reload`."""
    command = commands.add_parser(
        "reload",
        help="make a running engine read its files again",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("--set", metavar="NAME", help="only this pipeline set (default: all, and the engine's file)")
    command.add_argument(
        "--force",
        action="store_true",
        help="end a rollback although the files have not changed; serve without a component that works now if its "
        "successor does not open",
    )
    add_control_option(command)
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Requests a reload and prints its outcome; returns 1 if a file was rejected."""
    parameters = {"force": "true"} if arguments.force else {}
    if arguments.set is not None:
        parameters["set"] = arguments.set
    return request_change(arguments, "/-/reload", params=parameters)
