"""Deletes calls from the database of records, and their recordings: a few at a time, so that nothing waits for long.

*Bytes.* In SQLite deleted rows are overwritten with zeros (`secure_delete`, database.py); `scrub` does so for the full
text and for the write-ahead log. PostgreSQL keeps deleted rows until its autovacuum comes by.

*Recordings* are files that the database names, and the database is data: a file is deleted only if it is a plain file
that lies in one of the directories that the configuration names for recordings. A path is followed to where it really
leads before that is decided; a symbolic link itself is never followed.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen
from sqlalchemy import and_, case, delete, func, insert, literal, or_, select, text, true, update

from reference_engine.records.numbers import SEPARATORS, plain_number
from reference_engine.records.tables import PARTS, call_texts, calls, deletions, steering, tools, turns

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from sqlalchemy import ColumnElement, Connection, Engine

BATCH = 200
"""The most calls of one transaction."""


@frozen
class CallOrder:
    """Where a call stands in the order of time, for going through calls page by page."""

    began: datetime
    """The time at which it began."""
    call_id: str
    """Its ID."""


def over_before(before: datetime) -> ColumnElement[bool]:
    """Returns the condition of calls that began before a time, and are over."""
    return and_(calls.c.began < before, calls.c.state != "up")


def having(what: str) -> ColumnElement[bool]:
    """Returns the condition of calls that still have `records` (all of them), `recordings` or `transcripts`."""
    if what == "recordings":
        return calls.c.recording != ""
    if what == "transcripts":
        return or_(
            select(turns.c.call_id).where(turns.c.call_id == calls.c.call_id, _has_words()).exists(),
            select(tools.c.call_id).where(tools.c.call_id == calls.c.call_id, tools.c.result != "").exists(),
            select(steering.c.call_id).where(steering.c.call_id == calls.c.call_id, steering.c.text != "").exists(),
        )
    return true()


def of_person(callers: Collection[str], called: Collection[str]) -> ColumnElement[bool]:
    """Returns the condition of calls from or to certain numbers, however they are spelled, see numbers.py."""
    return or_(
        plain_column(calls.c.caller).in_([plain_number(number) for number in callers]),
        plain_column(calls.c.called).in_([plain_number(number) for number in called]),
    )


def plain_column(column: ColumnElement[str]) -> ColumnElement[str]:
    """Returns what `plain_number` makes of a column's numbers, as transports write them."""
    international = or_(column.startswith("+"), column.startswith("00"))
    plain: ColumnElement[str] = case((international, func.replace(column, "(0)", "")), else_=column)
    for separator in SEPARATORS:
        plain = func.replace(plain, separator, "")
    return case((plain.startswith("00"), literal("+").concat(func.substr(plain, 3))), else_=plain)


def count_calls(engine: Engine, condition: ColumnElement[bool]) -> int:
    """Returns the number of calls that match."""
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(calls).where(condition)).scalar_one()


def delete_records(
    engine: Engine, condition: ColumnElement[bool], delete_file: Callable[[str], bool], pause: Callable[[], object]
) -> list[str]:
    """Deletes calls with all their parts and recordings; what `hourly` has counted stays.

    Args:
        engine: a database of records, for writing.
        condition: which calls; none of them may be up.
        delete_file: deletes a recording; returns False if it must stay.
        pause: called between two transactions.

    Returns:
        The IDs of the calls.

    """
    deleted: list[str] = []
    over = and_(condition, calls.c.state != "up")
    while True:
        with engine.connect() as connection:
            some = connection.execute(select(calls.c.call_id, calls.c.recording).where(over).limit(BATCH)).all()
        if not some:
            return deleted
        for row in some:
            if row.recording:
                delete_file(row.recording)
        ids = [row.call_id for row in some]
        with engine.begin() as connection:
            delete_rows(connection, ids)
        deleted += ids
        pause()


def delete_rows(connection: Connection, ids: Sequence[str]) -> None:
    """Deletes the rows of calls, in every table that has some."""
    connection.execute(delete(call_texts).where(call_texts.c.call_id.in_(ids)))
    for table in PARTS:
        connection.execute(delete(table).where(table.c.call_id.in_(ids)))
    connection.execute(delete(calls).where(calls.c.call_id.in_(ids)))


def delete_recordings(
    engine: Engine,
    condition: ColumnElement[bool],
    delete_file: Callable[[str], bool],
    note: str,
    pause: Callable[[], object],
) -> int:
    """Deletes recordings of calls; returns how many.

    Args:
        engine: a database of records, for writing.
        condition: which calls.
        delete_file: deletes a recording; returns False if it must stay, as its record then does.
        note: what the record says of the recording from then on.
        pause: called between two transactions.

    """
    deleted = 0
    for rows in _pages(engine, and_(condition, having("recordings"))):
        gone = [call_id for call_id, recording in rows if delete_file(recording)]
        if gone:
            with engine.begin() as connection:
                changed = update(calls).where(calls.c.call_id.in_(gone))
                connection.execute(changed.values(recording="", recording_failed=note))
        deleted += len(gone)
        pause()
    return deleted


