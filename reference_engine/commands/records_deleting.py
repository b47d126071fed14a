"""The commands `records prune` and `records forget`, which delete calls from the database of records."""

from __future__ import annotations

import sys
from argparse import RawDescriptionHelpFormatter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from reference_engine.commands.records_place import add_place_argument, database_errors, place_of
from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace, _SubParsersAction
    from collections.abc import Collection, Iterator, Mapping

    from reference_engine.records.forgetting import Forgotten, Person
    from reference_engine.settings.records_place import RecordsPlace
    from reference_engine.settings.settings import EngineSettings

PRUNE = """\
Deletes what is older than `keep` of an engine's file allows: records, recordings, transcripts. A running engine does so
every hour. It does not if more would go than a working clock can make due (all calls, or more than half of them at
once): then an operator runs this command with --yes.
"""

PRUNE_EXAMPLES = """\
examples:
  reference-engine records prune config/engine.yaml --dry-run
  reference-engine records prune config/engine.yaml --yes

exit status: 0 done, 1 something was not deleted, or the database can't be used, 78 a file has problems, 2 wrong usage
"""

FORGET = """\
Deletes everything that the records have of one person: calls from or to a number with their turns, tools and full text,
recordings, and what waits in the spool or for a webhook. Figures by the hour, which name nobody, stay. Calls that are
up stay too, and are named: run the command again when they are over. Logs, traces and what providers keep are not
touched.

A number is named as a whole, in any spelling: `+49 (0)30 901-820`, `004930901820` and `+4930901820` are one number.
`030901820` is another one, because it names no country: name each form that your trunk sends.
"""

FORGET_EXAMPLES = """\
examples:
  reference-engine records forget config/engine.yaml --caller +4930901820 --dry-run
  reference-engine records forget config/engine.yaml --caller +4930901820 --called +4930901820 --yes

exit status: 0 done, 1 something was not deleted, or the database can't be used, 78 a file has problems, 2 wrong usage
"""


