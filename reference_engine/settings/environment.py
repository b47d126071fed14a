"""The environment that `${NAME}` is looked up in: the process's own, with a file's laid over it."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from voicepipe import ConfigError, absolute_path, read_env_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    EnvironState: TypeAlias = Mapping[str, str] | tuple[object, ...]
    """The variables, or what tells one unreadable file of them from another."""


def read_environ(env_file: Path | None) -> Mapping[str, str]:
    """The process's environment, with the variables of a file laid over it; to be read again at each reload. Blocks.

    Raises:
        ConfigError: the file can't be read, or has lines that are something else; no value is shown.

    """
    return dict(os.environ) if env_file is None else os.environ | read_env_file(env_file)


def environ_state(env_file: Path | None) -> EnvironState:
    """What `read_environ` says, to be compared with what it said before. Blocks.

    A file that can't be read is another one whenever it was written, so that whoever mends it is told how that went.
    """
    try:
        return read_environ(env_file)
    except ConfigError as error:
        written: tuple[int, ...] = ()
        if env_file is not None:
            with suppress(OSError):
                status = absolute_path(env_file).stat()
                written = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        return (error.problems, written)