def delete_transcripts(engine: Engine, condition: ColumnElement[bool], pause: Callable[[], object]) -> int:
    """Deletes what was said in calls, results of tools and texts of steering; returns the number of calls.

    The full text goes with it. Messages of failures stay: they are the providers'.
    """
    deleted = 0
    for rows in _pages(engine, and_(condition, having("transcripts"))):
        ids = [call_id for call_id, _ in rows]
        with engine.begin() as connection:
            silent = update(turns).where(turns.c.call_id.in_(ids), _has_words())
            connection.execute(silent.values(heard="", said="", pressed=[]))
            connection.execute(update(tools).where(tools.c.call_id.in_(ids)).values(result=""))
            connection.execute(update(steering).where(steering.c.call_id.in_(ids)).values(text="", variables={}))
            connection.execute(delete(call_texts).where(call_texts.c.call_id.in_(ids)))
        deleted += len(ids)
        pause()
    return deleted


def _has_words() -> ColumnElement[bool]:
    return or_(turns.c.heard != "", turns.c.said != "")


def _pages(engine: Engine, condition: ColumnElement[bool]) -> Iterator[list[tuple[str, str]]]:
    """Yields the IDs and recordings of calls, page by page in the order of time, whatever becomes of them meanwhile."""
    after: CallOrder | None = None
    while True:
        later = (
            or_(calls.c.began > after.began, and_(calls.c.began == after.began, calls.c.call_id > after.call_id))
            if after is not None
            else true()
        )
        wanted = select(calls.c.began, calls.c.call_id, calls.c.recording).where(condition, later)
        with engine.connect() as connection:
            rows = connection.execute(wanted.order_by(calls.c.began, calls.c.call_id).limit(BATCH)).all()
        if not rows:
            return
        after = CallOrder(rows[-1].began, rows[-1].call_id)
        yield [(row.call_id, row.recording) for row in rows]


def note_deletion(  # noqa: PLR0917 - the columns of a row
    connection: Connection, at: datetime, what: str, reason: str, before: datetime | None, number: int
) -> None:
    """Notes in the database that something was deleted, without saying whose it was."""
    connection.execute(insert(deletions).values(at=at, what=what, reason=reason, before=before, calls=number))


def scrub(engine: Engine, pause: Callable[[], object]) -> None:
    """Overwrites what SQLite still has of deleted rows: in the full text, and in the write-ahead log.

    The log can't be emptied while somebody reads the database; then it goes with the next one.
    """
    if engine.dialect.name != "sqlite":
        return
    for pages in (-100, *(100,) * 1000):  # FTS5 merges its parts a few pages at a time, and drops deleted words
        with engine.begin() as connection:
            before = connection.execute(text("SELECT total_changes()")).scalar_one()
            connection.execute(text("INSERT INTO call_words (call_words, rank) VALUES ('merge', :p)"), {"p": pages})
            if connection.execute(text("SELECT total_changes()")).scalar_one() - before < 2:
                break
        pause()
    raw = engine.raw_connection()
    try:
        raw.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # within no transaction
    finally:
        raw.close()


class RecordingFiles:
    """Deletes recordings, and nothing else.

    Args:
        directories: the directories that are configured for recordings.

    Attributes:
        deleted: the number of files that were deleted.
        left: paths that were not, because they lie elsewhere, are no plain files, or could not be deleted.

    """

    def __init__(self, directories: Collection[str | Path]) -> None:
        self._directories = {Path(os.path.realpath(directory)) for directory in directories}
        self.deleted = 0
        self.left: dict[str, str] = {}

    def delete(self, path: str) -> bool:
        """Deletes a recording; returns True if it is gone, now or already."""
        try:
            reason = self._delete(path)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
        if reason:
            self.left[path] = reason
        return not reason

    def _delete(self, path: str) -> str:
        given = Path(path)
        if not given.is_absolute() or given.name in {"", ".."}:
            return "it is no absolute path"
        parent = Path(os.path.realpath(given.parent))
        if not any(parent.is_relative_to(directory) for directory in self._directories):
            return "it lies in no directory of recordings"
        try:
            directory = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            return ""
        try:
            with suppress(FileNotFoundError):
                if not stat.S_ISREG(os.stat(given.name, dir_fd=directory, follow_symlinks=False).st_mode):
                    return "it is no plain file"
                os.unlink(given.name, dir_fd=directory)
                self.deleted += 1
        finally:
            os.close(directory)
        return ""
