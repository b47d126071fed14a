"""Which directories to watch for changes of a file, and what in them to look at.

A file is watched by the directory that it is in: an editor puts a new file in the old one's place, and a ConfigMap
swaps the symlink `..data` that the file is reached through, and neither touches the file itself.
"""

from __future__ import annotations

import os
from errno import EINVAL, ENOTDIR
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_LINKS = 40
"""How many symlinks a path may lead through; Linux's own limit."""

MAX_DIRECTORIES = 1000
"""How many directories below one that is named are watched; a Vosk model has about 5."""


@frozen
class WatchPoints:
    """What leads to a set of files, on disk as it is now."""

    directories: frozenset[str]
    """What to watch, without what is below: all are there, and may be read."""
    entries: frozenset[str]
    """Absolute paths in them whose creation, change or removal matters."""
    trees: tuple[str, ...] = ()
    """Absolute paths of directories in which everything matters, each ending with `/`."""

    def concern(self, path: str) -> bool:
        """Whether it matters that something happened to a path; a log that is written beside the files does not."""
        return path in self.entries or path.startswith(self.trees)


def watchpoints_of(paths: Iterable[Path]) -> WatchPoints:
    """Where to watch for changes of files and whole directories, those that are not there yet included.

    Blocks for some system calls a path.

    Args:
        paths: absolute.

    """
    entries: set[Path] = set()
    trees: dict[str, list[str]] = {}
    for path in paths:
        way = tuple(_way_to(path))
        entries.update(way)
        if way and way[-1].is_dir():
            end = str(way[-1])
            trees[f"{end.rstrip('/')}/"] = [directory for directory, _, _ in islice(os.walk(end), MAX_DIRECTORIES)]
    watched = {*map(str, {entry.parent for entry in entries}), *chain.from_iterable(trees.values())}
    return WatchPoints(
        directories=frozenset(directory for directory in watched if os.access(directory, os.R_OK)),
        entries=frozenset(map(str, entries)),
        trees=tuple(sorted(trees)),
    )


def _way_to(path: Path) -> Iterator[Path]:
    """What must stay as it is for a path to lead to the same file, the file last.

    That is each symlink on the way, the last two steps (the file, and its directory), or, where the way ends early, the
    first step that is missing. Directories further up are taken to stay.
    """
    at = Path("/")
    steps = list(reversed(path.parts[1:]))
    links = 0
    while steps:
        step = steps.pop()
        if step == "..":
            at = at.parent  # `at` has no symlink in it
            continue
        here = at / step
        try:
            target = here.readlink()
        except OSError as error:
            if error.errno != EINVAL:
                yield at if error.errno == ENOTDIR else here
                return
            if len(steps) < 2:  # it is there, and no symlink
                yield here
            at = here
        else:
            yield here
            links += 1
            if links > MAX_LINKS:
                return
            if target.is_absolute():
                at = Path("/")
            steps.extend(part for part in reversed(target.parts) if part != "/")
