"""Computes the directories to watch for changes of some files, the paths in them that matter, and the files' state.

A file is watched through its directory: an editor puts a new file in place of the old one, and a ConfigMap swaps the
symlink `..data` on the path to the file; neither changes the file itself.

A watch stays on the directory that was there when it began, whatever its path leads to later. So directories are
compared by device and inode, not by path. `states_of` finds the changes that make no event: of a file that is a mount
of its own, of a directory further up that is replaced, and on file systems without events, such as NFS when another
machine writes.
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
"""The most symlinks on a path; Linux's own limit."""

MAX_DIRECTORIES = 1000
"""The most directories that are watched below a directory that a configuration names; a Vosk model has about 5."""

MAX_FILES = 10_000
"""The most files whose state is compared below such a directory; a configuration with more is rejected anyway."""

State: TypeAlias = "tuple[int, ...] | dict[Path, tuple[int, ...] | None] | None"
"""A file's device, inode, size and times; for a directory, those of each file in it; None if nothing is there."""


@frozen
class WatchPoints:
    """The directories and paths that lead to some files, as they are on disk now."""

    directories: Mapping[str, tuple[int, int]]
    """The directories to watch, not recursively, each with its device and inode; all exist and can be read."""
    entries: frozenset[str]
    """Absolute paths in these directories whose creation, change or removal matters."""
    trees: tuple[str, ...] = ()
    """Absolute paths of directories below which every change matters, each ending with `/`."""

    def watched(self, path: str) -> bool:
        """Returns whether a path is a watched directory; if it was created or removed, the watch on it is stale."""
        return path in self.directories

    def concern(self, path: str) -> bool:
        """Returns whether a change of a path matters; that of a log file beside the watched files does not."""
        return path in self.entries or path.startswith(self.trees)


def watchpoints_of(paths: Iterable[Path]) -> WatchPoints:
    """Returns the watch points of files and whole directories.

    Blocks for some system calls per path.

    Args:
        paths: absolute paths; what is missing is waited for, in the deepest directory that exists.

    """
    entries: set[Path] = set()
    trees: dict[str, list[str]] = {}
    for path in paths:
        try:
            way = tuple(_way_to(path))
        except ValueError:  # a path with NUL or half of a surrogate pair can never exist
            continue
        entries.update(way)
        # `Path.is_dir` raises for names that are too long and for directories without permission.
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
    """Returns the state of each path now; a file whose state is equal to an earlier one has not changed since.

    Blocks for one system call per file, including the files in directories.

    Args:
        paths: absolute paths.

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
    # `cp -p` and `touch -r` set the modification time, but no program can set the change time.
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _identity(directory: str) -> tuple[int, int] | None:
    if not os.access(directory, os.R_OK):
        return None
    try:
        status = os.stat(directory)  # noqa: PTH116 - the path is text, as watchfiles has it
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _way_to(path: Path) -> Iterator[Path]:
    """Yields the paths that must not change for `path` to lead to the same file, the file last.

    These are each symlink on the way and the last two steps (the directory and the file); or, if the way ends early,
    the first step that is missing. Directories further up are covered by `states_of`.

    Raises:
        ValueError: no file can have this path.

    """
    at = Path("/")
    steps = list(reversed(path.parts[1:]))
    links = 0
    while steps:
        step = steps.pop()
        if step == "..":
            at = at.parent  # `at` is resolved already
            continue
        here = at / step
        try:
            target = here.readlink()
        except OSError as error:
            if error.errno != EINVAL:
                yield at if error.errno == ENOTDIR else here
                return
            if len(steps) < 2:  # it exists and is not a symlink
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
