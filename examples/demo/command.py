"""The demonstration's command line, exit status and signals."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from examples.demo.play import play
from examples.demo.screen import Screen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

CONFIG = Path(__file__).parents[2] / "config"


def main(argv: Sequence[str] | None = None) -> int:
    """Plays the demonstration: 0 if everything went as expected, 1 if not, 128 and the signal's number if stopped."""
    parser = ArgumentParser(
        prog="python -m examples.demo",
        description="Starts an engine, calls it, reloads it while calls are up, and checks all that it shows.",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output"), help="where everything is written (default: %(default)s)"
    )
    parser.add_argument(
        "--config", type=Path, default=CONFIG, help="the directory with ai-agent.yaml (default: the project's own)"
    )
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    ours = os.open(arguments.output, os.O_RDONLY)
    try:
        fcntl.flock(ours, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        parser.error(f"another demonstration is writing to {arguments.output}; wait, or give another --output")
    status = 128 + signal.SIGPIPE
    try:
        status = trio.run(_main, arguments.config, arguments.output)
    except* BrokenPipeError:  # nobody reads any more; nor shall Python complain of it when it flushes at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return status


async def _main(config: Path, output: Path) -> int:
    status = 1

    async def end_on(signals: AsyncIterator[int], everything: trio.CancelScope) -> None:
        nonlocal status
        async for number in signals:
            status = 128 + number
            print(f"\nStopped by {signal.Signals(number).name}.", flush=True)
            everything.cancel()

    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals, trio.CancelScope() as everything:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(end_on, signals, everything)
            status = 0 if await play(config, output, Screen(sys.stdout)) else 1
            nursery.cancel_scope.cancel()
    return status
