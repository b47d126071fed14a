"""Reads the files that a configuration names, each once, within bounds.

One reading of a configuration has one `Files`, so that a file that changes meanwhile is the same for all that name it.
"""

from __future__ import annotations

import os
import stat
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from voicepipe.components.values import Directory, File
from voicepipe.config.hashes import hash_of
from voicepipe.config.paths import NO_PATH_HINT, absolute_path, why_no_path
from voicepipe.documents import among

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

T = TypeVar("T", File, Directory)

MAX_BYTES = 16 << 20
"""The most bytes of a file: far more than any prompt, script or secret has. It keeps `/dev/zero` out of memory."""
MAX_ENTRIES = 10_000
"""The most files of a directory; a Vosk model has about 20."""
MAX_DIRECTORY_BYTES = 64 << 30
"""The most bytes of a directory, because all its files are read; the largest Vosk model has 4 GB."""


class Unreadable(Exception):  # noqa: N818 - becomes a located Problem where the file is named
    """A file can't be used.

    The text gives the reason, `hint` the remedy, and `names` the other files in its directory. `absent` is True if the
    file does not exist, may not be read by this user, or is empty, so that another machine may have it.
    """

    def __init__(self, message: str, hint: str = "", *, names: tuple[str, ...] = (), absent: bool = False) -> None:
        super().__init__(message)
        self.hint, self.names, self.absent = hint, names, absent