def add_to(actions: _SubParsersAction[ArgumentParser]) -> None:
    """Adds the subcommands `prune` and `forget` to those of `records`."""
    prune = actions.add_parser(
        "prune",
        help="delete what is older than `keep` allows",
        description=PRUNE,
        epilog=PRUNE_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_place_argument(prune)
    _add_common(prune)
    prune.add_argument("--yes", action="store_true", help="delete however much it is: the clock is right")
    prune.set_defaults(run=run_prune)
    forget = actions.add_parser(
        "forget",
        help="delete what there is of one person",
        description=FORGET,
        epilog=FORGET_EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    add_place_argument(forget)
    forget.add_argument("--caller", action="append", default=[], metavar="NUMBER", help="a number that called")
    forget.add_argument("--called", action="append", default=[], metavar="NUMBER", help="a number that was called")
    _add_common(forget)
    forget.add_argument("--yes", action="store_true", help="do not ask first")
    forget.set_defaults(run=run_forget)


def _add_common(command: ArgumentParser) -> None:
    command.add_argument(
        "--recordings",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a further directory of recordings, such as one of an earlier configuration",
    )
    command.add_argument("--dry-run", action="store_true", help="only say what would be deleted")


def run_prune(arguments: Namespace) -> int:
    """Deletes what is too old; returns 0, or 1 if something had to stay."""
    place, settings = place_of(arguments), _settings_of(arguments)
    if settings is None or not settings.keep.ages:
        raise EngineError(f"{arguments.place} says for how long nothing is kept: add `keep: {{records: 90d}}` to it")
    from reference_engine.records.database import writing_engine  # noqa: PLC0415 - only what the command needs
    from reference_engine.records.deleting import RecordingFiles  # noqa: PLC0415 - as above
    from reference_engine.records.retention import prune  # noqa: PLC0415 - as above

    files = RecordingFiles(_directories(arguments, settings))
    with database_errors(place):
        _require_schema(place)
        result = prune(writing_engine(place), settings.keep, files, confirmed=arguments.yes, dry_run=arguments.dry_run)
    for what, number in result.deleted.items():
        verb = "would be deleted" if arguments.dry_run else "deleted"
        sys.stdout.write(f"{what}: {number:,} {verb} (of calls before {result.before[what]:%Y-%m-%d %H:%M} UTC)\n")
    for what, reason in result.refused.items():
        sys.stdout.write(f"{what}: nothing is deleted: {reason} If it is, add --yes.\n")
    return _report_left(result.left) or int(bool(result.refused))


def run_forget(arguments: Namespace) -> int:
    """Deletes one person's calls; returns 0, or 1 if something had to stay."""
    if not (arguments.caller or arguments.called):
        raise EngineError("whose calls? add --caller NUMBER, or --called NUMBER")
    for number in (*arguments.caller, *arguments.called):
        if not any(map(str.isalnum, number)):
            raise EngineError(f"{number!r} is no number")
    place, settings = place_of(arguments), _settings_of(arguments)
    from reference_engine.records.database import writing_engine  # noqa: PLC0415 - only what the command needs
    from reference_engine.records.deleting import RecordingFiles  # noqa: PLC0415 - as above
    from reference_engine.records.forgetting import Person, forget  # noqa: PLC0415 - as above
    from reference_engine.records.opening import spool_directory  # noqa: PLC0415 - as above

    spool = spool_directory(place, None if settings is None else settings.records_spool)
    person = Person(tuple(arguments.caller), tuple(arguments.called))
    files = RecordingFiles(_directories(arguments, settings))
    with database_errors(place):
        _require_schema(place)
        engine = writing_engine(place)
        found = forget(engine, person, files, spool, dry_run=True)
        if arguments.dry_run:
            result = found
        elif not (arguments.yes or _confirmed(found.calls)):
            sys.stdout.write("nothing was deleted\n")
            return 1
        else:
            result = forget(engine, person, files, spool)
    webhooks, kept = _forget_webhooks(settings, person, result.ids, dry_run=arguments.dry_run)
    verb = "would be deleted" if arguments.dry_run else "deleted"
    found_things = [(result.calls, "call"), (result.spooled, "row of the spool"), (webhooks, "waiting webhook")]
    things = ", ".join(_counted(number, noun) for number, noun in found_things if number or noun == "call")
    sys.stdout.write(f"{things} {verb}\n")
    sys.stdout.write("".join(f"{line}\n" for line in (*_notes(found, result), *kept)))
    had_to_stay = result.up or result.busy or result.damaged or kept
    return _report_left(result.left) or int(bool(had_to_stay))


def _notes(found: Forgotten, result: Forgotten) -> Iterator[str]:
    """Yields what there is to say of what was not deleted, and of a number that nobody has."""
    if found.longer:
        numbers = ", ".join(found.longer)
        yield f"no call has this number; the records have longer ones: {numbers}. Name each as a whole"
    if result.up:
        some = ", ".join(result.up[:5])
        yield f"{len(result.up)} still up, and kept: {some}; run this again when they are over"
    for path in result.busy:
        yield f"{path}: a running engine has rows in it that it could not store; run this again later"
    for path, lines in result.damaged.items():
        yield (
            f"{path}: {_counted(lines, 'damaged line')} can't be read, so they stay; they may be of this person: "
            "look at them, and delete the file if nothing else is in it"
        )


def _counted(number: int, noun: str) -> str:
    first, *rest = noun.split(" ", 1) if noun.startswith("row") else (noun,)
    return " ".join((f"{number:,}", first if number == 1 else f"{first}s", *rest))


def _forget_webhooks(
    settings: EngineSettings | None, person: Person, ids: Collection[str], *, dry_run: bool
) -> tuple[int, list[str]]:
    """Deletes webhooks about a person's calls that wait for their targets, or only counts them.

    Returns:
        How many, and what there is to say of files that had to stay.

    """
    import sqlite3  # noqa: PLC0415 - only what the command needs

    from reference_engine.settings.notify_settings import default_notify_spool  # noqa: PLC0415 - as above
    from reference_engine.telemetry.spool_files import spool_files  # noqa: PLC0415 - as above
    from reference_engine.telemetry.webhook_spool import WebhookSpool  # noqa: PLC0415 - as above

    path = (None if settings is None else settings.notify_spool) or default_notify_spool()
    kept = [
        f"{damaged}: webhooks that an engine could not read, and put aside; it may have this person's: delete it"
        for damaged in sorted(path.parent.glob(f"{path.stem}*{path.suffix}.damaged-*"))
    ]
    number = 0
    for file in spool_files(path):
        try:
            with closing(WebhookSpool(file, put_aside=False)) as spool:
                about = (person.callers, person.called, ids)
                number += spool.count_about(*about) if dry_run else spool.remove_about(*about)
        except (sqlite3.Error, OSError) as error:
            what = "run this again" if "locked" in str(error) else "its webhooks stay: delete the file, or repair it"
            kept.append(f"{file}: waiting webhooks can't be read: {error}; {what}")
    return number, kept


def _settings_of(arguments: Namespace) -> EngineSettings | None:
    """Returns the settings of the engine's file that PLACE names; None: it is a database's URL."""
    from reference_engine.settings.environment import read_environ  # noqa: PLC0415 - only what the command needs
    from reference_engine.settings.loading import load_settings  # noqa: PLC0415 - as above

    given = Path(arguments.place)
    return load_settings(given, environ=read_environ(arguments.env_file)) if given.is_file() else None


def _directories(arguments: Namespace, settings: EngineSettings | None) -> set[str]:
    """Returns the directories of recordings that the sets' files and the command line name."""
    from reference_engine.settings.environment import read_environ  # noqa: PLC0415 - only what the command needs
    from voicepipe import load_config  # noqa: PLC0415 - as above

    named = {str(directory.absolute()) for directory in arguments.recordings}
    for path in settings.pipeline_sets.values() if settings is not None else ():
        pipelines = load_config(path, environ=read_environ(arguments.env_file)).pipelines
        named |= {pipeline.recording.directory for pipeline in pipelines.values()}
    return named - {""}


def _require_schema(place: RecordsPlace) -> None:
    from reference_engine.records.database import reading_engine  # noqa: PLC0415 - only what the command needs
    from reference_engine.records.schema import require_this_version  # noqa: PLC0415 - as above

    with reading_engine(place).connect() as connection:
        require_this_version(connection)


def _confirmed(number: int) -> bool:
    if not sys.stdin.isatty():
        raise EngineError(f"{number:,} calls would be deleted for good: add --yes")
    return input(f"Delete {number:,} calls for good? [y/N] ").strip().lower() in {"y", "yes"}


def _report_left(left: Mapping[str, str]) -> int:
    """Writes which recordings had to stay; returns 1 if there are any."""
    for path, reason in left.items():
        sys.stdout.write(f"{path}: the recording was not deleted: {reason}\n")
    return int(bool(left))
