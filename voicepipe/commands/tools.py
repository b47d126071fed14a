"""The argument `--tools MODULE`: a program's own tools, which files may list besides the built-in ones."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def add_tools_to(parser: ArgumentParser) -> None:
    """Describes the argument."""
    parser.add_argument(
        "--tools",
        action="append",
        default=[],
        type=_names_in,
        metavar="MODULE",
        help="a Python module whose `tools` is an iterable of tool names, or of objects with a `name`; also searched in"
        " the current directory; may be repeated",
    )


def tools_of(arguments: Namespace) -> tuple[str, ...]:
    """Returns the names of all tools that were given."""
    return tuple(dict.fromkeys(name for names in arguments.tools for name in names))


def _names_in(module: str) -> tuple[str, ...]:
    """Returns the names in a module's `tools`; raises `ArgumentTypeError` for wrong usage."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        imported = import_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a program's module may raise anything
        reason = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise ArgumentTypeError(f"can't import {module!r}: {reason}") from None
    finally:
        sys.path.remove(here)
    tools: Any = getattr(imported, "tools", None)
    try:
        names = tuple(map(_name, tools))
    except TypeError:
        names = (None,)
    if isinstance(tools, str) or not all(isinstance(name, str) and name for name in names):
        raise ArgumentTypeError(f"{module!r} has no `tools`: an iterable of names, or of objects with a `name`")
    return tuple(map(str, names))


def _name(tool: Any) -> Any:
    return tool if isinstance(tool, str) else getattr(tool, "name", None)