def read_file(path: Path, most: int = MAX_BYTES) -> bytes:
    """Returns the content of a regular file, which has at most so many bytes.

    Raises:
        Unreadable: it does not exist, may not be read, is not a regular file, or is too large.

    """
    try:
        # A FIFO in the place of a file would block until somebody writes.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: NUL in the path
        absent = isinstance(error, FileNotFoundError | PermissionError)
        raise Unreadable(_reason(error), names=_siblings(path), absent=absent) from None
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise Unreadable("is a directory, not a file", f"name a file in it: {among(_entries(path))}")
        if not stat.S_ISREG(mode):
            raise Unreadable(
                "is not a regular file", "name a regular file: pipes and devices can't be read again at a reload"
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(most + 1)
    except OSError as error:
        raise Unreadable(_reason(error)) from None
    finally:
        os.close(descriptor)
    if len(content) > most:
        raise Unreadable(f"is larger than {most >> 20} MiB", "check that the path names the right file")
    return content


class Files:
    """The files and directories of one configuration; relative paths start at the directory of its file."""

    def __init__(self, named: Path, contents: Mapping[Path, bytes] | None = None) -> None:
        """Takes the path of the configuration file, and contents of files that replace those on the disk.

        Raises:
            Unreadable: the path is relative, and the working directory is gone.

        """
        self._shown = named.parent
        try:
            self.absolute = absolute_path(named)
        except OSError as error:
            hint = "start in a directory that exists, or use an absolute path"
            raise Unreadable(f"can't be found: the working directory {_reason(error)}", hint) from None
        """The absolute path of the configuration file."""
        self._contents = contents or {}
        self._configuration: bytes | None = None
        self._secret: set[Path] = set()
        self._files: dict[Path, File | Unreadable] = {}
        self._directories: dict[Path, Directory | Unreadable] = {}

    @property
    def paths(self) -> tuple[Path, ...]:
        """The absolute paths of all files and directories that were asked for, in that order."""
        return (*self._files, *self._directories)

    @property
    def sources(self) -> dict[Path, bytes]:
        """The contents of all files that are not secret, by absolute path, the configuration file first."""
        own = {} if self._configuration is None else {self.absolute: self._configuration}
        public = {path: file for path, file in self._files.items() if path not in self._secret}
        return own | {path: file.content for path, file in public.items() if isinstance(file, File)}

    def configuration(self) -> bytes:
        """Returns the content of the configuration file.

        Raises:
            Unreadable: see `read_file`.

        """
        try:
            self._configuration = self._read(self.absolute)
        except Unreadable as error:
            error.hint = error.hint or _where_it_ends(self.absolute)
            raise
        return self._configuration

    def secret(self, text: str) -> File:
        """Returns a file whose content is secret, so that `sources` leaves it out.

        Raises:
            Unreadable: see `file`.

        """
        self._secret.add(self._absolute(_fit(text)))
        return self.file(text)

    def file(self, text: str) -> File:
        """Returns a file, which is not empty.

        Raises:
            Unreadable: see `read_file`; or it is empty.

        """
        path = self._absolute(_fit(text))
        if path not in self._files:
            try:
                content = self._read(path)
                file: File | Unreadable = File(path, content, self._shown / text)
                if not content.strip():
                    hint = "add its content, or remove the line that names it"
                    file = Unreadable("is empty", hint, absent=True)
            except Unreadable as error:
                file = error
            self._files[path] = file
        return _or_raise(self._files[path])

    def directory(self, text: str) -> Directory:
        """Returns a directory with its fingerprint; it is not empty.

        Raises:
            Unreadable: it does not exist, is empty, or exceeds the limits above.

        """
        path = self._absolute(_fit(text))
        if path not in self._directories:
            try:
                self._directories[path] = Directory(path, _fingerprint(path), self._shown / text)
            except Unreadable as error:
                self._directories[path] = error
        return _or_raise(self._directories[path])

    def _read(self, path: Path) -> bytes:
        content = self._contents.get(path)
        return read_file(path) if content is None else content

    def _absolute(self, text: str) -> Path:
        return Path(os.path.normpath(self.absolute.parent / text))


def _fit(text: str) -> str:
    if why := why_no_path(text):
        raise Unreadable(why, NO_PATH_HINT)
    return text


def _or_raise(cached: T | Unreadable) -> T:
    if isinstance(cached, Unreadable):
        raise cached
    return cached


def _fingerprint(path: Path) -> str:
    """Returns the SHA-256 of the names and contents of all files below a directory."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise Unreadable(_reason(error), names=_siblings(path)) from None
    if not stat.S_ISDIR(mode):
        raise Unreadable("is a file, not a directory", "name the directory that it is in")
    names: list[Path] = []
    size = 0
    for name, status in _walk(path):
        names.append(name)
        size += status.st_size
        if len(names) > MAX_ENTRIES:
            raise Unreadable(
                f"contains more than {MAX_ENTRIES:,} files", "check that the path names the right directory"
            )
    if size > MAX_DIRECTORY_BYTES:
        raise Unreadable(
            f"contains more than {MAX_DIRECTORY_BYTES >> 30} GiB", "check that the path names the right directory"
        )
    if not names:
        raise Unreadable("contains no files", "check that the path names the right directory")
    digest = sha256()
    for name in names:
        try:
            content = hash_of(name)
        except OSError as error:
            raise Unreadable(f"contains {name.name}, which {_reason(error)}") from None
        digest.update(f"{name.relative_to(path)}\0{content}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _walk(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    def fail(error: OSError) -> None:
        raise Unreadable(_reason(error)) from None

    for parent, directories, names in os.walk(path, onerror=fail):
        directories.sort()
        for name in sorted(names):
            at = Path(parent, name)
            try:
                yield at, at.stat()
            except OSError as error:
                raise Unreadable(f"contains {name}, which {_reason(error)}") from None


def _where_it_ends(path: Path) -> str:
    """Returns a hint with the first directory of a path that does not exist; empty if they all do."""
    try:
        if path.parent.exists():
            return ""
        there = next(parent for parent in path.parents if parent.exists())
    except (OSError, ValueError, StopIteration):
        return ""
    return f"{there} has no directory {path.relative_to(there).parts[0]!r}"


def _siblings(path: Path) -> tuple[str, ...]:
    return _entries(path.parent)


def _entries(path: Path) -> tuple[str, ...]:
    try:
        return tuple(sorted(entry.name for entry in path.iterdir())[:200])
    except (OSError, ValueError):
        return ()


def _reason(error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "does not exist"
        case PermissionError():
            return "can't be read: permission denied"
        case OSError():
            return f"can't be read: {error.strerror}"
        case ValueError():
            return "is not a valid path"
