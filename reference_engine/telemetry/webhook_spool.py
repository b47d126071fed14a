"""Webhooks that wait to be delivered, in a file of SQLite that survives the process.

SQLite's journal (WAL) keeps whole messages whatever ends the process, `kill -9` included; only a machine that loses
power may lose the last ones. All threads of a process share one connection and a lock: an operation takes microseconds.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from threading import Lock
from time import time
from typing import TYPE_CHECKING

from attrs import frozen

from reference_engine.records.numbers import plain_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MOST_AHEAD_S = 25 * 60 * 60.0
"""A due time further ahead than this is wrong: the clock was put back. Longer than any pause."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL, target TEXT NOT NULL, type TEXT NOT NULL,
  caller TEXT NOT NULL, called TEXT NOT NULL, call_id TEXT NOT NULL, body TEXT NOT NULL,
  made REAL NOT NULL, due REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS waiting_by_due ON waiting (target, due, number);
"""
_IDS_AT_ONCE = 500


@frozen
class About:
    """Whom a webhook is about."""

    call_id: str = ""
    """The call; empty: none."""
    caller: str = ""
    """The caller's number; empty: not known."""
    called: str = ""
    """The called number; empty: not known."""


NOBODY = About()
"""Whom a webhook is about that tells of no call."""


@frozen
class WaitingWebhook:
    """A webhook for one target."""

    id: str
    """The same for all targets and at each attempt."""
    target: str
    """The target's key."""
    type: str
    """The event."""
    about: About
    """Whom it is about."""
    body: str
    """The body."""
    made: float
    """When it was made, in s since the epoch."""
    due: float
    """When it is to be tried, in s since the epoch."""
    attempts: int = 0
    """The number of attempts so far."""
    number: int = 0
    """Its place in the file."""


