"""Where the commands that show calls read them: a database or a file, found by an engine's file or named."""

from __future__ import annotations

import sys
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reference_engine.commands.records_place import place_of
from reference_engine.errors import EngineError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

    from reference_engine.records.history import CallDetail, CallFilter, CallPage
    from reference_engine.settings.records_place import RecordsPlace

ENGINE_FILES = ("config/engine.yaml", "engine.yaml", "/etc/voicepipe/engine.yaml")
"""The engine's files that are looked for, in this order."""

DEADLINE_S = 30.0
"""The time that a command waits for the database, in s."""


def add_records_options(command: ArgumentParser) -> None:
    """Adds `--records`, the place of the records, and `--env-file` for an engine's file that needs it."""
    command.add_argument(
        "--records",
        metavar="PLACE",
        help="an engine's YAML file, whose `records` names the place; a database's URL, sqlite:///PATH or "
        f"postgresql://...; or a .jsonl file (default: the first of {', '.join(ENGINE_FILES)} that exists)",
    )
    command.add_argument(
        "--env-file", type=Path, metavar="PATH", help="NAME=value lines for ${NAME}; they override the environment"
    )


class RecordsSource:
    """Reads calls from a database or a file.

    Raises:
        EngineError: in all methods, if it can't be read: with the reason, and what to do.

    """

    def __init__(self, place: RecordsPlace) -> None:
        self.place = place
        if place.is_database:
            from reference_engine.records.reading import Reader  # noqa: PLC0415 - SQLAlchemy takes 0.2 s to import

            self._reader = Reader(place, deadline_s=DEADLINE_S)
        elif place.path is not None and sys.stderr.isatty():
            sys.stderr.write(f"reading all of {place.path}: a database answers at once (records: sqlite:///PATH)\n")

    def find_calls(self, filter: CallFilter, after: str | None, limit: int) -> CallPage:  # noqa: A002 - as in queries.py
        """Returns a page of calls, the latest first."""
        from reference_engine.records import file_calls, history  # noqa: PLC0415 - only what the command needs

        found: list[history.CallSummary] = []
        while True:
            page = self._read("find_calls", file_calls.find_calls_in_file, filter, after, limit - len(found))
            found += page.calls
            after = page.next
            if after is None or len(found) >= limit:
                return history.CallPage(calls=tuple(found), next=after)

    def find_call(self, call_id: str) -> CallDetail:
        """Returns a call by its ID, the transport's, or the beginning of its ID."""
        from reference_engine.records import file_calls  # noqa: PLC0415 - only what the command needs

        call: CallDetail | None = self._read("find_call", file_calls.find_call_in_file, call_id)
        if call is not None:
            return call
        ids = self._read("call_ids", file_calls.call_ids_in_file, call_id, _MOST_IDS) if call_id else []
        if len(ids) == 1:
            return self.find_call(ids[0])
        if ids:
            more = "" if len(ids) < _MOST_IDS else ", ..."
            raise EngineError(f"several calls begin with {call_id!r}: {', '.join(ids)}{more}")
        hint = "a transport's ID has to be whole, and a call that has just begun may not be written yet"
        raise EngineError(
            f"there is no call {call_id!r} in {self.place}: `reference-engine calls` lists what is there; {hint}"
        )

    def _read(self, name: str, from_file: Callable[..., object], *arguments: object) -> Any:
        if not self.place.is_database:
            try:
                return from_file(self.place.path, *arguments)
            except OSError as error:
                reason = f"{self.place.path} can't be read: {error.strerror}"
                raise EngineError(f"{reason}; the engine makes it when its first call ends") from None
            except ValueError as error:
                raise EngineError(str(error)) from None
        from reference_engine.records import queries  # noqa: PLC0415 - SQLAlchemy takes 0.2 s to import
        from reference_engine.records.reading import RecordsUnavailable  # noqa: PLC0415 - as above

        try:
            answer = self._reader.read(partial(_call, getattr(queries, name), arguments))
        except ValueError as error:
            raise EngineError(str(error)) from None
        if isinstance(answer, RecordsUnavailable):
            raise EngineError(f"{self.place}: {answer.problem}")
        return answer


_MOST_IDS = 5


def _call(query: Callable[..., object], arguments: tuple[object, ...], connection: object) -> object:
    return query(connection, *arguments)


def open_source(arguments: Namespace) -> RecordsSource:
    """Returns what `--records` names, or the engine's file that is found.

    Raises:
        EngineError: it names no place of records, or there is no engine's file.
        ConfigError: the engine's file has problems.

    """
    given = arguments.records or next((name for name in ENGINE_FILES if Path(name).is_file()), None)
    if given is None:
        looked = ", ".join(ENGINE_FILES)
        raise EngineError(f"no engine's file was found ({looked}): name it, or the records, with --records PLACE")
    return RecordsSource(place_of(Namespace(place=given, env_file=arguments.env_file), files=True))
