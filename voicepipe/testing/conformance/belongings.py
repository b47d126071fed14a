"""What this process holds: tasks, threads, processes, file descriptors, generators; and what is more than before."""

from __future__ import annotations

import gc
import os
import re
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from voicepipe.testing.conformance.generators import generators
from voicepipe.testing.conformance.verdicts import Failed, in_words
from voicepipe.testing.conformance.waiting import counted_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from voicepipe.components.protocols import Resources

IDLE_THREAD = re.compile(r"Trio thread \d+")
"""What trio's threads are called while they wait for work: it keeps them for 10 s. Busy ones bear their work's name."""

LOOK_S = 0.01


@frozen
class Belongings:
    """What the process holds at one moment, by kind."""

    kinds: dict[str, Counter[str]]
    """The names of what there is of each kind: `task`, `thread`, ..."""

    def or_more(self, other: Belongings) -> Belongings:
        """Of each kind what there was more of at either moment."""
        return Belongings(
            {kind: max(names, other.kinds[kind], key=Counter.total) for kind, names in self.kinds.items()}
        )

    def more_than(self, before: Belongings) -> list[str]:
        """What there is more of than before: of each kind how many, and which ones are new.

        Only numbers count: a pool may replace a connection by another.
        """
        found = []
        for kind, names in self.kinds.items():
            extra = names.total() - before.kinds[kind].total()
            if extra > 0:
                new = (names - before.kinds[kind]).elements()
                found.append(f"{extra} {kind}{'s' if extra > 1 else ''} more than before ({in_words(new)})")
        return found


def belongings(resources: Resources | None = None) -> Belongings:
    """What this process holds now.

    Args:
        resources: what was lent to a component, to count the threads that it uses.

    """
    borrowed = resources.threads.borrowed_tokens if resources else 0
    return Belongings(
        {
            "task": Counter(_tasks()),
            "thread": Counter(_threads()),
            "borrowed thread": Counter(["of Resources.threads"] * borrowed),
            "child process": Counter(_children()),
            "file descriptor": Counter(_descriptors()),
            "async generator": Counter(generators().unfinished()),
            "generator left to the collector": Counter(generators().dropped),
        }
    )


async def nothing_more_than(before: Belongings, settle_s: float, resources: Resources | None = None) -> None:
    """Returns as soon as the process holds no more than before.

    Raises:
        Failed: it still does after `settle_s`.

    """
    deadline = counted_s() + settle_s
    while True:
        await trio.lowlevel.checkpoint()
        extra = belongings(resources).more_than(before)
        if not extra:
            return
        if counted_s() > deadline:
            gc.collect()  # what only a cycle holds is not held
            if not (extra := belongings(resources).more_than(before)):
                return
            raise Failed(f"there is still {in_words(extra)}; those of a test server in this process count too")
        await trio.sleep(LOOK_S)


def _tasks() -> Iterator[str]:
    root = trio.lowlevel.current_root_task()
    ahead: list[trio.lowlevel.Task] = [root] if root else []
    while ahead:
        task = ahead.pop()
        yield task.name
        ahead.extend(child for nursery in task.child_nurseries for child in nursery.child_tasks)


def _threads() -> Iterable[str]:
    return (thread.name for thread in threading.enumerate() if not IDLE_THREAD.fullmatch(thread.name))


def _children() -> Iterator[str]:
    """By process number; on systems without /proc, none."""
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            yield from task.read_text(encoding="ascii").split()
        except FileNotFoundError:  # the thread ended meanwhile
            continue


def _descriptors() -> Iterator[str]:
    """What each open file descriptor leads to, where the system tells."""
    for number in os.listdir("/dev/fd"):  # noqa: PTH208 - names are enough
        try:
            yield str(Path("/dev/fd", number).readlink())
        except FileNotFoundError:  # the one that listed the directory
            continue
        except OSError:
            yield f"descriptor {number}"
