"""Writes records of calls to a file, one JSON object per line.

Other programs read and rotate the file. Nothing is deleted here: retention is theirs too, as
docs/how-to/record-calls.md says under "Retention".
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import trio

from reference_engine.errors import EngineError, hint_for_path
from reference_engine.log.line_writer import MAX_LINES, LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from reference_engine.log.log import Log
    from reference_engine.settings.records_place import RecordsPlace
    from reference_engine.settings.settings import Readers
    from voicepipe import CallRecord

    KeepRecord: TypeAlias = "Callable[[CallRecord], None]"

REPORT_EVERY_S = 60.0
"""Interval of `records.failed` while records are lost or wait for a full disk, in s."""


class RecordFile:
    """The file of records; without a path, records are dropped."""

    def __init__(self, path: Path | None, lines: LineWriter | None) -> None:
        self._path, self._lines = path, lines
        self._reported = 0

    @property
    def lost(self) -> int:
        """The number of records that could not be written."""
        return self._lines.lost if self._lines is not None else 0

    def keep(self, record: CallRecord) -> None:
        """Queues a record for writing; never waits."""
        if self._lines is not None:
            self._lines.write(json.dumps(record.as_data(), ensure_ascii=False))

    def reopen(self) -> None:
        """Opens the path again, after the records that are queued, so that a rotated file is replaced; never waits."""
        if self._lines is not None:
            self._lines.reopen()

    async def report_losses(self, log: Log) -> None:
        """Calls `report` every minute, until it is cancelled."""
        while True:
            await trio.sleep(REPORT_EVERY_S)
            self.report(log)

    def report(self, log: Log) -> None:
        """Logs `records.failed` with the records that were lost since the last report and those that wait, if any."""
        if self._lines is None or (self._lines.lost == self._reported and not self._lines.reason):
            return
        lost, self._reported = self._lines.lost - self._reported, self._lines.lost
        waiting = self._lines.waiting
        reason = self._lines.reason or f"more than {MAX_LINES:,} records waited for the disk"
        log.error("records.failed", path=str(self._path), lost=lost, waiting=waiting, reason=reason)


@contextmanager
def open_record_file(
    place: RecordsPlace | Path | None, readable_by: Readers = "owner", *, shared: bool = False
) -> Iterator[RecordFile]:
    """Opens the file of records and closes it on exit, after the queued records were written.

    Each record is appended as a whole. An incomplete record at the end of the file, left by a crash or a full disk, is
    removed first. A file or directory that exists keeps its mode.

    Args:
        place: the file's path; None, or a place that is no file: records are dropped.
        readable_by: who may read a file, and its directory, that are created.
        shared: whether other workers append to the same file: each writes whole lines.

    Raises:
        EngineError: the file can't be opened for writing.

    """
    path = place if place is None or isinstance(place, Path) else place.path if place.kind == "file" else None
    if path is None:
        yield RecordFile(None, None)
        return
    open_file = partial(_open_for_append, path, readable_by, shared=shared)
    try:
        lines = LineWriter(open_file(), open_file, lock="own" if shared else None)
    except OSError as error:
        hint = hint_for_path(error, "`records`")
        raise EngineError(f"records: {path} can't be written: {error.strerror}; {hint}") from None
    try:
        with lines:
            yield RecordFile(path, lines)
    finally:
        os.close(lines.descriptor)


def _open_for_append(path: Path, readable_by: Readers, *, shared: bool) -> int:
    group = readable_by == "group"
    for directory in (*reversed(path.parent.parents), path.parent):
        directory.mkdir(0o750 if group else 0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o640 if group else 0o600)
    try:
        if path.is_file():
            with path.open("rb") as file:  # to close it drops the lock too: that is POSIX
                if shared:
                    with suppress(OSError):  # a file system without locks
                        fcntl.lockf(descriptor, fcntl.LOCK_EX)
                _remove_torn_record(file, descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_torn_record(file: BinaryIO, descriptor: int) -> None:
    """Makes the file end with a whole line: removes an incomplete last record, or adds the missing line end."""
    size = file.seek(0, os.SEEK_END)
    tail = b""
    while b"\n" not in tail and len(tail) < size:
        start = max(0, size - len(tail) - _PIECE)
        file.seek(start)
        tail = file.read(size - len(tail) - start) + tail
    last = tail.rpartition(b"\n")[2]
    if not last:
        return
    try:
        json.loads(last)
    except ValueError:
        os.ftruncate(descriptor, size - len(last))
    else:
        os.write(descriptor, b"\n")


_PIECE = 65_536
