"""Writes changes of rows into a database of records: each list of them in one transaction.

Every change may be made again: a transaction whose commit was not confirmed is repeated. Rows of one kind are written
together, in an order in which a row never comes before the one that it refers to. A row that the database refuses, say
because its call was deleted meanwhile, does not hold up the others: they are then written one by one.

Calls are completed, which is to say counted in `hourly` and made ready to be searched, in the transaction in which they
end or are found to be lost.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from attrs import fields, frozen
from sqlalchemy import Table, and_, bindparam, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from reference_engine.records.database import writing_engine
from reference_engine.records.lost_calls import LostCall
from reference_engine.records.remedies import hint_of, reason_of
from reference_engine.records.row_changes import RowChange
from reference_engine.records.runs import Beats, EngineRun, is_gone
from reference_engine.records.schema import SchemaError, upgrade
from reference_engine.records.tables import (
    calls,
    engine_runs,
    failures,
    metadata,
    steering,
    tools,
    transfers,
    turns,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection, Dialect, Engine

    from reference_engine.settings.records_place import RecordsPlace

    CompleteCalls: TypeAlias = "Callable[[Connection, Sequence[str]], None]"

T = TypeVar("T")

_ORDER = {"begin": 1, "put": 2, "change": 3, "end": 4}
_FIRST = {"engine_runs"}
_ATTEMPTS = 3
_CONFLICTS = {"40001", "40P01"}
"""PostgreSQL's errors of a transaction that met another one: it is tried again."""


class DatabaseAwayError(Exception):
    """The database can't be used now; the message is the reason.

    Args:
        reason: why, on one line.
        hint: the remedy; empty if none is known.

    """

    def __init__(self, reason: str, hint: str = "") -> None:
        super().__init__(reason)
        self.hint = hint


