"""The `reference-engine` command: installs signal handlers, then imports and runs a subcommand of `commands/`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from reference_engine.lifecycle.early_signals import end_at_interrupt, take_early_signals

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand and returns its exit status; argparse itself exits with 2 for wrong usage.

    Args:
        argv: the arguments; None: those of the process, whose signal handlers are then set for good.

    """
    given = sys.argv[1:] if argv is None else list(argv)
    if given[:1] == ["run"]:
        take_early_signals()
    elif argv is None:
        end_at_interrupt()
    from reference_engine.commands.parser import run_command  # noqa: PLC0415 - see the module

    return run_command(given)
