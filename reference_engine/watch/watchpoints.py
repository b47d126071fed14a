"""Which directories to watch for changes of a file, and what in them to look at.

A file is watched by the directory that it is in: an editor puts a new file in the old one's place, and a ConfigMap
swaps the symlink `..data` that the file is reached through, and neither touches the file itself.

A watch holds on to the directory that was there when it began, whatever its path leads to later. So directories are
compared by device and inode too. What events don't tell, `states_of` does: where the file is mounted by itself, where a
directory further up is replaced, and where a file system has no events, as NFS when another machine writes.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from errno import EINVAL, ENOTDIR
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_LINKS = 40
"""How many symlinks a path may lead through; Linux's own limit."""

MAX_DIRECTORIES = 1000
"""How many directories below one that is named are watched; a Vosk model has about 5."""

MAX_FILES = 10_000
"""How many files in one that is named are looked at; a configuration is refused that names one with more."""

State: TypeAlias = "tuple[int, ...] | dict[Path, tuple[int, ...] | None] | None"
"""A file's device, inode, size and times; those of each file of a directory; None if nothing is there."""


@frozen
class WatchPoints:
    """What leads to a set of files, on disk as it is now."""

    directories: Mapping[str, tuple[int, int]]
    """What to watch, without what is below, each with its device and inode: all are there, and may be read."""
    entries: frozenset[str]
    """Absolute paths in them whose creation, change or removal matters."""
    trees: tuple[str, ...] = ()
    """Absolute paths of directories in which everything matters, each ending with `/`."""

    def watched(self, path: str) -> bool:
        """Whether that is a directory to watch: when one is made or removed, a watch is not on what is there now."""
        return path in self.directories

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
        try:
            way = tuple(_way_to(path))
        except ValueError:  # it has a NUL in it, or half of a surrogate pair: nothing can ever be there
            continue
        entries.update(way)
        # `Path.is_dir` raises for names that are too long, and where one may not look.
        if way and os.path.isdir(way[-1]):  # noqa: PTH112
            end = str(way[-1])
            trees[f"{end.rstrip('/')}/"] = [directory for directory, _, _ in islice(os.walk(end), MAX_DIRECTORIES)]
    watched = {*map(str, {entry.parent for entry in entries}), *chain.from_iterable(trees.values())}
    return WatchPoints(
        directories={directory: of for directory in watched if (of := _identity(directory)) is not None},
        entries=frozenset(map(str, entries)),
        trees=tuple(sorted(trees)),
    )


def states_of(paths: Iterable[Path]) -> dict[Path, State]:
    """What is at the end of each path now: two that are equal are the same, unchanged, files.

    Blocks for one system call for each file, those in directories included.

    Args:
        paths: absolute.

    """
    return {path: _state(path) for path in paths}


def _state(path: Path) -> State:
    try:
        status = path.stat()
        if not stat.S_ISDIR(status.st_mode):
            return _signature(status)
        below = (Path(at, name) for at, _, names in islice(os.walk(path), MAX_DIRECTORIES) for name in names)
        return {name: _signature_of(name) for name in islice(below, MAX_FILES)}
    except (OSError, ValueError):
        return None


def _signature_of(path: Path) -> tuple[int, ...] | None:
    try:
        return _signature(path.stat())
    except OSError:
        return None


def _signature(status: os.stat_result) -> tuple[int, ...]:
    # Of the change time nobody can say anything else: `cp -p` and `touch -r` set the modification time.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _identity(directory: str) -> tuple[int, int] | None:
    if not os.access(directory, os.R_OK):
        return None
    try:
        status = os.stat(directory)  # noqa: PTH116 - it is text, as watches have it
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _way_to(path: Path) -> Iterator[Path]:
    """What must stay as it is for a path to lead to the same file, the file last.

    That is each symlink on the way, the last two steps (the file, and its directory), or, where the way ends early, the
    first step that is missing. Directories further up are compared by `states_of`.

    Raises:
        ValueError: it is no path.

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