class RowWriter:
    """Writes into one database for one run of an engine; used by one thread.

    Args:
        place: the database.
        run: the run.
        software: voicepipe's version.
        group: whether the group may read files that are created.
        complete: completes calls that have ended or are lost, within the transaction; it may get them again.

    """

    def __init__(
        self,
        place: RecordsPlace,
        run: EngineRun,
        software: str,
        *,
        group: bool = False,
        complete: CompleteCalls | None = None,
    ) -> None:
        self._engine: Engine = writing_engine(place, group=group)
        self._place, self._run, self._software = place, run, software
        self._file = (0, 0)
        self._complete = complete
        self._connection: Connection | None = None
        self._beats = Beats()
        self._beat = 0

    def connect(self, up: Collection[str] = ()) -> None:
        """Opens the database, brings its schema up to date, and enters the run.

        Args:
            up: the run's calls that are up; others may have taken them for lost.

        Raises:
            DatabaseAwayError: it can't be used now.
            SchemaError: the schema is of later software, or may not be upgraded by this user.

        """

        def enter(connection: Connection) -> None:
            upgrade(connection)
            self._write(connection, [RowChange("put", "engine_runs", self._run.row(self._software))])
            self._revive(connection, up)

        self.close()
        self._beats.forget()
        self._beat = 0
        self._transact(enter)

    def write(self, changes: Sequence[RowChange]) -> list[tuple[RowChange, str]]:
        """Makes changes, all in one transaction.

        Returns:
            The changes that the database refuses, each with the reason.

        Raises:
            DatabaseAwayError: none of them may have been made.

        """
        try:
            self._transact(lambda connection: self._write(connection, changes))
        except (StatementError, KeyError, TypeError, ValueError):
            return self._transact(lambda connection: self._write_singly(connection, changes))
        return []

    def beat(self) -> None:
        """Raises the run's beat.

        Raises:
            DatabaseAwayError: the database can't be used now.

        """
        self._require_file()
        self._beat += 1
        raised = update(engine_runs).where(engine_runs.c.run == self._run.run).values(beat=self._beat)
        self._transact(lambda connection: connection.execute(raised))

    def find_lost(self) -> list[LostCall]:
        """Marks calls as lost whose engine is gone, and returns them; to be called every `BEAT_S`.

        Raises:
            DatabaseAwayError: the database can't be used now.

        """
        return self._transact(self._mark_lost)

    def end_run(self) -> None:
        """Notes that the run has ended. A call of it that is still up is lost.

        Raises:
            DatabaseAwayError: the database can't be used now.

        """

        def end(connection: Connection) -> None:
            self._lose(connection, self._run.run)
            ended = update(engine_runs).where(engine_runs.c.run == self._run.run).values(ended=datetime.now(UTC))
            connection.execute(ended)

        self._transact(end)

    def close(self) -> None:
        """Closes the connection, if there is one; it may be broken."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except (SQLAlchemyError, sqlite3.Error, OSError):
                connection.invalidate()

    def _require_file(self) -> None:
        """Raises `DatabaseAwayError` if SQLite's file was removed or replaced: what is written now would be in none."""
        path = self._place.path
        if path is None or self._connection is None:
            return
        try:
            status = path.stat()
            is_same = (status.st_dev, status.st_ino) == self._file
        except OSError:
            is_same = False
        if not is_same:
            self.close()
            raise DatabaseAwayError(f"{path} was removed or replaced")

    def _transact(self, run: Callable[[Connection], T]) -> T:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                if self._connection is None:
                    self._connection = self._engine.connect()
                    if self._place.path is not None:
                        status = self._place.path.stat()
                        self._file = (status.st_dev, status.st_ino)
                with self._connection.begin():
                    return run(self._connection)
            except (IntegrityError, DataError):
                raise
            except (DBAPIError, sqlite3.Error, OSError) as error:
                if getattr(getattr(error, "orig", None), "sqlstate", None) in _CONFLICTS and attempt < _ATTEMPTS:
                    continue
                self.close()
                raise DatabaseAwayError(reason_of(error), hint_of(error, self._place)) from error
            except SchemaError:
                self.close()
                raise
            except Exception as error:
                if type(error).__module__.startswith("psycopg"):  # while connecting SQLAlchemy wraps nothing
                    self.close()
                    raise DatabaseAwayError(reason_of(error), hint_of(error, self._place)) from error
                raise
        raise AssertionError("each attempt returns or raises")

    def _write(self, connection: Connection, changes: Iterable[RowChange]) -> None:
        groups: dict[tuple[int, str, str, tuple[str, ...]], list[Any]] = defaultdict(list)
        for change in changes:
            order = 0 if change.table in _FIRST else _ORDER[change.how]
            groups[order, change.how, change.table, tuple(change.row)].append(change.row)
        for (_order, how, table, columns), rows in sorted(groups.items(), key=lambda group: group[0][0]):
            if how == "end":
                self._end(connection, columns, rows)
            elif how == "change":
                statement = _change(table, columns)
                connection.execute(statement, [{f"to_{name}": value for name, value in row.items()} for row in rows])
            else:
                _insert_rows(connection, table, columns, rows, replace=how == "put")

    def _end(self, connection: Connection, columns: tuple[str, ...], rows: list[Any]) -> None:
        _insert_rows(connection, "calls", columns, rows, replace=True)
        self._complete_calls(connection, [row["call_id"] for row in rows])

    def _write_singly(self, connection: Connection, changes: Iterable[RowChange]) -> list[tuple[RowChange, str]]:
        refused = []
        for change in changes:
            try:
                with connection.begin_nested():
                    self._write(connection, [change])
            except (IntegrityError, DataError) as error:
                refused.append((change, reason_of(error)))
            except DBAPIError:
                raise
            except (StatementError, KeyError, TypeError, ValueError) as error:
                refused.append((change, reason_of(error)))
        return refused

    def _mark_lost(self, connection: Connection) -> list[LostCall]:
        with_calls = exists().where(and_(calls.c.run == engine_runs.c.run, calls.c.state == "up"))
        runs = connection.execute(select(engine_runs).where(engine_runs.c.run != self._run.run, with_calls)).all()
        beating = {run.run: run.beat for run in runs if run.ended is None}
        lost = [run.run for run in runs if run.ended is not None or is_gone(run.pid, run.process_start)]
        lost += [run for run in self._beats.dead(beating) if run not in lost]
        ids = [call_id for run in lost for call_id in self._lose(connection, run)]
        return [call for some in _pieces(ids) for call in _lost_calls(connection, some)]

    def _lose(self, connection: Connection, run: str) -> list[str]:
        up = select(calls.c.call_id).where(calls.c.run == run, calls.c.state == "up").with_for_update()
        ids = list(connection.execute(up).scalars())
        for some in _pieces(ids):
            of_call = select(func.count()).select_from(turns).where(turns.c.call_id == calls.c.call_id)
            connection.execute(
                update(calls)
                .where(calls.c.call_id.in_(some))
                .values(
                    state="lost",
                    ended=datetime.now(UTC),
                    failed=True,
                    turns=of_call.scalar_subquery(),
                    interruptions=of_call.where(turns.c.interrupted).scalar_subquery(),
                )
            )
            self._complete_calls(connection, some)
        return ids

    def _revive(self, connection: Connection, up: Collection[str]) -> None:
        """Makes calls that others took for lost, while this run could not say that it lives, be up again."""
        for some in _pieces(list(up)):
            lost = update(calls).where(calls.c.call_id.in_(some), calls.c.state == "lost")
            connection.execute(lost.values(state="up", ended=None, failed=False, turns=0, interruptions=0))

    def _complete_calls(self, connection: Connection, ids: Sequence[str]) -> None:
        if self._complete is not None and ids:
            self._complete(connection, ids)


