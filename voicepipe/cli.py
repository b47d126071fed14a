"""The `voicepipe` command; what its subcommands do is in `voicepipe.commands`.

Only `interrupts` is imported before Ctrl-C is taken care of: the rest takes half a second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from voicepipe.commands.interrupts import interrupts_end_it

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status; argparse itself exits with 2 for wrong usage.

    Args:
        argv: the arguments; None: those of the process, which is then this program's until it ends.

    """
    with interrupts_end_it(for_good=argv is None):
        from voicepipe.commands.parser import make_parser  # noqa: PLC0415 - see the module
        from voicepipe.commands.program import run_program  # noqa: PLC0415

        return run_program("voicepipe", lambda: _run(make_parser(), argv))


def _run(parser: ArgumentParser, argv: Sequence[str] | None) -> int:
    arguments = parser.parse_args(argv)
    status: int = arguments.run(arguments)
    return status
