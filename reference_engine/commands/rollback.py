"""The command `rollback`: makes a running engine serve an earlier version again."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING
from urllib.parse import quote

from reference_engine.commands.asking import add_control_option, request, request_change
from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Makes a running engine serve an earlier version again, as a new version, from the copy that it keeps; no file is read.
The rollback holds until the files change; `reference-engine reload --force` ends it earlier.
"""

EXAMPLES = """\
examples:
  reference-engine rollback
  reference-engine rollback --set acme --to 3
  reference-engine status     # lists the versions

exit status: 0 the earlier version serves again, 1 it was rejected, or no engine answers
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `rollback`."""
    command = commands.add_parser(
        "rollback",
        help="make a running engine serve an earlier version",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("--set", metavar="NAME", help="which pipeline set (default: the only one)")
    command.add_argument("--to", type=int, metavar="N", help="which version (default: the one before the serving one)")
    add_control_option(command)
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Requests a rollback and prints its outcome; returns 1 if it was rejected."""
    name = arguments.set
    if name is None:
        names = [shown["set"] for shown in request(arguments, "GET", "/sets", expect="sets")["sets"]]
        if len(names) != 1:
            raise EngineError(f"the engine has {len(names)} pipeline sets: choose one with --set: {', '.join(names)}")
        (name,) = names
    return request_change(arguments, f"/sets/{quote(name, safe='')}/rollback", json={"to": arguments.to})
