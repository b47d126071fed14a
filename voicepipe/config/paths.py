"""Resolves relative paths in a process that runs for months, and tells which texts can be no path.

A deployment may switch a symlink `current` to another release, which leaves a running process in the directory of the
old release, or may remove that release, which leaves it in no directory. So relative paths are resolved against the
name that the working directory had when it was first asked for, not against the directory itself.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import Attribute

MAX_BYTES = 4095
"""The most bytes of a path: Linux's limit (PATH_MAX) without the NUL at the end."""

MAX_NAME_BYTES = 255
"""The most bytes of each name in a path (NAME_MAX)."""

NO_PATH_HINT = "write the path of a file or directory; check what a `${...}` in it resolves to"
"""The hint for a text that can be no path."""


class _Known:
    """A working directory with the name that it had when it was first asked for."""

    def __init__(self, name: Path) -> None:
        self.name, self._descriptor = name, -1
        # Keeps the inode, by which the directory is recognised, from being reused.
        self._descriptor = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def is_here(self) -> bool:
        """Returns True if it is the present working directory."""
        return os.path.samestat(os.fstat(self._descriptor), os.stat("."))  # noqa: PTH116 - Path.stat says no more


_known: list[_Known] = []


def working_directory() -> Path:
    """Returns the absolute name that the working directory had when this process first asked for it.

    That is `$PWD`, which shells and systemd set, if it leads there; so symlinks in it are followed anew each time.
    Renaming, replacing or removing the directory does not change the result; `os.chdir` does.

    Raises:
        OSError: the directory had been removed before that.

    """
    # Several threads may get here at once; at worst they do the same work.
    for known in tuple(_known):
        if known.is_here():
            return known.name
    known = _Known(_name_of_here())
    _known[:] = [known]
    return known.name


def know_working_directory(name: Path) -> None:
    """Sets the name of the working directory to the one that the parent process uses."""
    _known[:] = [_Known(name)]


def absolute_path(path: str | Path) -> Path:
    """Returns a path made absolute against `working_directory()`; `..` is resolved, symlinks are not.

    Raises:
        OSError: it is relative, and the working directory had been removed before it was first asked for.

    """
    path = Path(path)
    return Path(os.path.normpath(path if path.is_absolute() else working_directory() / path))


def is_path(_instance: object, _field: Attribute[str], text: str) -> None:
    """Validates a path: raises `ValueError` for a text that can be no path."""
    if why := why_no_path(text):
        raise ValueError(why)


def why_no_path(text: str) -> str:
    """Returns the reason why a text can be no path, such as `contains a NUL character`; empty if it can."""
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
