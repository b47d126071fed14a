"""The environment that `${NAME}` is looked up in: the process's own, with a file's laid over it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from voicepipe import ConfigError, Location, Problem, absolute_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_LINE = re.compile(r"\s*(?:export\s+)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)")
_HINT = "write NAME=value, one a line; lines that begin with # are comments"


def read_environ(env_file: Path | None) -> Mapping[str, str]:
    """The process's environment, with the variables of a file laid over it; to be read again at each reload.

    The file has `NAME=value` lines, as systemd's `EnvironmentFile=` and Docker's `--env-file` do. One pair of quotes
    around a value goes; nothing else in it means anything. Comments begin with `#`.

    Raises:
        ConfigError: the file can't be read, or has lines that are something else; no value is shown.

    """
    if env_file is None:
        return dict(os.environ)
    where: tuple[Path, ...] = ()
    try:
        where = (absolute_path(env_file),)
        text = where[0].read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = f"can't be read: {error.strerror}" if isinstance(error, OSError) else "is not UTF-8"
        raise ConfigError([Problem(Location(env_file), "", f"the file {reason}", "see --env-file")], where) from None
    variables: dict[str, str] = {}
    if problems := tuple(_read(text, env_file, variables)):
        raise ConfigError(problems, where)
    return os.environ | variables


def _read(text: str, name: Path, variables: dict[str, str]) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        column = len(line) - len(line.lstrip()) + 1
        found = _LINE.fullmatch(line.rstrip("\r"))
        if not found:
            yield Problem(Location(name, number, column), "", "sets no variable", _HINT)
        elif found["name"] in lines:
            message = f"was set in line {lines[found['name']]} already"
            yield Problem(Location(name, number, column), found["name"], message, "keep one of the two")
        else:
            lines[found["name"]] = number
            variables[found["name"]] = _bare(found["value"].strip())


def _bare(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'" else value
