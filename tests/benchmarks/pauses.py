"""An engine that notes how long it is held up: `python pauses.py OUT run ...` is `reference-engine run ...`.

OUT has, when it has ended, all looks of the garbage collector, the task steps of trio's loop that were longer than
`NOTED_MS` (either holds up all calls), and how late the loop woke up every `WAKE_S`, whoever was to blame for that. The
first two are CPU time of the loop's thread, so that what other processes do meanwhile does not count.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import trio
from attrs import asdict, frozen

from reference_engine import starting
from reference_engine.cli import main as run_cli

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind: TypeAlias = Literal["look", "step", "late"]
"""A look of the garbage collector, a step of a task, or a wake-up that came late."""

NOTED_MS = 0.5
"""Steps that take no longer, and wake-ups that are no later, are not noted."""

WAKE_S = 0.01
"""How often the loop wakes up only to see how late it is."""


@frozen
class Pause:
    """Something that held up the loop."""

    kind: Kind
    """What it was."""
    at: float
    """When it ended, on the clock `time.monotonic`, which all processes of a machine share."""
    ms: float
    """CPU time of the loop's thread; of a wake-up, how late it was."""
    what: str
    """The generation and the number of objects that a look freed; the task's name."""
    size: int = 0
    """How many objects a look went over."""


class Pauses(trio.abc.Instrument):
    """Notes the pauses of the loop that it instruments."""

    def __init__(self) -> None:
        self.noted: list[Pause] = []
        self._look = self._step = 0.0
        self._size = 0

    def note(self, kind: Kind, ms: float, what: str, size: int = 0) -> None:
        """Keeps what was long."""
        if kind == "look" or ms > NOTED_MS:
            self.noted.append(Pause(kind, time.monotonic(), round(ms, 3), what, size))

    def collected(self, phase: Literal["start", "stop"], info: dict[str, int]) -> None:
        """For `gc.callbacks`; in whatever thread the collector comes, all others wait for it."""
        if phase == "start":
            self._size = sum(len(gc.get_objects(age)) for age in range(info["generation"] + 1))
            self._look = time.thread_time()
        else:
            what = f"generation {info['generation']}, {info['collected']} freed"
            self.note("look", (time.thread_time() - self._look) * 1000, what, self._size)

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        """A task goes on."""
        del task
        self._step = time.thread_time()

    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        """It waits again."""
        self.note("step", (time.thread_time() - self._step) * 1000, task.name)

    async def keep_waking(self) -> None:
        """Notes how late it wakes."""
        while True:
            due = trio.current_time() + WAKE_S
            await trio.sleep_until(due)
            self.note("late", (trio.current_time() - due) * 1000, "")


def read_pauses(file: Path) -> list[Pause]:
    """What an engine noted, once it has ended."""
    return [Pause(**one) for one in json.loads(file.read_text())]


def longest(pauses: Iterable[Pause], kind: Kind) -> Pause:
    """The longest of a kind; one of 0 ms if there is none."""
    return max((one for one in pauses if one.kind == kind), key=lambda one: one.ms, default=Pause(kind, 0.0, 0.0, ""))


def main(out: Path, arguments: list[str]) -> int:
    """Runs the engine."""
    pauses = Pauses()
    run_engine = starting.run_engine

    async def run_watched(*args, **kwargs):
        trio.lowlevel.add_instrument(pauses)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pauses.keep_waking)
            status = await run_engine(*args, **kwargs)
            nursery.cancel_scope.cancel()
        return status

    starting.run_engine = run_watched
    gc.callbacks.append(pauses.collected)
    try:
        return run_cli(arguments)
    finally:
        out.write_text(json.dumps([asdict(one) for one in pauses.noted]))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
