"""`voicepipe new-adapter`: writes a package for a new adapter or transport, which passes its tests from the start."""

from __future__ import annotations

import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from voicepipe.commands.scaffold import OVERS, Names, Over, files_for, reference, transport_files_for
from voicepipe.components.labels import ROLES
from voicepipe.components.registry import installed
from voicepipe.errors import VoicepipeError
from voicepipe.transports.registry import installed_transports

if TYPE_CHECKING:
    from argparse import Namespace, _SubParsersAction

    from voicepipe.components.labels import Role

NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
LONGEST = 40
TRANSPORT: Final = "transport"
"""The value of `--role` for a transport."""

_DESCRIPTION = """\
Creates a package for a new adapter: options, a component, an entry point, and tests with the conformance kit. It works
from the start, against a stand-in for the service or the library, and passes the kit. The parts to fill in are marked
`# HOLE:`. The guides "Write an adapter" and "Write a transport" in the documentation continue from here.
"""

_EXAMPLES = """\
--over selects what the adapter connects to:
  (left out)  a Python library, in this process, in threads
  http        a service over HTTP, by httpx
  websocket   a service over WebSockets, by websockets.trio
  process     a library or a program in a process of its own, over pipes

examples:
  voicepipe new-adapter parrot --role llm
  voicepipe new-adapter acme --role tts --over http --into ~/src
  voicepipe new-adapter acme --role transport     a listener for calls, over a WebSocket of its own

exit status: 0 success, 1 the package can't be written, 2 wrong usage
"""


class NotWrittenError(VoicepipeError):
    """The package can't be written; `hint` says what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Describes the subcommand."""
    parser = commands.add_parser(
        "new-adapter",
        help="create a package for a new adapter",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", metavar="NAME", help="the adapter's name in YAML, such as `acme`")
    parser.add_argument(
        "--role", required=True, choices=[*ROLES, TRANSPORT], help="the role of the adapter, or a transport"
    )
    parser.add_argument("--over", choices=[over for over in get_args(Over) if over != "inside"], default="inside")
    parser.add_argument(
        "--into",
        type=Path,
        default=Path(),
        metavar="DIR",
        help="create DIR/voicepipe-NAME (default: in this directory)",
    )
    parser.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Writes the package; returns the exit status."""
    try:
        if arguments.role == TRANSPORT:
            package = write_transport(arguments.name, arguments.over, arguments.into)
            sys.stdout.write(_transport_steps(package, arguments.name))
            return 0
        package = write_adapter(arguments.name, arguments.role, arguments.over, arguments.into)
    except NotWrittenError as error:
        sys.stderr.write(f"{error}\n  hint: {error.hint}\n")
        return 1
    sys.stdout.write(_next_steps(package, arguments.name, arguments.role, arguments.over))
    return 0


def write_adapter(name: str, role: Role, over: Over, into: Path) -> Path:
    """Writes the package, and returns its directory.

    Args:
        name: the name of the adapter in the YAML.
        role: the role of its components.
        over: the way to reach the service or library.
        into: the directory in which the package's directory is made.

    Raises:
        NotWrittenError: the name is not valid or is taken, the directory exists, or it can't be written.

    """
    _check_name(name)
    if name in installed().names(role):
        raise NotWrittenError(
            f"an adapter {name} for {role} exists already", "choose another name: two of one name can't be used"
        )
    return _write(Names(name), files_for(Names(name), role, over), into)


def write_transport(name: str, over: Over, into: Path) -> Path:
    """Writes the package of a transport, and returns its directory.

    Args:
        name: the name of the transport in the YAML.
        over: the way that was asked for.
        into: the directory in which the package's directory is made.

    Raises:
        NotWrittenError: the name is not valid or is taken, the way makes no sense for a transport, the directory
            exists, or it can't be written.

    """
    _check_name(name)
    if over not in {"inside", "websocket"}:
        raise NotWrittenError(f"--over {over} is for adapters", "leave it out: a transport is written over a WebSocket")
    if name in installed_transports().names():
        raise NotWrittenError(
            f"a transport {name} exists already", "choose another name: two of one name can't be used"
        )
    return _write(Names(name), transport_files_for(Names(name)), into)


def _write(names: Names, files: dict[str, str], into: Path) -> Path:
    package = into / names.distribution
    if package.exists():
        raise NotWrittenError(f"{package} exists already", "choose another name, or another directory with --into")
    for file, text in files.items():
        path = package / file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise NotWrittenError(
                f"{path} can't be written: {error.strerror}", "choose another directory with --into"
            ) from error
    return package


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name) or len(name) > LONGEST:
        likely = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")
        meant = f", such as {likely[:LONGEST]}" if NAME.fullmatch(likely) else ""
        raise NotWrittenError(
            f"{name!r} is not a valid adapter name",
            f"use lower-case letters, digits and single hyphens, beginning with a letter{meant}",
        )


def _next_steps(package: Path, name: str, role: Role, over: Over) -> str:
    """Returns the next steps, as text."""
    return f"""\
{package}: an adapter {name} for {role}, {OVERS[over].against}

next:
  cd {package}
  pip install -e '.[dev]'
  pytest -rs                       # the conformance kit; what is skipped says why
  voicepipe components {name}

in a pipeline (example.yaml is a whole file, which can be heard at once: see README.md):
  {role}: {reference(Names(name), over)}

then fill in what is marked `# HOLE:` (grep -rn HOLE: src tests).
"""


def _transport_steps(package: Path, name: str) -> str:
    """Returns the next steps for a transport, as text."""
    return f"""\
{package}: a transport {name}, with a small protocol of its own over a WebSocket

next:
  cd {package}
  pip install -e '.[dev]'
  pytest -rs                       # the conformance kit; what is skipped says why
  voicepipe components {name}
  reference-engine check engine.yaml

then fill in what is marked `# HOLE:` (grep -rn HOLE: src tests).
"""
