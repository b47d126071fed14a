"""The command `records`: looks after the database of calls' records, with a subcommand for each thing to do."""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from reference_engine.commands import records_deleting
from reference_engine.commands.records_place import add_place_argument, database_errors, place_of
from reference_engine.commands.times import FORMS, point_in_time

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Looks after the database in which an engine keeps records of its calls. The engine may run meanwhile.
"""

EXAMPLES = """\
examples:
  reference-engine records export config/engine.yaml --since 7d > calls.jsonl
  reference-engine records upgrade config/engine.yaml
  reference-engine records prune config/engine.yaml --dry-run
  reference-engine records forget config/engine.yaml --caller +4930901820 --dry-run
  reference-engine records export --help     # each has its own help
"""

UPGRADE = """\
Brings the tables of the database to this version of voicepipe, or makes them in an empty one. An engine does so at each
start. This command is for databases whose tables the engine's user may not change: run it, as a user who may, before
the new version is started. Engines of the old version may run meanwhile; they are refused at their next start.
"""

UPGRADE_EXAMPLES = """\
examples:
  reference-engine records upgrade config/engine.yaml
  PGPASSWORD=... reference-engine records upgrade postgresql://owner@db.example.net/voicepipe

exit status: 0 the tables are up to date, 1 they could not be upgraded, 78 the engine's file has problems, 2 wrong usage
"""

EXPORT = """\
Writes each call of the database as a line of JSON to the standard output, the oldest first, in the form of calls.jsonl.
Besides that form's keys, each has: `state` (up, ended, lost), `engine` (its name), `worker` (the number of its process,
if it has several), `software`, `ended`, `cost` and `currency`, `consent`, `trace_id`; the entries of `usage` have their
`cost`. A call that is up or lost has no `outcome` and no `duration_s`: they are null. Calls are read a few hundred at a
time, so a large database needs no more memory.
"""

EXPORT_EXAMPLES = """\
examples:
  reference-engine records export config/engine.yaml > all.jsonl
  reference-engine records export config/engine.yaml --since 2026-11-01 --until 2026-12-01 | gzip > november.jsonl.gz
  reference-engine records export config/engine.yaml --since 2h | jq -r 'select(.outcome == "failed") | .call_id'

exit status: 0 all calls were written, 1 the database can't be read, 78 the engine's file has problems, 2 wrong usage
"""


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `records`, with its own subcommands."""
    command = commands.add_parser(
        "records",
        help="look after the database of calls' records",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    actions = command.add_subparsers(title="what to do", metavar="ACTION", required=True)
    upgrade = actions.add_parser(
        "upgrade",
        help="bring the tables to this version of voicepipe",
        description=UPGRADE,
        epilog=UPGRADE_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_place_argument(upgrade)
    upgrade.set_defaults(run=run_upgrade)
    export = actions.add_parser(
        "export",
        help="write calls as lines of JSON",
        description=EXPORT,
        epilog=EXPORT_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_place_argument(export)
    export.add_argument("--since", type=point_in_time, metavar="TIME", help=f"calls that began then or later: {FORMS}")
    export.add_argument("--until", type=point_in_time, metavar="TIME", help="calls that began before, likewise")
    export.set_defaults(run=run_export)
    records_deleting.add_to(actions)


def run_upgrade(arguments: Namespace) -> int:
    """Upgrades the tables; returns 0."""
    place = place_of(arguments)
    from reference_engine.records.database import writing_engine  # noqa: PLC0415 - only what the command needs
    from reference_engine.records.schema import VERSIONS, upgrade  # noqa: PLC0415 - as above

    with database_errors(place), writing_engine(place).begin() as connection:
        found = upgrade(connection)
    was = "there were none" if found is None else "as they were" if found == VERSIONS[-1] else f"they were of {found}"
    sys.stdout.write(f"{place}: the tables are of version {VERSIONS[-1]} ({was})\n")
    return 0


def run_export(arguments: Namespace) -> int:
    """Writes calls to the standard output; returns 0."""
    place = place_of(arguments)
    import json  # noqa: PLC0415 - only what the command needs

    from reference_engine.records.database import reading_engine  # noqa: PLC0415 - as above
    from reference_engine.records.exporting import export_calls  # noqa: PLC0415 - as above
    from reference_engine.records.schema import require_this_version  # noqa: PLC0415 - as above

    with database_errors(place), reading_engine(place).connect() as connection:
        require_this_version(connection)
        for call in export_calls(connection, since=arguments.since, until=arguments.until):
            sys.stdout.write(json.dumps(call, ensure_ascii=False) + "\n")
    return 0
