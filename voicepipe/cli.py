"""The `voicepipe` command; what its subcommands do is in `voicepipe.commands`."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

import voicepipe
from voicepipe.commands import call, check, components, diff, explain, new_adapter, schema
from voicepipe.commands.program import run_program

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (check, diff, explain, components, schema, call, new_adapter)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status; argparse itself exits with 2 for wrong usage."""
    parser = ArgumentParser(
        prog="voicepipe",
        description="Voice pipelines for telephone lines: composed in YAML, changed while calls are up.",
        epilog="Each command has its own help, with examples: voicepipe check --help",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"voicepipe {voicepipe.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return run_program("voicepipe", lambda: _run(parser, argv))


def _run(parser: ArgumentParser, argv: Sequence[str] | None) -> int:
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status
