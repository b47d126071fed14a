"""The command `status`: prints the versions of a running engine, their calls and the last reload."""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from reference_engine.commands.asking import add_control_option, request

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Shows which versions a running engine serves, how many calls each has, and how the last reload went.
"""

EXAMPLES = """\
examples:
  reference-engine status
  curl --unix-socket $XDG_RUNTIME_DIR/voicepipe/control.sock http://engine/sets     # the same as JSON; also /calls

exit status: 0 an engine answered, 1 none did
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `status`."""
    command = commands.add_parser(
        "status",
        help="show versions, calls and the last reload",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_control_option(command)
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Prints the state of all sets; returns 0 if an engine answered."""
    from reference_engine.reports.printing import describe_sets  # noqa: PLC0415 - only what the command needs

    sys.stdout.write(describe_sets(request(arguments, "GET", "/sets", expect="sets")))
    return 0
