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
"""The time between two updates of the line on the terminal, in s."""
_WIDEST = 78


def probe(placed: PlacedConfig, registry: Registry, deadline_s: float) -> tuple[Problem, ...]:
    """Opens the components of reachable pipelines, and returns a problem for each that can't be opened.

    They are opened at the same time and probed, as at a start. Progress is shown on a terminal.
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
            pass  # a start would be refused; here all components that did not open are reported
        finally:
            lease.release()
            nursery.cancel_scope.cancel()
    return tuple(lease.problems.values())


async def _show_progress(config: SetConfig, lease: Lease) -> None:
    """Shows, in a line on the terminal, which components are not open yet."""
    labels = {component.key: f"{component.role} {component.name}" for component in reachable_components(config)}
    try:
        while True:
            waiting = [label for key, label in labels.items() if key not in {*lease.components, *lease.problems}]
            line = f"opened {len(labels) - len(waiting)} of {len(labels)}, waiting for {', '.join(waiting)}"
            _clear_line()
            sys.stderr.write(line[:_WIDEST])
            sys.stderr.flush()
            await trio.sleep(PROGRESS_S)
    finally:
        _clear_line()


def _clear_line() -> None:
    """Clears the terminal's line, bypassing the stream, which escapes control characters."""
    sys.stderr.flush()
    os.write(sys.stderr.fileno(), b"\r\x1b[K")
