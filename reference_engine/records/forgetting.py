"""Deletes what the records have of one person: calls from or to a number, with everything that belongs to them."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen
from sqlalchemy import and_, select

from reference_engine.records.deleting import count_calls, delete_records, note_deletion, of_person, plain_number, scrub
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
    """Somebody by numbers; spaces, dashes, dots and parentheses in them don't count."""

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
    callers: frozenset[str] = frozenset()
    """The callers' numbers, as the given and as the database has them."""
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
        callers = frozenset(connection.execute(select(calls.c.caller).where(theirs).distinct()).scalars())
    callers = (callers | {*person.callers}) - {""} if person.callers else frozenset()
    if dry_run:
        number = count_calls(engine, and_(theirs, calls.c.state != "up"))
        return Forgotten(number, still_up, _forget_spooled(spool, person, frozenset(), dry_run=True), busy, callers)
    ids = delete_records(engine, theirs, files.delete, pause)
    spooled = _forget_spooled(spool, person, frozenset(ids))
    with engine.begin() as connection:
        note_deletion(connection, datetime.now(UTC), "a person's calls", "forget", None, len(ids))
    scrub(engine, pause)
    return Forgotten(len(ids), still_up, spooled, busy, callers, dict(files.left))


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


def _forget_spooled(spool: Path, person: Person, ids: frozenset[str], *, dry_run: bool = False) -> int:
    """Removes a person's rows from files whose engine is gone; returns how many."""
    removed = 0
    for path in _spool_files(spool):
        with suppress(FileNotFoundError), _locked(path) as descriptor:
            if descriptor is None:
                continue
            lines = path.read_bytes().splitlines(keepends=True)
            theirs = ids | {str(row["call_id"]) for row in map(_row, lines) if _is_theirs(row, person)}
            kept = [line for line in lines if str(_row(line).get("call_id")) not in theirs]
            removed += len(lines) - len(kept)
            if len(kept) == len(lines) or dry_run:
                continue
            beside = path.with_suffix(".rewritten")
            mode = path.stat().st_mode & 0o777
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode), "wb") as file:
                file.write(b"".join(kept))
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
    return removed


def _row(line: bytes) -> dict[str, object]:
    try:
        return dict(from_line(line).row)
    except ValueError:
        return {}


def _is_theirs(row: dict[str, object], person: Person) -> bool:
    for name, numbers in (("caller", person.callers), ("called", person.called)):
        value = row.get(name)
        if isinstance(value, str) and plain_number(value) in map(plain_number, numbers):
            return "call_id" in row
    return False