class WebhookSpool:
    """The file of waiting webhooks; any thread may use it.

    Args:
        path: the file; made if it is missing, with its directory, for this user alone.
        put_aside: whether a file that can't be read as SQLite is put aside, and a new one made.

    Raises:
        OSError: it can't be made.
        sqlite3.Error: it can't be opened.

    Attributes:
        put_aside: the new path of a file that was damaged; None: it was not.

    """

    def __init__(self, path: Path, *, put_aside: bool = True) -> None:
        self.put_aside: Path | None = None
        for directory in (*reversed(path.parent.parents), path.parent):
            directory.mkdir(0o700, exist_ok=True)
        path.touch(0o600)
        self._lock = Lock()
        try:
            self._connection = self._open(path)
        except sqlite3.OperationalError:
            raise  # it is locked, or there is no room
        except sqlite3.DatabaseError:
            if not put_aside:
                raise
            self.put_aside = path.with_name(f"{path.name}.damaged-{time():.0f}")
            path.rename(self.put_aside)
            for journal in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    path.with_name(path.name + journal).unlink()
            path.touch(0o600)
            self._connection = self._open(path)

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=5, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=NORMAL")
            connection.execute("PRAGMA secure_delete=ON")  # what is removed is not left in free pages
            connection.executescript(_SCHEMA)
            connection.create_function("plain_number", 1, plain_number, deterministic=True)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def add(self, messages: Iterable[WaitingWebhook]) -> None:
        """Keeps messages: all of them, or none if this raises."""
        rows = [
            (m.id, m.target, m.type, m.about.caller, m.about.called, m.about.call_id, m.body, m.made, m.due)
            for m in messages
        ]
        with self._lock, closing(self._connection.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                cursor.executemany(
                    "INSERT INTO waiting (id, target, type, caller, called, call_id, body, made, due) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    rows,
                )
                cursor.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    cursor.execute("ROLLBACK")
                raise

    def next_due(self, target: str, now: float) -> WaitingWebhook | float | None:
        """Returns the oldest message that is due; the time until one is, in s; or None if none waits."""
        columns = "call_id, caller, called, id, target, type, body, made, due, attempts, number"
        with self._lock:
            row = self._connection.execute(
                f"SELECT {columns} FROM waiting WHERE target = ? AND (due <= ? OR due > ?) ORDER BY number LIMIT 1",  # noqa: S608 - the columns are above
                (target, now, now + MOST_AHEAD_S),
            ).fetchone()
            if row is not None:
                call_id, caller, called, message_id, to, event, *rest = row
                return WaitingWebhook(message_id, to, event, About(call_id, caller, called), *rest)
            (due,) = self._connection.execute("SELECT min(due) FROM waiting WHERE target = ?", (target,)).fetchone()
        return None if due is None else float(due) - now

    def put_off(self, message: WaitingWebhook, due: float) -> None:
        """Notes a failed attempt, and when the next one is due."""
        self._execute("UPDATE waiting SET attempts = attempts + 1, due = ? WHERE number = ?", due, message.number)

    def remove(self, message: WaitingWebhook) -> None:
        """Removes a message: it was delivered, or never will be."""
        self._execute("DELETE FROM waiting WHERE number = ?", message.number)

    def remove_old(self, target: str, before: float, most: int) -> int:
        """Removes messages that were made before a time, and the oldest beyond a number; returns how many."""
        return self._execute("DELETE FROM waiting WHERE target = ? AND made < ?", target, before) + self._execute(
            "DELETE FROM waiting WHERE number IN "
            "(SELECT number FROM waiting WHERE target = ? ORDER BY number DESC LIMIT -1 OFFSET ?)",
            target,
            most,
        )

    def remove_until(self, target: str, made: float) -> int:
        """Removes the messages of a target that were made by a time; returns how many."""
        return self._execute("DELETE FROM waiting WHERE target = ? AND made <= ?", target, made)

    def remove_of_target(self, target: str) -> int:
        """Removes all messages of a target; returns how many."""
        return self._execute("DELETE FROM waiting WHERE target = ?", target)

    def remove_about(self, callers: Iterable[str], called: Iterable[str], ids: Iterable[str] = ()) -> int:
        """Removes all messages about calls from and to certain numbers, in any spelling, and about certain calls.

        Returns:
            How many they were.

        """
        removed = sum(
            self._execute(f"DELETE FROM waiting WHERE {condition}", *values)  # noqa: S608 - our own conditions
            for condition, values in _about(callers, called, ids)
        )
        self._execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the journal has them too
        return removed

    def count_about(self, callers: Iterable[str], called: Iterable[str], ids: Iterable[str] = ()) -> int:
        """Returns the number of messages that `remove_about` would remove."""
        numbers: set[int] = set()
        with self._lock:
            for condition, values in _about(callers, called, ids):
                found = self._connection.execute(f"SELECT number FROM waiting WHERE {condition}", values)  # noqa: S608 - as above
                numbers |= {number for (number,) in found}
        return len(numbers)

    def counts(self) -> dict[str, int]:
        """Returns the number of messages by target."""
        with self._lock:
            return dict(self._connection.execute("SELECT target, count(*) FROM waiting GROUP BY target"))

    def close(self) -> None:
        """Closes the file."""
        with self._lock:
            self._connection.close()

    def _execute(self, statement: str, *values: object) -> int:
        with self._lock:
            return self._connection.execute(statement, values).rowcount


def _about(callers: Iterable[str], called: Iterable[str], ids: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields the conditions of messages about somebody, with their values."""
    for column, numbers in (("caller", callers), ("called", called)):
        for number in map(plain_number, numbers):
            if number:
                yield f"plain_number({column}) = ?", (number,)
    rest = [call_id for call_id in ids if call_id]
    for start in range(0, len(rest), _IDS_AT_ONCE):
        some = tuple(rest[start : start + _IDS_AT_ONCE])
        yield f"call_id IN ({','.join('?' * len(some))})", some
