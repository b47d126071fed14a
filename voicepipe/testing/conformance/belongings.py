"""Counts what this process holds (tasks, threads, processes, file descriptors, generators), to find leaks."""

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
"""The names of trio's idle threads, which it keeps for 10 s; busy threads have other names."""

LOOK_S = 0.01


@frozen
class Belongings:
    """The tasks, threads and other objects that the process holds at one time."""

    kinds: dict[str, Counter[str]]
    """The names of the objects of each kind (`task`, `thread`, ...), counted."""

    def or_more(self, other: Belongings) -> Belongings:
        """Returns, for each kind, the larger of both counts."""
        return Belongings(
            {kind: max(names, other.kinds[kind], key=Counter.total) for kind, names in self.kinds.items()}
        )

    def more_than(self, before: Belongings) -> list[str]:
        """Returns, in words, the kinds of which there are more than before, how many more, and the new names.

        Only counts are compared, because a pool may replace one connection by another.
        """
        leaks = []
        for kind, names in self.kinds.items():
            extra = names.total() - before.kinds[kind].total()
            if extra > 0:
                new = (names - before.kinds[kind]).elements()
                leaks.append(f"{extra} {kind}{'s' if extra > 1 else ''} more than before ({in_words(new)})")
        return leaks


def belongings(resources: Resources | None = None) -> Belongings:
    """Returns what this process holds now.

    Args:
        resources: the resources of a component, to count the threads that it borrows; None: none.

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
    """Waits until the process holds no more than before.

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
            gc.collect()  # objects in cycles are not held
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
    """Yields the process ids of child processes; none on systems without /proc."""
    for task in Path("/proc/self/task").glob("*/children"):
        try:
            yield from task.read_text(encoding="ascii").split()
        except FileNotFoundError:  # the thread ended meanwhile
            continue


def _descriptors() -> Iterator[str]:
    """Yields the target of each open file descriptor, or its number if the system doesn't tell."""
    for number in os.listdir("/dev/fd"):  # noqa: PTH208 - names are enough
        try:
            yield str(Path("/dev/fd", number).readlink())
        except FileNotFoundError:  # the one that listed the directory
            continue
        except OSError:
            yield f"descriptor {number}"
