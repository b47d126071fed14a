"""Paths of files that are read again while a process runs: where relative ones start, and which can't be any.

A process that serves for months outlives what its working directory was called when it started. A deployment that
switches a symlink `current` to another release leaves the process in the old one, and one that removes the old release
leaves it nowhere. What is read again is therefore found by the name that the directory had when it was first asked for.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import Attribute

MAX_BYTES = 4095
"""Of a path: Linux's own limit (PATH_MAX), without the NUL at its end."""

MAX_NAME_BYTES = 255
"""Of each name in it (NAME_MAX)."""

NO_PATH_HINT = "write the path of a file or directory; check what a `${...}` in it resolves to"
"""What to do about text that is no path."""


class _Known:
    """The working directory under the name that it had when it was first asked for."""

    def __init__(self, name: Path) -> None:
        self.name, self._descriptor = name, -1
        # Keeps its inode, by which it is recognised, from becoming another directory's.
        self._descriptor = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def is_here(self) -> bool:
        """Returns True if it is the working directory still, or again."""
        return os.path.samestat(os.fstat(self._descriptor), os.stat("."))  # noqa: PTH116 - Path.stat says no more


_known: list[_Known] = []


def working_directory() -> Path:
    """The working directory, absolute, by the name that it had when this process first asked for it there.

    That is `$PWD` where it leads there, so that symlinks are followed anew each time; shells set it, and so does
    systemd. Renaming, replacing or removing the directory changes nothing; `os.chdir` does.

    Raises:
        OSError: it had been removed before it was asked for.

    """
    # Threads may ask at once: each looks at one object, and at worst two find out the same.
    for known in tuple(_known):
        if known.is_here():
            return known.name
    known = _Known(_name_of_here())
    _known[:] = [known]
    return known.name


def know_working_directory(name: Path) -> None:
    """Has the working directory called that, as the process that started this one calls it."""
    _known[:] = [_Known(name)]


def absolute_path(path: str | Path) -> Path:
    """A path made absolute, with `..` taken out but symlinks left in; see `working_directory`.

    Raises:
        OSError: it is relative, and the working directory had been removed before it was asked for.

    """
    path = Path(path)
    return Path(os.path.normpath(path if path.is_absolute() else working_directory() / path))


def is_path(_instance: object, _field: Attribute[str], text: str) -> None:
    """A validator of a path: raises `ValueError` if nothing can ever be there."""
    if why := why_no_path(text):
        raise ValueError(why)


def why_no_path(text: str) -> str:
    """Why nothing can ever be at a path, for a message: `contains a NUL character`; empty if something may be."""
    if "\0" in text:
        return "contains a NUL character"
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:
        return "contains half of a surrogate pair, which file names can't contain"
    if len(encoded) > MAX_BYTES or any(len(name) > MAX_NAME_BYTES for name in encoded.split(b"/")):
        return f"is too long: a path has at most {MAX_BYTES:,} bytes, and each name in it {MAX_NAME_BYTES}"
    return ""


def _name_of_here() -> Path:
    shell = Path(os.path.normpath(os.environ.get("PWD", "")))
    try:
        if shell.is_absolute() and shell.samefile("."):
            return shell
    except (OSError, ValueError):
        pass
    return Path.cwd()
