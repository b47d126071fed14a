"""The command `versions`: lists the versions that sets have served, from the records."""

from __future__ import annotations

import json
import sys
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from attrs import asdict

from reference_engine.commands.records_source import add_records_options, open_source
from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

    from reference_engine.records.history import StoredVersion

DESCRIPTION = """\
Lists the versions that pipeline sets have served, the latest first: since when, what asked for them, and what they
changed. It reads the database of records, so the engine may be down, and versions of long ago are there as well.
"""

EXAMPLES = """\
examples:
  reference-engine versions
  reference-engine versions main --limit 5
  reference-engine versions --engine east --format json | jq -r '.versions[].digest'
  reference-engine calls --version 12           # the calls of one; `call ID --config` shows what they ran on

exit status: 0 the records were read, 1 they can't be read, 78 the engine's file has problems, 2 wrong usage
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `versions`."""
    command = commands.add_parser(
        "versions",
        help="list the versions that sets have served, and what they changed",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("set", metavar="SET", nargs="?", help="a pipeline set's name (default: all)")
    command.add_argument("--engine", metavar="NAME", help="an engine's name (default: all that share the database)")
    command.add_argument("--limit", type=int, default=20, metavar="N", help="at most so many (default: %(default)s)")
    command.add_argument("--format", choices=["text", "json"], default="text", help="default: text")
    add_records_options(command)
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Prints the versions; returns 0."""
    place = open_source(arguments).place
    if not place.is_database:
        raise EngineError(f"{place} has no versions: a database keeps them (records: sqlite:///PATH)")
    from reference_engine.records.provenance import find_versions  # noqa: PLC0415 - loads SQLAlchemy
    from reference_engine.records.reading import Reader, RecordsUnavailable  # noqa: PLC0415 - as above

    reader = Reader(place)
    try:
        found = reader.read(
            lambda connection: find_versions(
                connection, engine=arguments.engine, set_name=arguments.set, limit=arguments.limit
            )
        )
    finally:
        reader.close()
    if isinstance(found, RecordsUnavailable):
        raise EngineError(f"{place}: {found.problem}")
    if arguments.format == "json":
        versions = [asdict(version) | {"served": version.served.isoformat()} for version in found]
        sys.stdout.write(json.dumps({"versions": versions}, indent=2, ensure_ascii=False) + "\n")
    else:
        sys.stdout.write(_as_text(found))
    return 0


def _as_text(versions: tuple[StoredVersion, ...]) -> str:
    rows = [("SET", "VERSION", "ENGINE", "FIRST SERVED", "BY", "DIGEST", "SOFTWARE")]
    rows += [
        (
            version.set,
            str(version.version),
            version.engine,
            f"{version.served.astimezone():%Y-%m-%d %H:%M:%S}",
            version.trigger if version.rolled_back_to is None else f"rollback to {version.rolled_back_to}",
            version.digest[:12],
            version.software or "-",
        )
        for version in versions
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    heads = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    lines = [heads[0]]
    for head, version in zip(heads[1:], versions, strict=True):
        lines += [head, f"    {version.plan}"]
    return "\n".join(lines) + "\n"
