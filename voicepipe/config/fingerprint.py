"""Fingerprints of the code, which detect that a package was upgraded in place under a running process.

A helper process answers with a pickle of the classes in its code, which it has just imported. A process that runs older
code has other classes of the same names: it could not read some answers, and would misread others.
"""

from __future__ import annotations

import os
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from voicepipe.components.registry import Registry

_PACKAGE = Path(__file__).parents[1]
_SUFFIXES = (".py", ".pyc")


def code_on_disk() -> str:
    """Returns the SHA-256, in hex, of this package's code as its files are now; blocks for about 20 ms.

    It covers contents, because a wheel's files may have any time, and a new release the same version.
    """
    files: dict[str, Path] = {}
    for at, directories, names in os.walk(_PACKAGE):
        directories[:] = sorted(name for name in directories if name != "__pycache__")
        paths = (Path(at, name) for name in sorted(names) if name.endswith(_SUFFIXES))
        files |= {str(path.relative_to(_PACKAGE)): path for path in paths}
    return _digest_of(files)


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
        status = Path(file).stat()
    except OSError:
        return ()
    return status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def say_code() -> None:
    """Writes `code_on_disk()` as a line to standard output: the first thing that a helper process does."""
    os.write(1, f"{code_on_disk()}\n".encode())


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
