"""Opens a database of records, SQLite's or PostgreSQL's: for the store that writes, and for whatever reads.

*SQLite* is in WAL mode, so that readers and the writer do not wait for each other. `synchronous` is FULL: what was
stored survives a power cut, at the cost of an `fsync` for each transaction, and the store, which is in a thread of its
own, makes few of those. A writer waits `BUSY_S` for another one, such as a second engine on the same file.

*PostgreSQL* is reached through psycopg, which gets the URL as libpq reads it. Nothing waits for ever: not to connect,
not for a lock, not for a statement, and not for a network that swallows packets.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from sqlalchemy import create_engine, event
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection, Engine

    from reference_engine.settings.records_place import RecordsPlace

BUSY_S = 2.0
"""The time that SQLite waits for another writer, in s."""

CONNECT_S = 5
"""The time that PostgreSQL has to answer a new connection, in s."""

STATEMENT_S = 20
"""The time that a statement may take in PostgreSQL, in s."""

_TCP = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 10_000}


def writing_engine(place: RecordsPlace, *, group: bool = False) -> Engine:
    """Returns an engine whose transactions write; nothing is opened before its first connection.

    Args:
        place: a database.
        group: whether the group may read a file and a directory of SQLite that are created.

    """
    if place.kind == "postgresql":
        return _postgresql(place, f"-c statement_timeout={STATEMENT_S * 1000} -c lock_timeout=5000")
    path = _path_of(place)

    def connect() -> sqlite3.Connection:
        make_file(path, group=group)
        return sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def reading_engine(place: RecordsPlace, *, deadline_s: float = STATEMENT_S, kept: int = 0) -> Engine:
    """Returns an engine whose connections only read; a database that does not exist is not made.

    Its connections may be used by other threads than the one that opened them.

    Args:
        place: a database.
        deadline_s: the time that a statement of PostgreSQL may take, and that SQLite waits for a lock, in s.
        kept: the number of connections to PostgreSQL that are kept for later; SQLite's cost nothing to open.

    """
    if place.kind == "postgresql":
        limits = f"-c statement_timeout={max(1, int(deadline_s * 1000))} -c default_transaction_read_only=on"
        return _postgresql(place, limits, kept)
    uri = f"file:{quote(str(_path_of(place)))}?mode=rw"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            uri, uri=True, timeout=min(BUSY_S, deadline_s), isolation_level=None, check_same_thread=False
        )

    engine = create_engine("sqlite://", creator=connect, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA query_only = ON")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    return engine


def make_file(path: Path, *, group: bool) -> None:
    """Makes a file and its directory, if they do not exist, for the owner or for the group too.

    Raises:
        OSError: the file can't be made.

    """
    if path.exists():
        return
    for directory in (*reversed(path.parent.parents), path.parent):
        directory.mkdir(0o750 if group else 0o700, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640 if group else 0o600))


def _postgresql(place: RecordsPlace, options: str, kept: int = 0) -> Engine:
    from psycopg import connect as psycopg_connect  # noqa: PLC0415 - an extra
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    given = conninfo_to_dict(place.url)
    defaults: dict[str, Any] = {"connect_timeout": CONNECT_S, "application_name": "voicepipe", **_TCP}
    keywords = {name: value for name, value in defaults.items() if name not in given}
    keywords["options"] = f"{given.get('options', '')} {options}".strip()

    def connect() -> Any:
        return psycopg_connect(place.url, **keywords)

    if not kept:
        return create_engine("postgresql+psycopg://", creator=connect, poolclass=NullPool)
    return create_engine("postgresql+psycopg://", creator=connect, pool_size=kept, pool_pre_ping=True)


def _path_of(place: RecordsPlace) -> Path:
    if place.path is None:
        raise ValueError(f"{place} is no SQLite database")
    return place.path
