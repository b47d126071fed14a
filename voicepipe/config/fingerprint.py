"""Fingerprints of the code, which detect that a package was upgraded in place under a running process.

A helper process answers with a pickle of the classes in its code, which it has just imported. A process that runs older
code has other classes of the same names: it could not read some answers, and would misread others.
"""

from __future__ import annotations

import os
import sys
import time
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voicepipe.components.registry import Registry

_PACKAGE = Path(__file__).parents[1]
_SUFFIXES = (".py", ".pyc")
_METADATA = (".dist-info", ".egg-info", ".pth", ".egg-link")
_SETTLED_NS = 2_000_000_000
_code_last_read: list[tuple[dict[str, tuple[int, ...]], str]] = []
"""The states of the files that `code_on_disk` read last, and their digest; empty if they may change unseen."""


def code_on_disk() -> str:
    """Returns the SHA-256, in hex, of this package's code as its files are now.

    It covers contents, because a wheel's files may have any time, and a new release the same version. It blocks for
    about 20 ms; for a tenth of that if no file has changed since the last call. No installer can set a change time.
    """
    files = {file.removeprefix(f"{_PACKAGE}/"): file for file in sorted(_code_in(str(_PACKAGE)))}
    states = {name: _state(file) for name, file in files.items()}
    for known, digest in _code_last_read:
        if known == states:
            return digest
    now = time.time_ns()
    digest = _digest_of({name: Path(file) for name, file in files.items()})
    # What has just been changed may be changed again within one time stamp.
    is_settled = all(state and now - state[-1] > _SETTLED_NS for state in states.values())
    _code_last_read[:] = [(states, digest)] if is_settled else []
    return digest


def _code_in(folder: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(_SUFFIXES):
                yield entry.path
            elif entry.name != "__pycache__" and entry.is_dir():
                yield from _code_in(entry.path)


@cache
def code_of_this_process() -> str:
    """Returns `code_on_disk()` as it was at the first call, which has to be made before the first helper process."""
    return code_on_disk()


def adapters_on_disk(registry: Registry) -> str:
    """Returns the SHA-256, in hex, of the modules that declare the options of other packages' adapters."""
    modules = sorted({adapter.options.__module__ for adapter in registry})
    files = {name: file for name in modules if (file := _file_of(name)) and _PACKAGE not in file.parents}
    return _digest_of(files)


@cache
def adapters_of_this_process(registry: Registry) -> str:
    """Returns `adapters_on_disk(registry)` as it was at the first call."""
    return adapters_on_disk(registry)


@cache
def libraries_of_this_process() -> Mapping[str, tuple[int, ...]]:
    """Returns the state of the files of all loaded modules of other packages, as of the first call; takes some ms."""
    return {file: state for _, file in _modules() if (state := _state(file))}


def libraries_changed() -> list[str]:
    """Returns the names of packages whose files were changed, replaced or removed since they were loaded.

    That is the likely cause of a helper's failure, but no failure by itself.
    """
    known = libraries_of_this_process()
    return sorted({name for name, file in _modules() if file in known and _state(file) != known[file]})


def _modules() -> Iterator[tuple[str, str]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and _PACKAGE not in Path(file).parents:
            yield name.partition(".")[0], file


def _state(file: str) -> tuple[int, ...]:
    """Returns the identity, size and change time of a file, which no installer can set; empty if there is no file."""
    try:
        status = os.stat(file)  # noqa: PTH116 - of a thousand files, for each reading
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


class ImportedCode:
    """The code that this process has loaded, and the packages that it could load, as they are when this is made."""

    def __init__(self) -> None:
        self._files = {file: _state(file) for module in list(sys.modules.values()) if (file := _file_name(module))}
        self._folders = {folder: (_state(folder), _packages_in(folder)) for folder in sys.path}

    def is_fresh(self) -> bool:
        """Returns False if a loaded file has changed, or a package was installed or removed; takes some ms."""
        return all(_state(file) == state for file, state in self._files.items()) and all(map(self._is_same, sys.path))

    def _is_same(self, folder: str) -> bool:
        state, packages = self._folders[folder]
        now = _state(folder)
        if now != state and not Path(folder).is_dir():  # an archive
            return False
        # Names are read only if they have changed: the folder may have any number of other files.
        return packages == ({name: _state(name) for name in packages} if now == state else _packages_in(folder))


def _packages_in(folder: str) -> dict[str, tuple[int, ...]]:
    """Returns the states of the files by which packages are found in a folder of the import path."""
    try:
        names = [name for name in os.listdir(folder) if name.endswith(_METADATA)]  # noqa: PTH208 - of many files
    except OSError:
        return {}
    paths = [os.path.join(folder, name) for name in names]  # noqa: PTH118 - as above
    return {path: _state(path) for at in paths for path in (at, os.path.join(at, "entry_points.txt"))}  # noqa: PTH118


def _file_name(module: object) -> str:
    file = getattr(module, "__file__", None)
    return file if isinstance(file, str) else ""


def _file_of(module: str) -> Path | None:
    from importlib.util import find_spec  # noqa: PLC0415 - helpers begin without it

    try:
        spec = find_spec(module)
    except (ImportError, ValueError):  # a module that was made at run time
        return None
    return Path(spec.origin) if spec and spec.origin else None


def _digest_of(files: Mapping[str, Path]) -> str:
    digest = sha256()
    for name, file in files.items():
        try:
            content = file.read_bytes()
        except OSError:  # it is just being replaced
            content = b""
        digest.update(f"{name}\0{len(content)}\0".encode(errors="surrogateescape"))
        digest.update(content)
    return digest.hexdigest()
