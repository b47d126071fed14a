"""Which code this is: a package that is upgraded in place under a running process is another one for its helpers.

What a helper process says is made of the classes of its code. In a process that runs older code it would meet other
classes of the same names: some of it could not be read, and some would be read wrong.
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
    """SHA-256 in hex over the code of this package as its files are now; blocks for about 20 ms.

    Over contents, for a wheel's files may bear whatever time its maker chose, and a new release the same version.
    """
    files: dict[str, Path] = {}
    for at, directories, names in os.walk(_PACKAGE):
        directories[:] = sorted(name for name in directories if name != "__pycache__")
        paths = (Path(at, name) for name in sorted(names) if name.endswith(_SUFFIXES))
        files |= {str(path.relative_to(_PACKAGE)): path for path in paths}
    return _digest_of(files)


@cache
def code_of_this_process() -> str:
    """As `code_on_disk`, when this was first called: by who starts helper processes, before the first one is needed."""
    return code_on_disk()


def adapters_on_disk(registry: Registry) -> str:
    """The same of the modules that declare the options of adapters of other packages."""
    modules = sorted({adapter.options.__module__ for adapter in registry})
    files = {name: file for name in modules if (file := _file_of(name)) and _PACKAGE not in file.parents}
    return _digest_of(files)


@cache
def adapters_of_this_process(registry: Registry) -> str:
    """As `adapters_on_disk`, when this was first called."""
    return adapters_on_disk(registry)


@cache
def libraries_of_this_process() -> Mapping[str, tuple[int, ...]]:
    """What the files of all loaded modules of other packages were when this was first called; takes milliseconds."""
    return {file: state for _, file in _modules() if (state := _state(file))}


def libraries_changed() -> list[str]:
    """Packages of which files were changed, replaced or removed since they were loaded, by name.

    Asked only once a helper has broken down: to be changed is no fault, but the likely cause of one.
    """
    known = libraries_of_this_process()
    return sorted({name for name, file in _modules() if file in known and _state(file) != known[file]})


def _modules() -> Iterator[tuple[str, str]]:
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and _PACKAGE not in Path(file).parents:
            yield name.partition(".")[0], file


def _state(file: str) -> tuple[int, ...]:
    """Empty if there is none. The times of a wheel's files are its maker's, but that of the inode's change is ours."""
    try:
        found = Path(file).stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns


def say_code() -> None:
    """What a helper process says first, whatever else its code is: `code_on_disk` in a line on standard output."""
    os.write(1, f"{code_on_disk()}\n".encode())


def _file_of(module: str) -> Path | None:
    from importlib.util import find_spec  # noqa: PLC0415 - helpers begin without it

    try:
        found = find_spec(module)
    except (ImportError, ValueError):  # a module that somebody has made by hand
        return None
    return Path(found.origin) if found and found.origin else None


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
