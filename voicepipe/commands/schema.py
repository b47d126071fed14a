"""`voicepipe schema`: the JSON Schema of pipeline files, for editors."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from voicepipe.config.describe.json_schema import json_schema

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

_DESCRIPTION = """\
Prints the JSON Schema (2020-12) of pipeline files, with the options of every installed adapter. An editor that uses it
completes keys, shows their descriptions, and marks most mistakes while you type.
"""

_EXAMPLES = """\
examples:
  voicepipe schema > schema.json
  # and as the first line of a pipeline file beside it:
  # yaml-language-server: $schema=schema.json

exit status: 0 success, 2 wrong usage
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "schema",
        help="print the JSON Schema of pipeline files, for editors",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)


def run(_arguments: Namespace) -> int:
    """Prints the schema; returns the exit status."""
    sys.stdout.write(format_schema())
    return 0


def format_schema() -> str:
    """The schema as it is printed."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"
