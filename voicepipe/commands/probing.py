"""Opens the components of a configuration as a start would, and closes them again."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import attrs
import trio

from voicepipe.commands.interrupts import run_interruptible
from voicepipe.errors import ConfigError, Problem
from voicepipe.pipelines.lease import Lease
from voicepipe.pipelines.plan import reachable_components
from voicepipe.pipelines.runtime import open_runtime

if TYPE_CHECKING:
    from voicepipe.components.registry import Registry
    from voicepipe.config.load import PlacedConfig
    from voicepipe.config.settings import SetConfig

PROGRESS_S = 0.2
"""How often the line on the terminal is written again."""
_WIDEST = 78


def probe(placed: PlacedConfig, registry: Registry, deadline_s: float) -> tuple[Problem, ...]:
    """Returns a problem for each component that can't be opened; one that can probe itself does.

    Those that calls can get are opened, all at once, as a start does. Progress is shown on a terminal.
    """
    problems = run_interruptible(_problems, placed.config, registry, deadline_s)
    source = placed.root.context.source
    return tuple(attrs.evolve(problem, source=source.line(problem.where.line)) for problem in problems)


async def _problems(config: SetConfig, registry: Registry, deadline_s: float) -> tuple[Problem, ...]:
    async with trio.open_nursery() as nursery, open_runtime() as runtime:
        lease = Lease(runtime)
        if sys.stderr.isatty():
            nursery.start_soon(_show_progress, config, lease)
        try:
            await lease.open(config, registry, deadline_s, name="main", version=1)
        except ConfigError:
            pass  # a start would be refused; the other things that did not open are of interest as well
        finally:
            lease.release()
            nursery.cancel_scope.cancel()
    return tuple(lease.problems.values())


async def _show_progress(config: SetConfig, lease: Lease) -> None:
    """Keeps a line on the terminal that tells what is waited for."""
    every = {one.key: f"{one.role} {one.name}" for one in reachable_components(config)}
    try:
        while True:
            waiting = [label for key, label in every.items() if key not in {*lease.components, *lease.problems}]
            line = f"opened {len(every) - len(waiting)} of {len(every)}, waiting for {', '.join(waiting)}"
            _clear_line()
            sys.stderr.write(line[:_WIDEST])
            sys.stderr.flush()
            await trio.sleep(PROGRESS_S)
    finally:
        _clear_line()


def _clear_line() -> None:
    """Empties the terminal's line, past the stream: in what it is given it escapes whatever acts on a terminal."""
    sys.stderr.flush()
    os.write(sys.stderr.fileno(), b"\r\x1b[K")