def _lost_calls(connection: Connection, ids: Sequence[str]) -> list[LostCall]:
    """Returns what is known of calls, in the order in which they began."""
    known: dict[str, float] = defaultdict(float)
    for table in (turns, tools, failures, steering, transfers):
        last = select(table.c.call_id, func.max(table.c.at_s)).where(table.c.call_id.in_(ids))
        for call_id, at_s in connection.execute(last.group_by(table.c.call_id)):
            known[call_id] = max(known[call_id], at_s)
    of_call = [calls.c[field.name] for field in fields(LostCall) if field.name in calls.c]
    query = select(engine_runs.c.name.label("engine"), engine_runs.c.worker, *of_call)
    query = query.join(engine_runs, engine_runs.c.run == calls.c.run).where(calls.c.call_id.in_(ids))
    rows = connection.execute(query.order_by(calls.c.began, calls.c.call_id)).mappings()
    return [LostCall(**row, at_least_s=round(known[row["call_id"]], 3)) for row in rows]


def _pieces(ids: list[str], size: int = 500) -> list[list[str]]:
    return [ids[at : at + size] for at in range(0, len(ids), size)]


def _key(table: Table) -> list[str]:
    """Returns the columns by which a row is the same row."""
    return [column.name for column in table.primary_key]


def _insert_rows(
    connection: Connection, table: str, columns: tuple[str, ...], rows: Sequence[Mapping[str, Any]], *, replace: bool
) -> None:
    """Inserts rows, or replaces those with their keys.

    Three quarters of the time would be SQLAlchemy's way from rows to the driver's parameters, so that is gone here: by
    the same types, for each row in one comprehension.
    """
    insert = _compiled_insert(connection.dialect, table, columns, replace=replace)
    make = insert.processors.items()
    parameters = []
    for row in rows:
        values = dict(row)
        for name, process in make:
            values[name] = process(values[name])
        parameters.append(values if insert.order is None else tuple([values[name] for name in insert.order]))
    connection.exec_driver_sql(insert.statement, parameters)


@frozen
class _Insert:
    """An INSERT in the words of a driver."""

    statement: str
    """The statement."""
    order: tuple[str, ...] | None
    """The columns in order of their parameters; None: the driver takes them by name."""
    processors: Mapping[str, Callable[[Any], Any]]
    """What makes a parameter of a value, for columns where they differ."""


@cache
def _compiled_insert(dialect: Dialect, name: str, columns: tuple[str, ...], *, replace: bool) -> _Insert:
    table = metadata.tables[name]
    key = _key(table)
    insert = (postgresql if dialect.name == "postgresql" else sqlite).insert(table)
    changed = {column: insert.excluded[column] for column in columns if column not in key}
    statement = insert.values({column: bindparam(column) for column in columns})
    if replace and changed:
        statement = statement.on_conflict_do_update(index_elements=key, set_=changed)
    else:
        statement = statement.on_conflict_do_nothing(index_elements=key)
    compiled: Any = statement.compile(dialect=dialect)
    processors = {column: table.c[column].type.dialect_impl(dialect).bind_processor(dialect) for column in columns}
    return _Insert(
        str(compiled),
        tuple(compiled.positiontup) if compiled.positional else None,
        {column: process for column, process in processors.items() if process is not None},
    )


@cache
def _change(name: str, columns: tuple[str, ...]) -> Any:
    """Returns an UPDATE whose parameters are `to_` and the column: a column's own name is SQLAlchemy's."""
    table = metadata.tables[name]
    key = _key(table)
    of_row = and_(*(table.c[column] == bindparam(f"to_{column}") for column in key))
    return update(table).where(of_row).values({name: bindparam(f"to_{name}") for name in columns if name not in key})
