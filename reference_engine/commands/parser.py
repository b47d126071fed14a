"""The command line of `reference-engine`: runs one subcommand and returns its exit status."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING

from reference_engine.commands import (
    call,
    calls,
    check,
    dial,
    drain,
    fleet,
    notify,
    pause,
    publish,
    records,
    reload,
    rollback,
    run,
    schema,
    status,
    steer,
    versions,
)
from reference_engine.errors import EngineError
from voicepipe import ConfigError, __version__, format_problems, run_program

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMANDS = (
    run,
    check,
    reload,
    rollback,
    drain,
    pause,
    status,
    calls,
    call,
    versions,
    publish,
    fleet,
    steer,
    dial,
    notify,
    records,
    schema,
)


EX_CONFIG = 78
"""The exit status for a file with problems, as in `sysexits.h`."""


def run_command(argv: Sequence[str]) -> int:
    """Runs one subcommand and returns its exit status; argparse itself exits with 2 for wrong usage."""
    return run_program("reference-engine", lambda: _run_subcommand(argv))


def make_parser() -> ArgumentParser:
    """Returns the parser of the command line; `run` of its namespace is the subcommand's function."""
    parser = ArgumentParser(
        prog="reference-engine",
        description="A thin telephone server on voicepipe.",
        epilog="Each command has its own help, with examples: reference-engine run --help",
    )
    parser.add_argument("--version", action="version", version=f"reference-engine {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser


def _run_subcommand(argv: Sequence[str]) -> int:
    arguments = make_parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except EngineError as error:
        sys.stderr.write(f"reference-engine: {error}\n")
        return 1
    except ConfigError as error:
        sys.stderr.write(f"{format_problems(error.problems)}\n")
        return EX_CONFIG
    return status
