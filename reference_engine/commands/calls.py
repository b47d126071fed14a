"""The command `calls`: lists calls of the records, the latest first."""

from __future__ import annotations

import re
import shutil
import sys
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING

from reference_engine.commands.asking import stdout_has_colour
from reference_engine.commands.records_source import add_records_options, open_source
from reference_engine.commands.times import FORMS, point_in_time

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction

DESCRIPTION = """\
Lists calls, the latest first: those that match all options. It reads the records themselves, so the engine may be down.
"""

EXAMPLES = """\
examples:
  reference-engine calls                                    # the latest
  reference-engine calls --failed --since 2h                # what went wrong tonight
  reference-engine calls --failover --since 7d              # which vendors' failures callers did not notice
  reference-engine calls --caller +49301234567
  reference-engine calls --caller '+49*' --pipeline sales --version 12
  reference-engine calls --text 'cancel order*'             # both in one call, in any form; * is the rest of a word
  reference-engine calls --since 2026-11-01 --until 2026-12-01 --limit 100000 --format csv > november.csv
  reference-engine calls --failed --format json | jq -r '.calls[].call_id'
  reference-engine calls --records postgresql://reader@db.example.net/voicepipe

Then look at one with its ID, or the beginning of it: reference-engine call ID

In CSV, a value that a spreadsheet would take for a formula, such as a number with +, has a ' before it.

exit status: 0 the records were read, also if no call matches; 1 they can't be read, 78 the engine's file has problems,
2 wrong usage
"""

STATES = ("up", "ended", "lost")


def add_to(commands: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommand `calls`."""
    command = commands.add_parser(
        "calls",
        help="list calls of the records, by time, number, pipeline, words",
        description=DESCRIPTION,
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    command.add_argument("--since", type=point_in_time, metavar="TIME", help=f"calls that began then or later: {FORMS}")
    command.add_argument("--until", type=point_in_time, metavar="TIME", help="calls that began before, likewise")
    command.add_argument(
        "--failed",
        action="store_true",
        default=None,
        help="calls that were lost or failed, or in which a component did",
    )
    command.add_argument(
        "--failover",
        action="store_true",
        default=None,
        dest="failed_over",
        help="calls that another component served than the first choice, though they may have ended well",
    )
    command.add_argument("--pipeline", metavar="NAME", help="calls on a pipeline")
    command.add_argument("--set", metavar="NAME", help="calls of a pipeline set")
    command.add_argument("--version", type=int, metavar="N", help="calls on a version")
    command.add_argument("--state", choices=STATES, help="calls that are up, have ended, or were lost")
    command.add_argument("--outcome", metavar="OUTCOME", help="calls that ended so, such as caller_hung_up")
    command.add_argument(
        "--caller", type=_number, metavar="NUMBER", help="calls from a number; +49*: all that begin so"
    )
    command.add_argument("--called", type=_number, metavar="NUMBER", help="calls to a number, likewise")
    command.add_argument("--text", metavar="WORDS", help="ended calls in which all these words were said")
    command.add_argument("--limit", type=_positive, default=50, metavar="N", help="the most calls (default: 50)")
    command.add_argument("--after", metavar="PLACE", help="go on after a page: its `next`")
    command.add_argument("--format", choices=["table", "json", "csv"], default="table", help="default: table")
    add_records_options(command)
    command.set_defaults(run=run)


def run(arguments: Namespace) -> int:
    """Prints the calls; returns 0."""
    from reference_engine.records.call_lists import as_csv, as_json, as_table  # noqa: PLC0415 - only what it needs
    from reference_engine.records.history import CallFilter  # noqa: PLC0415 - as above

    names = (
        "since",
        "until",
        "failed",
        "failed_over",
        "pipeline",
        "set",
        "version",
        "state",
        "outcome",
        "caller",
        "called",
        "text",
    )
    asked = CallFilter(**{name: getattr(arguments, name) for name in names})
    page = open_source(arguments).find_calls(asked, arguments.after, arguments.limit)
    if arguments.format == "json":
        sys.stdout.write(as_json(page))
        return 0
    if arguments.format == "csv":
        sys.stdout.write(as_csv(page.calls))
    else:
        on_terminal = sys.stdout.isatty()
        width = shutil.get_terminal_size((80, 24)).columns if on_terminal else 1000
        sys.stdout.write(as_table(page.calls, width=width, colour=stdout_has_colour()))
    if page.next is not None:
        sys.stdout.flush()
        sys.stderr.write(f"there are older ones: add --after {page.next}\n")
    return 0


def _number(text: str) -> str:
    """Returns a number as it is recorded, without spaces and the like; other names of callers stay as they are."""
    number = text.translate(str.maketrans("", "", " -.()"))
    return number if re.fullmatch(r"\+?\d*\**", number) else text


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise ArgumentTypeError(f"{text!r} is no number of calls: write 1 or more")
    return number
