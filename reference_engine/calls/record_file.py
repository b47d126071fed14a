"""Calls' records: a JSON object a line, in a file that other programs read and rotate."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import trio

from reference_engine.errors import EngineError, hint_for_path
from reference_engine.log.line_writer import MOST, LineWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from reference_engine.log.log import Log
    from reference_engine.settings.settings import Readers
    from voicepipe import CallRecord

    Keep: TypeAlias = "Callable[[CallRecord], None]"

TELL_S = 60.0
"""The least time between two reports that records are lost, or wait for a full disk, in s."""


class RecordFile:
    """Where records of calls are written; nowhere without a path.

    Attributes:
        lost: how many could not be written.

    """

    def __init__(self, path: Path | None, lines: LineWriter | None) -> None:
        self._path, self._lines = path, lines
        self._reported = 0

    @property
    def lost(self) -> int:
        """How many could not be written."""
        return self._lines.lost if self._lines is not None else 0

    def keep(self, record: CallRecord) -> None:
        """Takes a record; never waits."""
        if self._lines is not None:
            self._lines.write(json.dumps(record.as_data(), ensure_ascii=False))

    def reopen(self) -> None:
        """Goes on in a new file, if the old one was moved away; never waits."""
        if self._lines is not None:
            self._lines.reopen()

    async def report_losses(self, log: Log) -> None:
        """Logs once a minute what was lost and what waits for the disk, until it is cancelled."""
        while True:
            await trio.sleep(TELL_S)
            self.report(log)

    def report(self, log: Log) -> None:
        """Logs what was lost since the last report, and what waits; nothing if all is well."""
        if self._lines is None or (self._lines.lost == self._reported and not self._lines.reason):
            return
        lost, self._reported = self._lines.lost - self._reported, self._lines.lost
        waiting, reason = self._lines.waiting, self._lines.reason or f"more than {MOST} waited"
        log.error("records.failed", path=str(self._path), lost=lost, waiting=waiting, reason=reason)


@contextmanager
def open_record_file(path: Path | None, readable_by: Readers = "owner") -> Iterator[RecordFile]:
    """What keeps calls' records; without a path nothing is kept.

    Each record is written as a whole, at the end of the file. What a crash, or a disk without room, has left of one
    there is removed first. A new file is readable by nobody else, and so is its directory if it is made; those that
    are there keep their modes.

    Raises:
        EngineError: the file can't be written.

    """
    if path is None:
        yield RecordFile(None, None)
        return
    open_file = partial(_opened, path, readable_by)
    try:
        lines = LineWriter(open_file(), open_file)
    except OSError as error:
        hint = hint_for_path(error, "`records`")
        raise EngineError(f"records: {path} can't be written: {error.strerror}; {hint}") from None
    try:
        with lines:
            yield RecordFile(path, lines)
    finally:
        os.close(lines.descriptor)


def _opened(path: Path, readable_by: Readers) -> int:
    group = readable_by == "group"
    for directory in (*reversed(path.parent.parents), path.parent):
        directory.mkdir(0o750 if group else 0o700, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o640 if group else 0o600)
    try:
        _remove_torn_record(path, descriptor)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _remove_torn_record(path: Path, descriptor: int) -> None:
    """Ends the file with a whole line: the last one goes if it is no record, and gets its end if it is."""
    if not path.is_file():
        return
    with path.open("rb") as file:
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
