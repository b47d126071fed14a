"""The command `schema`: prints the JSON Schema of an engine's file, for editors."""

from __future__ import annotations

import json
import sys
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Prints the JSON Schema (2020-12) of an engine's file, with the options of every installed transport. An editor that uses
it completes keys, shows their descriptions, and marks most mistakes while you type. `voicepipe schema` prints that of a
pipeline set's file.
"""

EXAMPLES = """\
examples:
  reference-engine schema > engine.schema.json
  # and as the first line of an engine's file beside it:
  # yaml-language-server: $schema=engine.schema.json

exit status: 0 success, 2 wrong usage
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `schema`."""
    command = commands.add_parser(
        "schema",
        help="print the JSON Schema of an engine's file, for editors",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)


def run(_arguments: Namespace) -> int:
    """Prints the schema; returns the exit status."""
    from reference_engine.settings.loading import engine_schema  # noqa: PLC0415 - see `run`

    sys.stdout.write(json.dumps(engine_schema(), indent=2, ensure_ascii=False) + "\n")
    return 0
