"""Keeps changes of rows in files while the database is away.

Theory of operation
===================

The spool is a directory with a file for each run of an engine, `RUN.jsonl`, one change a line
(`row_changes.as_line`). Its engine holds a lock on it (`flock`) for as long as it lives. So several engines may share
the directory, and the next start takes over the files whose engine is gone.

*Order.* What is read first are files of earlier runs, the oldest first, then the own one. A file is emptied or deleted
once all of it is stored, and not before: an engine that is killed halfway stores its beginning twice, and rows that
are written twice are the same rows.

*Whole lines.* Lines are appended together and made durable (`fdatasync`). If the disk has no room, the file is cut to
where they began, and the caller keeps them. A file of a killed engine may end with part of a line, which is cut off.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from attrs import frozen

from reference_engine.records.row_changes import RowChange, UnknownFormatError, as_line, from_line

if TYPE_CHECKING:
    from pathlib import Path

_SUFFIX = ".jsonl"


@frozen
class Chunk:
    """Changes that were read from a spool."""

    changes: Sequence[RowChange]
    """The changes, without damaged lines."""
    lines: int
    """The number of lines that they are."""
    file: _SpoolFile
    """The file."""
    end: int
    """The offset after them."""


class Spool:
    """The files of changes that wait for the database; used by one thread.

    Args:
        directory: where they are; made when there is something to keep.
        run: the engine's run, which names its file.
        group: whether the directory and files can be read by the group.

    Attributes:
        waiting: the number of changes in the files; any thread may read it.
        damaged: the number of lines that were unreadable.
        foreign: files of a later version of the software, which are left alone.

    """

    def __init__(self, directory: Path, run: str, *, group: bool = False) -> None:
        self.directory, self._group = directory, group
        self.waiting = 0
        self.damaged = 0
        self.foreign: list[Path] = []
        self._own = _SpoolFile(directory / f"{run}{_SUFFIX}")
        self._files: list[_SpoolFile] = []

    def take_over(self) -> int:
        """Takes over the files of engines that are gone, and returns the number of their changes.

        Raises:
            OSError: a file can't be read.

        """
        if not self.directory.is_dir():
            return 0
        known = {self._own.path, *(file.path for file in self._files), *self.foreign}
        paths = [path for path in self.directory.iterdir() if path.suffix == _SUFFIX and path not in known]
        taken = 0
        for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
            file = _SpoolFile(path)
            if not file.lock():
                continue
            try:
                lines = file.count()
            except UnknownFormatError:
                self.foreign.append(path)
                file.close()
                continue
            self.damaged += file.torn
            if not lines:
                file.delete()
                continue
            self._files.append(file)
            taken += lines
        self.waiting += taken
        return taken

    @property
    def is_own_empty(self) -> bool:
        """Whether nothing of this run waits."""
        return self._own.size == 0

    def open(self) -> None:
        """Makes the directory and the own file, if they are not there.

        Raises:
            OSError: they can't be made.

        """
        if self._own.descriptor is None:
            for directory in (*reversed(self.directory.parents), self.directory):
                if not directory.is_dir():
                    directory.mkdir(0o750 if self._group else 0o700, exist_ok=True)
            self._own.open(0o640 if self._group else 0o600)

    def append(self, changes: Sequence[RowChange]) -> None:
        """Appends changes to the own file, durably.

        Raises:
            OSError: none of them is kept.

        """
        self.open()
        self._own.append("".join(f"{as_line(change)}\n" for change in changes).encode())
        self.waiting += len(changes)

    def next(self, limit: int) -> Chunk | None:
        """Returns up to `limit` of the oldest changes; None if none wait.

        Raises:
            OSError: the file can't be read.

        """
        for file in (*self._files, self._own):
            if file.offset < file.size:
                return file.read(limit)
        return None

    def stored(self, chunk: Chunk) -> None:
        """Forgets the changes that `next` returned, which are in the database now."""
        file = chunk.file
        self.waiting -= chunk.lines
        self.damaged += chunk.lines - len(chunk.changes)
        file.offset = chunk.end
        if file.offset < file.size:
            return
        if file is self._own:
            file.clear()
        else:
            file.delete()
            self._files.remove(file)

    def close(self) -> None:
        """Closes the files; the own one is deleted if nothing is in it."""
        for file in self._files:
            file.close()
        if self._own.descriptor is not None:
            if self._own.size == 0:
                self._own.delete()
            self._own.close()


class _SpoolFile:
    """One file of a spool."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: int | None = None
        self.offset = self.size = 0
        self.torn = 0

    def open(self, mode: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self.descriptor = os.open(self.path, flags, mode)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self.size = os.fstat(self.descriptor).st_size

    def lock(self) -> bool:
        """Opens the file of another engine and locks it; returns False if that engine lives."""
        try:
            self.descriptor = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(self.descriptor).st_nlink == 0:  # another engine has just stored all of it
                self.close()
                return False
        except BlockingIOError:
            self.close()
            return False
        self.size = os.fstat(self.descriptor).st_size
        return True

    def count(self) -> int:
        """Returns the number of whole lines, and cuts off a torn one at the end.

        Raises:
            UnknownFormatError: the file is of a later version of the software.

        """
        lines = end = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    self.torn = 1
                    os.ftruncate(self._fd, end)
                    break
                if lines == 0:
                    _check_format(line)
                lines += 1
                end += len(line)
        self.size = end
        return lines

    def append(self, data: bytes) -> None:
        rest, at = memoryview(data), self.size
        try:
            while rest:
                written = os.pwrite(self._fd, rest, at)
                rest, at = rest[written:], at + written
            os.fdatasync(self._fd)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, self.size)
            raise
        self.size = at

    def read(self, limit: int) -> Chunk:
        """Returns changes from the offset on."""
        changes: list[RowChange] = []
        lines, end = 0, self.offset
        with os.fdopen(os.dup(self._fd), "rb") as file:  # not by its path: the directory may have been removed
            file.seek(self.offset)
            while lines < limit and end < self.size:
                line = file.readline()
                lines, end = lines + 1, end + len(line)
                if not line:
                    end = self.size  # somebody has cut it
                with suppress(ValueError):
                    changes.append(from_line(line))
        return Chunk(changes, lines, self, end)

    def clear(self) -> None:
        os.ftruncate(self._fd, 0)
        self.offset = self.size = 0

    def delete(self) -> None:
        with suppress(FileNotFoundError):
            self.path.unlink()
        self.close()

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    @property
    def _fd(self) -> int:
        if self.descriptor is None:
            raise AssertionError("the file is open")
        return self.descriptor


def _check_format(line: bytes) -> None:
    try:
        from_line(line)
    except UnknownFormatError:
        raise
    except ValueError:
        pass
