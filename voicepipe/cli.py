"""The `voicepipe` command; what its subcommands do is in `voicepipe.commands`."""

from __future__ import annotations

import os
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib.metadata import version
from typing import TYPE_CHECKING

from voicepipe.commands import check, components, diff, explain, new_adapter, schema

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (check, diff, explain, components, schema, new_adapter)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status; argparse itself exits with 2 for wrong usage."""
    parser = ArgumentParser(
        prog="voicepipe",
        description="Voice pipelines for telephone lines: composed in YAML, changed while calls are up.",
        epilog="Each command has its own help, with examples: voicepipe check --help",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"voicepipe {version('voicepipe')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    arguments = parser.parse_args(argv)
    try:
        status: int = arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except OSError as error:
        # Nobody takes our output: Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            return 128 + signal.SIGPIPE
        sys.stderr.write(f"voicepipe: {error}\n")
        return 1
    return status
