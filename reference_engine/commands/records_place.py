"""The place of records as commands get it: named by an engine's file, or by its URL."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

    from reference_engine.settings.records_place import RecordsPlace

HELP = (
    "an engine's YAML file, whose `records` names the database, or the database's URL: sqlite:///PATH, postgresql://..."
)


def add_place_argument(command: ArgumentParser) -> None:
    """Adds the argument PLACE, and `--env-file` for a file that needs it."""
    command.add_argument("place", metavar="PLACE", help=HELP)
    command.add_argument(
        "--env-file", type=Path, metavar="PATH", help="NAME=value lines for ${NAME}; they override the environment"
    )


def place_of(arguments: Namespace, *, files: bool = False) -> RecordsPlace:
    """Returns the database that PLACE names, or with `files` the file of records, which PLACE may be itself.

    Raises:
        EngineError: it names none.
        ConfigError: the engine's file has problems.

    """
    from reference_engine.settings.environment import read_environ  # noqa: PLC0415 - only what the command needs
    from reference_engine.settings.loading import load_settings  # noqa: PLC0415 - as above
    from reference_engine.settings.records_place import PlaceError, read_place  # noqa: PLC0415 - as above

    given = arguments.place
    if re.match(r"[A-Za-z][A-Za-z0-9+]*:", given) or (files and given.endswith((".jsonl", ".ndjson"))):
        try:
            place = read_place(given)
        except PlaceError as error:
            raise EngineError(f"{error}; {error.hint}") from None
    else:
        found = load_settings(Path(given), environ=read_environ(arguments.env_file)).records
        if found is None:
            raise EngineError(f"{given} keeps no records: name a database in it (`records: sqlite:///PATH`)")
        place = found
    if not place.is_database and not files:
        raise EngineError(f"the records of {given} are in the file {place}, not in a database")
    return place


@contextmanager
def database_errors(place: RecordsPlace) -> Iterator[None]:
    """Raises `EngineError` with the reason and a hint for whatever keeps the block from using the database."""
    import sqlite3  # noqa: PLC0415 - only what the command needs

    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - as above

    from reference_engine.records.remedies import hint_of, reason_of  # noqa: PLC0415 - as above
    from reference_engine.records.schema import SchemaError  # noqa: PLC0415 - as above

    try:
        yield
    except SchemaError as error:
        raise EngineError(f"{place.named}: {error}") from None
    except Exception as error:
        of_driver = type(error).__module__.partition(".")[0] == "psycopg"
        if not (of_driver or isinstance(error, SQLAlchemyError | sqlite3.Error | OSError)) or isinstance(
            error, BrokenPipeError
        ):
            raise
        why = "; ".join(filter(None, (reason_of(error), hint_of(error, place))))
        raise EngineError(f"{place.named}: {why}") from None
