"""Writes lines to a file descriptor from a thread, so that no call waits for a slow reader or a full disk.

Theory of operation
===================

The log and the file of records are written so. `write` puts a line into a queue and returns; it never waits and never
raises, since it is called on the event loop. A thread takes lines out and writes them with `os.write`.

*Limits.* The queue holds at most `MAX_LINES` lines and `MAX_CHARACTERS` characters. If the reader of a pipe stops, or a
disk stays full, further lines are dropped and counted in `lost`; the log puts that number into its next record.

*Whole lines.* `os.write` may write part of a line. The rest is written next; nothing else comes in between, because
only this thread writes. If the rest can't be written:

- Errors that pass (`_PASSING`: a full disk, a full pipe that is non-blocking) are retried every `RETRY_S`, for as long
  as it takes. `reason` says why lines wait.
- Other errors, and passing ones at the exit, lose the line. If its beginning is at the end of a regular file, the file
  is truncated to where the line began. Else the next line begins with a line end, so that the reader finds the torn
  line by itself (`_torn`).

*Several processes.* Workers of one engine write to one stderr, and append to one file. Pipes keep writes of up to 4 KiB
whole, and nothing keeps a line whole that is written in two parts, or truncated after an error. So each write holds a
lock of POSIX (`fcntl.lockf`) on `lock`: such locks are a process's, also on a descriptor that it has inherited, and go
with it however it ends.

*Rotation.* `reopen` puts a request into the same queue. So lines that were written before it go to the old file and
later ones to the new file. If the new file can't be opened, the old one stays in use.

*Exit.* Leaving the block queues an end, wakes the thread if it waits for a retry, and gives it `FLUSH_S` to write what
is queued. The thread is a daemon: one that hangs in `os.write`, on a pipe that nobody reads, does not keep the process.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager, suppress
from math import inf
from queue import SimpleQueue
from stat import S_ISREG
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

MAX_LINES = 10_000
"""The most lines in the queue; further ones are lost and counted."""

MAX_CHARACTERS = 16 * 1024 * 1024
"""The most characters of all lines in the queue."""

FLUSH_S = 1.0
"""The time that the thread has to write the queued lines at the exit, in s."""

RETRY_S = 0.25
"""The pause before a write to a full disk or a full pipe is tried again, in s."""

_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM}
_REOPEN: Final = "reopen"
_Item: TypeAlias = "str | tuple[Literal['reopen']] | None"


class LineWriter:
    """A writer of lines; a context manager whose thread runs while the block does.

    Args:
        descriptor: the file descriptor to write to.
        reopen: opens the file again and returns its descriptor, for `reopen`; called in the thread.
        lock: the descriptor of a regular file that is locked while a line is written, since other processes write to
            the same place; `own`: the descriptor that is written to. None: nobody else writes.

    Attributes:
        lost: the number of lost lines; a reader may reset it to 0.
        reason: why the last line was lost or waits; empty if neither.
        descriptor: the file descriptor that is written to now.

    """

    def __init__(
        self,
        descriptor: int,
        reopen: Callable[[], int] | None = None,
        lock: int | Literal["own"] | None = None,
    ) -> None:
        self.lost = 0
        self.reason = ""
        self.descriptor = descriptor
        self._open, self._lock = reopen, lock
        self._torn = False
        self._waiting = 0
        self._counting = Lock()
        self._leaving = Event()
        self._until = inf
        self._lines: SimpleQueue[_Item] = SimpleQueue()
        self._thread = Thread(target=self._write_all, name="log", daemon=True)

    @property
    def waiting(self) -> int:
        """The number of lines in the queue."""
        return self._lines.qsize()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._until = monotonic() + FLUSH_S - RETRY_S
        self._leaving.set()
        self._lines.put(None)
        self._thread.join(FLUSH_S)

    def write(self, line: str) -> None:
        """Queues a line, given without its line end; never waits and never raises."""
        if self._lines.qsize() < MAX_LINES and self._waiting + len(line) <= MAX_CHARACTERS:
            self._count(len(line))
            self._lines.put(line)
        else:
            self.lost += 1

    # structlog calls a method named after the record's level
    debug = info = warning = error = critical = write

    def reopen(self) -> None:
        """Has the file opened again after the lines that are queued; never waits."""
        if self._open is not None:
            self._lines.put((_REOPEN,))

    def _count(self, characters: int) -> None:
        with self._counting:  # the event loop and threads of libraries write
            self._waiting += characters

    def _write_all(self) -> None:
        while (item := self._lines.get()) is not None:
            if isinstance(item, str):
                with self._locked():
                    self._write(f"{item}\n".encode(errors="backslashreplace"))
                self._count(-len(item))
            else:
                self._open_anew()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keeps other processes from writing meanwhile; if the lock can't be had, the line is written without it."""
        descriptor = self.descriptor if self._lock == "own" else self._lock
        if descriptor is None:
            yield
            return
        with suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            with suppress(OSError):
                fcntl.lockf(descriptor, fcntl.LOCK_UN)

    def _write(self, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line  # so that the torn line stands alone
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except OSError as error:
                self.reason = error.strerror or str(error)
                if error.errno in _PASSING and monotonic() < self._until:
                    # At the exit `_leaving` is set already, and time is short.
                    if self._until == inf:
                        self._leaving.wait(RETRY_S)
                    else:
                        sleep(RETRY_S / 5)
                    continue
                self.lost += 1  # the error does not pass, or time is up
                self._remove_beginning(len(line) - len(rest))
                return
        self._torn, self.reason = False, ""

    def _remove_beginning(self, written: int) -> None:
        """Truncates a regular file by the written beginning of a line; else notes that the line is torn."""
        if not written:
            return
        self._torn = True
        try:
            about = os.fstat(self.descriptor)
            if S_ISREG(about.st_mode) and os.lseek(self.descriptor, 0, os.SEEK_CUR) == about.st_size:
                os.ftruncate(self.descriptor, about.st_size - written)
                self._torn = False
        except OSError:
            pass

    def _open_anew(self) -> None:
        if self._open is None:
            raise AssertionError("`reopen` queues this only if there is a function to open the file")
        try:
            descriptor = self._open()
        except OSError as error:
            self.reason = f"can't be reopened: {error.strerror}"
            return
        os.close(self.descriptor)
        self.descriptor, self._torn = descriptor, False
