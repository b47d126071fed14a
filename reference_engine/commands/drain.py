"""The command `drain`: has the calls of versions that no longer serve say goodbye."""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from reference_engine.commands.asking import add_control_option, request
from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Has the calls of versions that no longer serve say goodbye and hang up: after the present reply, the agent says
`limits.goodbye`. A call keeps the version that it was answered with, so after a reload or a rollback calls of the old
one stay up until they end by themselves; this ends them sooner. Calls of the version that serves are not touched, and
new calls are answered as before. `drain_deadline_s` of the engine's file does the same by itself after a time.

To take no more calls and stop the engine, send it SIGTERM (`systemctl stop`).
"""

EXAMPLES = """\
examples:
  reference-engine drain                          # all calls of versions that no longer serve, of all sets
  reference-engine drain --set acme               # those of one set
  reference-engine drain --set acme --version 3   # those of one version
  reference-engine status                         # lists the versions with their calls

exit status: 0 the calls were asked, also if there were none; 1 that version serves or is unknown, or no engine answers
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `drain`."""
    command = commands.add_parser(
        "drain",
        help="have the calls of old versions say goodbye",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("--set", metavar="NAME", help="which pipeline set (default: all)")
    command.add_argument(
        "--version", type=int, metavar="N", help="which version (default: all that calls hold and that do not serve)"
    )
    add_control_option(command)
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Requests the drain of each version and prints how many calls were asked; returns 0."""
    sets = request(arguments, "GET", "/sets", expect="sets")["sets"]
    names = [shown["set"] for shown in sets]
    if arguments.set is not None and arguments.set not in names:
        raise EngineError(f"unknown pipeline set {arguments.set!r}; pipeline sets: {', '.join(names)}")
    chosen = [shown for shown in sets if arguments.set in {None, shown["set"]}]
    if arguments.version is not None and len(chosen) != 1:
        raise EngineError(f"the engine has {len(names)} pipeline sets: choose one with --set: {', '.join(names)}")
    drained = [
        request(arguments, "POST", _path(shown, version), expect="calls")
        for shown in chosen
        for version in _versions(shown, arguments.version)
    ]
    for each in drained:
        calls = f"{each['calls']} {'call was' if each['calls'] == 1 else 'calls were'}"
        sys.stdout.write(f"{each['set']} {each['version']}: {calls} asked to say goodbye and to hang up\n")
    if not drained:
        sys.stdout.write("no call of an old version is up\n")
    return 0


def _versions(shown: dict[str, Any], asked: int | None) -> list[int]:
    """Returns the versions of a set to drain."""
    if asked is not None:
        return [asked]
    removed = shown["state"] == "removed"  # from the engine's file: none of its versions gets calls any more
    return [
        version["version"]
        for version in shown["versions"]
        if version["calls"] and (removed or version["state"] == "draining")
    ]


def _path(shown: dict[str, Any], version: int) -> str:
    return f"/sets/{quote(shown['set'], safe='')}/versions/{version}/drain"
