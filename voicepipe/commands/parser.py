"""The command line of `voicepipe`: the subcommands, each with its own arguments."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from importlib.metadata import version

from voicepipe.commands import call, check, components, diff, explain, new_adapter, schema
from voicepipe.components.distribution import DISTRIBUTION

COMMANDS = (check, diff, explain, components, schema, call, new_adapter)


def make_parser() -> ArgumentParser:
    """Returns the parser of the command line; `run` of its namespace is the subcommand's function."""
    parser = ArgumentParser(
        prog="voicepipe",
        description="Voice pipelines for telephone lines: composed in YAML, changed while calls are up.",
        epilog="Each command has its own help, with examples: voicepipe check --help",
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"voicepipe {version(DISTRIBUTION)}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_to(commands)
    return parser
