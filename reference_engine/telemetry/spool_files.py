"""The files of waiting webhooks of an engine's processes: each worker has its own, and files of others are adopted.

One file has one owner at a time, who holds a lock (`flock`) on a file beside it: two processes with one file would both
deliver what waits in it. A single process has `webhooks.db`, worker 2 has `webhooks.worker-2.db`. If that one is still
held, by a worker of an earlier supervisor that finishes its calls, it has `webhooks.worker-2.2.db`.

What is in a file that nobody holds is moved into the own one at each start: with fewer workers than before, or after a
crash, nothing waits for ever. A process that is killed between the two steps of a move has messages twice, with the
same ID, by which receivers tell that they have them.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_HELD: Final = 100
"""The most files of one number that are tried: each is held by a process."""


class SpoolClaim:
    """The file of this process, which no other has for as long as this is open.

    Args:
        base: the file of an engine of one process, after which all are named.
        worker: the number of this worker; None: the engine is one process.

    Raises:
        OSError: no file can be locked there.

    Attributes:
        path: the file.

    """

    def __init__(self, base: Path, worker: int | None) -> None:
        self._base = base
        for directory in (*reversed(base.parent.parents), base.parent):
            directory.mkdir(0o700, exist_ok=True)
        names = (_name(base, worker, held) for held in range(MOST_HELD))
        for path in names:
            if (lock := _lock(path)) is not None:
                self.path, self._lock = path, lock
                return
        raise OSError(f"{MOST_HELD} processes hold files of worker {worker}")

    def close(self) -> None:
        """Lets others have the file."""
        os.close(self._lock)

    def adopt_orphans(self) -> int:
        """Moves messages of files that nobody holds into the own file; returns their number.

        Raises:
            sqlite3.Error: the own file can't be written.

        """
        moved = 0
        for path in spool_files(self._base):
            if path == self.path or (lock := _lock(path)) is None:
                continue
            try:
                moved += self._move_from(path)
            finally:
                os.close(lock)
        return moved

    def _move_from(self, path: Path) -> int:
        columns = "id, target, type, caller, called, call_id, body, made, due, attempts"
        try:
            with closing(sqlite3.connect(path, timeout=5)) as theirs:
                rows = theirs.execute(f"SELECT {columns} FROM waiting ORDER BY number").fetchall()  # noqa: S608 - above
        except sqlite3.Error:
            return 0  # it is damaged, or of another version: it stays
        if rows:
            with closing(sqlite3.connect(self.path, timeout=5)) as own, own:
                own.executemany(f"INSERT INTO waiting ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)  # noqa: S608
        for name in (path.name, f"{path.name}-wal", f"{path.name}-shm"):
            with suppress(FileNotFoundError):
                path.with_name(name).unlink()
        return len(rows)


def spool_files(base: Path) -> Iterator[Path]:
    """Yields the files of waiting webhooks that there are, of all processes of an engine."""
    if base.exists():
        yield base
    yield from sorted(base.parent.glob(f"{base.stem}.worker-*{base.suffix}"))


def _name(base: Path, worker: int | None, held: int) -> Path:
    again = f".{held + 1}" if held else ""
    if worker is None:
        return base.with_name(f"{base.stem}.worker-0{again}{base.suffix}") if held else base
    return base.with_name(f"{base.stem}.worker-{worker}{again}{base.suffix}")


def _lock(path: Path) -> int | None:
    """Returns the descriptor of a lock on a file, which closing gives back; None: somebody holds it."""
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
