"""Reads the variables for `${NAME}`: the process's environment, overridden by a file."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

from voicepipe import ConfigError, absolute_path, read_env_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    EnvironState: TypeAlias = Mapping[str, str] | tuple[object, ...]
    """The variables, or values that identify the state of a file that can't be read."""


def read_environ(env_file: Path | None) -> Mapping[str, str]:
    """Returns the process's environment, overridden by the variables of a file. Blocks.

    Raises:
        ConfigError: the file can't be read, or has invalid lines; the problems show no values.

    """
    return dict(os.environ) if env_file is None else os.environ | read_env_file(env_file)


def environ_state(env_file: Path | None) -> EnvironState:
    """Returns the variables, to be compared with an earlier state; an unreadable file has a state too. Blocks.

    The state of an unreadable file contains its modification time. So each attempt to correct the file is a change, and
    leads to a reload that reports the problems that are left.
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
