"""Reads the database of records from trio: in threads, a few at a time, and never for longer than a deadline.

A page or a command must not hang because a database is away, and no query may run on after nobody waits for it. So a
connection of PostgreSQL has a `statement_timeout`, and one of SQLite asks a clock every few thousand instructions.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import trio
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection, Engine

    from reference_engine.records.history import CallDetail, CallFigures, CallFilter, CallPage, FigureFilter
    from reference_engine.settings.records_place import RecordsPlace

READERS = 4
"""The number of queries that run at once; more wait."""

DEADLINE_S = 5.0
"""The time that a query may take, in s."""

_INSTRUCTIONS = 5000

T = TypeVar("T")


@frozen
class RecordsUnavailable:
    """The database did not answer."""

    problem: str
    """Why, and what to do about it."""


class Reader:
    """Reads calls and figures from trio; makes its connections when it is first asked.

    Its methods return `RecordsUnavailable` if the database is away, has another schema, or takes too long.

    Args:
        place: the database.
        deadline_s: the time that a query may take, in s.

    """

    def __init__(self, place: RecordsPlace, *, deadline_s: float = DEADLINE_S) -> None:
        self._place, self._deadline_s = place, deadline_s
        self._engine: Engine | None = None
        self._limiter = trio.CapacityLimiter(READERS)

    async def find_calls(
        self,
        filter: CallFilter,  # noqa: A002 - as in queries.py
        after: str | None = None,
        limit: int = 50,
    ) -> CallPage | RecordsUnavailable:
        """Returns a page of calls, the latest first.

        Raises:
            ValueError: `after` is not from a page, or a time of the filter has no zone.

        """
        from reference_engine.records.queries import find_calls  # noqa: PLC0415 - SQLAlchemy takes 0.2 s to import

        return await self.run(partial(find_calls, filter=filter, after=after, limit=limit))

    async def find_call(self, call_id: str) -> CallDetail | RecordsUnavailable | None:
        """Returns all there is to know about a call by its ID or the transport's; None: there is no such call."""
        from reference_engine.records.queries import find_call  # noqa: PLC0415 - as above

        return await self.run(partial(find_call, call_id=call_id))

    async def read_figures(self, asked: FigureFilter) -> tuple[CallFigures, ...] | RecordsUnavailable:
        """Returns figures of calls, see `figures.read_figures`."""
        from reference_engine.records.figures import read_figures  # noqa: PLC0415 - as above

        return await self.run(partial(read_figures, asked=asked))

    async def run(self, query: Callable[[Connection], T]) -> T | RecordsUnavailable:
        """Returns what a function reads with a connection; it runs in a thread.

        A thread that a driver keeps beyond the deadline is left to itself. It counts as one of `READERS` until it
        returns, so a database that swallows everything has a few threads, and never more.
        """
        with trio.move_on_after(self._deadline_s + 1):
            return await trio.to_thread.run_sync(
                partial(self.read, query), abandon_on_cancel=True, limiter=self._limiter
            )
        return RecordsUnavailable(
            f"the database of records ({self._place}) did not answer within {self._deadline_s:g} s: "
            "look for a server that hangs, a lock, or a firewall"
        )

    def read(self, query: Callable[[Connection], T]) -> T | RecordsUnavailable:
        """Returns what a function reads with a connection; it blocks, for commands that have no trio."""
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - as above

        from reference_engine.records.database import reading_engine  # noqa: PLC0415 - as above

        try:
            if self._engine is None:
                self._engine = reading_engine(self._place, deadline_s=self._deadline_s, kept=READERS)
            with self._engine.connect() as connection, _deadline(connection, self._deadline_s):
                return query(connection)
        except Exception as error:
            if isinstance(error.__cause__, ValueError):  # of a column's type
                raise error.__cause__ from None
            of_driver = type(error).__module__.partition(".")[0] in {"psycopg", "sqlite3"}
            if not (of_driver or isinstance(error, SQLAlchemyError | OSError)):
                raise
            return RecordsUnavailable(_explain(error, self._place, self._deadline_s))

    def close(self) -> None:
        """Closes the connections."""
        if self._engine is not None:
            self._engine.dispose()


@contextmanager
def _deadline(connection: Connection, deadline_s: float) -> Iterator[None]:
    """Has SQLite give up a query at the deadline; PostgreSQL has its own."""
    if connection.dialect.name != "sqlite":
        yield
        return
    end = time.monotonic() + deadline_s
    database: Any = connection.connection.dbapi_connection
    database.set_progress_handler(lambda: time.monotonic() > end, _INSTRUCTIONS)
    try:
        yield
    finally:
        database.set_progress_handler(None, 0)


def _explain(error: Exception, place: RecordsPlace, deadline_s: float) -> str:
    from reference_engine.records.remedies import hint_of, reason_of  # noqa: PLC0415 - as above

    reason = reason_of(error)
    if reason == "interrupted" or "statement timeout" in reason:
        return f"the query took longer than {deadline_s:g} s: ask for less, such as `--since 2h`"
    if "no such table" in reason or ("relation" in reason and "does not exist" in reason):
        return f"the database has no records of this version ({reason}): run `reference-engine records upgrade`"
    if reason == "unable to open database file":
        return (
            "the file of the database is not there or may not be read: look at `records` and who may read its directory"
        )
    hint = hint_of(error, place)
    return f"the database of records can't be read: {reason}" + (f"; {hint}" if hint else "")
