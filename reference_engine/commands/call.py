"""The command `call`: shows all there is to know about one call of the records."""

from __future__ import annotations

import json
import shutil
import sys
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from reference_engine.commands.asking import stdout_has_colour
from reference_engine.commands.call_configuration import add_configuration_options, show_configuration
from reference_engine.commands.records_source import add_records_options, open_source

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Shows one call: why it ended, who called, on which version it ran, and everything that happened in order of time: what
was said and heard, how long the caller waited for each reply and for which component, tools, failures and transfers;
then what it used and what that cost. It reads the records themselves, so the engine may be down.
"""

EXAMPLES = """\
examples:
  reference-engine call 5f3c9a72                            # as `reference-engine calls` lists it
  reference-engine call 5f3c9a72-9d0e-4f5b-8f0e-2f0c6f1f7a11 --format json | jq '.failures'
  reference-engine call 1764558731.42                       # the transport's ID, such as Asterisk's: the latest call
  reference-engine call 5f3c9a72 --records backup/calls.jsonl
  reference-engine call 5f3c9a72 --config                   # what it ran on, as YAML, months later
  reference-engine call 5f3c9a72 --diff                     # what has changed since: prompts, voices, limits

exit status: 0 the call was found, 1 there is none or the records can't be read, 78 the engine's file has problems,
2 wrong usage
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `call`."""
    command = commands.add_parser(
        "call",
        help="show what happened on a call, and why it ended",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("id", metavar="ID", help="the call's ID, its first characters, or the transport's ID of it")
    command.add_argument("--format", choices=["text", "json"], default="text", help="default: text")
    add_configuration_options(command)
    add_records_options(command)
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Prints the call; returns 0."""
    from reference_engine.records.call_text import as_data, as_text  # noqa: PLC0415 - only what the command needs

    source = open_source(arguments)
    call = source.find_call(arguments.id)
    if arguments.config or arguments.diff:
        return show_configuration(arguments, source.place, call)
    if arguments.format == "json":
        sys.stdout.write(json.dumps(as_data(call), indent=2, ensure_ascii=False) + "\n")
    else:
        width = shutil.get_terminal_size((80, 24)).columns if sys.stdout.isatty() else 80
        sys.stdout.write(as_text(call, width=width, colour=stdout_has_colour()))
    return 0
