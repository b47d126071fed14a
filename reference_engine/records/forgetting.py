"""Deletes what the records have of one person: calls from or to a number, with everything that belongs to them."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen
from sqlalchemy import and_, select

from reference_engine.records.deleting import delete_records, note_deletion, of_person, plain_column, scrub
from reference_engine.records.numbers import plain_number
from reference_engine.records.row_changes import from_line
from reference_engine.records.tables import calls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from reference_engine.records.deleting import RecordingFiles

DRAINED_S = 10.0
"""The time that a running engine has to store the rows of its spool, in s."""


@frozen
class Person:
    """Somebody by numbers, in any spelling."""

    callers: tuple[str, ...] = ()
    """Numbers that the person called from."""
    called: tuple[str, ...] = ()
    """Numbers at which the person was called."""


@frozen
class Forgotten:
    """What was deleted of a person, or would be."""

    calls: int = 0
    """The number of calls in the database."""
    up: tuple[str, ...] = ()
    """The IDs of calls that are up, which stay."""
    spooled: int = 0
    """The number of rows that waited in the spool."""
    busy: tuple[Path, ...] = ()
    """Files of the spool that a running engine has not stored in time, so that nobody could look into them."""
    ids: tuple[str, ...] = ()
    """The IDs of the calls in the database and in the spool."""
    damaged: dict[Path, int] = field(factory=dict)
    """The number of lines of the spool that nobody can read, by file; they may be of the person."""
    longer: tuple[str, ...] = ()
    """Numbers of the database that begin as the given ones do, if no call has these: those may be incomplete."""
    left: dict[str, str] = field(factory=dict)
    """Recordings that had to stay, by path, with the reason."""


def forget(
    engine: Engine,
    person: Person,
    files: RecordingFiles,
    spool: Path,
    *,
    dry_run: bool = False,
    pause: Callable[[], object] = lambda: time.sleep(0.05),
    drained_s: float = DRAINED_S,
) -> Forgotten:
    """Deletes the calls of a person that are over; figures by the hour, which name nobody, stay.

    Args:
        engine: a database of records, for writing.
        person: the person.
        files: deletes recordings.
        spool: the directory of rows that wait for the database.
        dry_run: only counts.
        pause: called between two transactions.
        drained_s: the time that a running engine has to store the rows of its spool, in s.

    """
    busy = tuple(_undrained(spool, 0.0 if dry_run else drained_s))
    theirs = of_person(person.callers, person.called)
    with engine.connect() as connection:
        up = connection.execute(select(calls.c.call_id).where(and_(theirs, calls.c.state == "up"))).scalars()
        still_up = tuple(up)
        if dry_run:
            over = and_(theirs, calls.c.state != "up")
            ids = list(connection.execute(select(calls.c.call_id).where(over)).scalars())
    if not dry_run:
        ids = delete_records(engine, theirs, files.delete, pause)
    spooled = _forget_spooled(spool, person, frozenset(ids), dry_run=dry_run)
    found = Forgotten(
        calls=len(ids),
        up=still_up,
        spooled=spooled.rows,
        busy=busy,
        left=dict(files.left),
        ids=(*ids, *spooled.ids),
        damaged=spooled.damaged,
    )
    if dry_run:
        return found if ids or spooled.rows or still_up else evolve(found, longer=_longer_numbers(engine, person))
    with engine.begin() as connection:
        note_deletion(connection, datetime.now(UTC), "a person's calls", "forget", None, len(ids))
    scrub(engine, pause)
    return found


def _longer_numbers(engine: Engine, person: Person) -> tuple[str, ...]:
    """Returns some numbers that begin as the person's do."""
    found: list[str] = []
    with engine.connect() as connection:
        for column, numbers in ((calls.c.caller, person.callers), (calls.c.called, person.called)):
            for number in map(plain_number, numbers):
                begins = plain_column(column).startswith(number, autoescape=True)
                found += connection.execute(select(column).where(begins).distinct().order_by(column).limit(3)).scalars()
    return tuple(dict.fromkeys(found))[:3]


def _spool_files(spool: Path) -> list[Path]:
    return sorted(spool.glob("*.jsonl")) if spool.is_dir() else []


def _undrained(spool: Path, within_s: float) -> Iterator[Path]:
    """Yields the files with rows that running engines do not store in time."""
    until = time.monotonic() + within_s
    for path in _spool_files(spool):
        while _is_busy(path):
            if time.monotonic() >= until:
                yield path
                break
            time.sleep(0.05)


def _is_busy(path: Path) -> bool:
    with suppress(FileNotFoundError), _locked(path) as descriptor:
        return descriptor is None and path.stat().st_size > 0
    return False


@contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """Locks a file of the spool, and gives its descriptor; None if a running engine holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
        else:
            yield descriptor
    finally:
        os.close(descriptor)


@define
class _Spooled:
    """What the spool had of a person."""

    rows: int = 0
    ids: tuple[str, ...] = ()
    damaged: dict[Path, int] = field(factory=dict)


def _forget_spooled(spool: Path, person: Person, ids: frozenset[str], *, dry_run: bool) -> _Spooled:
    """Removes a person's rows from files whose engine is gone; lines that can't be read stay, and are counted."""
    found = _Spooled()
    for path in _spool_files(spool):
        with suppress(FileNotFoundError), _locked(path) as descriptor:
            if descriptor is None:
                continue
            lines = path.read_bytes().splitlines(keepends=True)
            rows = [_row(line) for line in lines]
            of_spool = {str(row["call_id"]) for row in rows if row is not None and _is_theirs(row, person)}
            theirs = ids | of_spool
            kept = [
                line
                for line, row in zip(lines, rows, strict=True)
                if row is None or str(row.get("call_id")) not in theirs
            ]
            found.rows += len(lines) - len(kept)
            found.ids += tuple(sorted(of_spool - ids))
            if damaged := rows.count(None):
                found.damaged[path] = damaged
            if len(kept) == len(lines) or dry_run:
                continue
            beside = path.with_suffix(".rewritten")
            mode = path.stat().st_mode & 0o777
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
                file.write(b"".join(kept))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
    return found


def _row(line: bytes) -> dict[str, object] | None:
    try:
        return dict(from_line(line).row)
    except ValueError:
        return None


def _is_theirs(row: dict[str, object], person: Person) -> bool:
    for name, numbers in (("caller", person.callers), ("called", person.called)):
        value = row.get(name)
        if isinstance(value, str) and plain_number(value) in map(plain_number, numbers):
            return "call_id" in row
    return False
