"""Writes log lines from a thread, so that no call waits for the reader or for a full disk.

Each line is written whole or not at all. If a disk is full in the middle of one, its rest is written when there is
room again; if that never comes, the beginning is taken back. Meanwhile lines wait, as many as there is memory for.
"""

from __future__ import annotations

import errno
import os
from math import inf
from queue import SimpleQueue
from stat import S_ISREG
from threading import Event, Lock, Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, Literal, Self, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

MAX_LINES = 10_000
"""Lines that may wait for a reader that has stopped reading; further ones are lost and counted."""

MAX_CHARACTERS = 16 * 1024 * 1024
"""Characters that the waiting lines may have together."""

FLUSH_S = 1.0
"""How long the last lines are waited for at the end, in s."""

RETRY_S = 0.25
"""How long to wait before a full disk, or a full pipe, is tried again, in s."""

_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM}
_REOPEN: Final = "reopen"
_Item: TypeAlias = "str | tuple[Literal['reopen']] | None"


class LineWriter:
    """Lines on their way to a file descriptor; to be entered before the first line, and left after the last.

    Args:
        descriptor: where they go.
        reopen: opens it anew, for `reopen`; runs in the thread.

    Attributes:
        lost: how many lines could not be written since somebody set it to 0.
        reason: why one was lost, or waits; empty: none does.
        descriptor: where lines go now.

    """

    def __init__(self, descriptor: int, reopen: Callable[[], int] | None = None) -> None:
        self.lost = 0
        self.reason = ""
        self.descriptor = descriptor
        self._open = reopen
        self._torn = False
        self._waiting = 0
        self._counting = Lock()
        self._leaving = Event()
        self._until = inf
        self._lines: SimpleQueue[_Item] = SimpleQueue()
        self._thread = Thread(target=self._write_all, name="log", daemon=True)

    @property
    def waiting(self) -> int:
        """How many lines wait."""
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
        """Takes a line without its end; never waits and never raises."""
        if self._lines.qsize() < MAX_LINES and self._waiting + len(line) <= MAX_CHARACTERS:
            self._count(len(line))
            self._lines.put(line)
        else:
            self.lost += 1

    # structlog calls a method named after the record's level
    debug = info = warning = error = critical = write

    def reopen(self) -> None:
        """Goes on in a file that is opened anew, after the lines that are on their way; never waits."""
        if self._open is not None:
            self._lines.put((_REOPEN,))

    def _count(self, characters: int) -> None:
        with self._counting:  # records come from the loop, and from libraries' threads
            self._waiting += characters

    def _write_all(self) -> None:
        while (item := self._lines.get()) is not None:
            if isinstance(item, str):
                self._write(f"{item}\n".encode(errors="backslashreplace"))
                self._count(-len(item))
            else:
                self._open_anew()

    def _write(self, line: bytes) -> None:
        if self._torn:
            line = b"\n" + line  # whoever reads it finds the torn one alone
        rest = memoryview(line)
        while rest:
            try:
                rest = rest[os.write(self.descriptor, rest) :]
            except OSError as error:
                self.reason = error.strerror or str(error)
                if error.errno in _PASSING and monotonic() < self._until:
                    # At the end there is less time, and no event to wait for.
                    if self._until == inf:
                        self._leaving.wait(RETRY_S)
                    else:
                        sleep(RETRY_S / 5)
                    continue
                self.lost += 1  # nobody will ever read it, or there is no more time
                self._take_back(len(line) - len(rest))
                return
        self._torn, self.reason = False, ""

    def _take_back(self, written: int) -> None:
        """Removes the beginning of a line from the end of a file."""
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
            raise AssertionError("only asked for what can be reopened")
        try:
            descriptor = self._open()
        except OSError as error:
            self.reason = f"can't be reopened: {error.strerror}"
            return
        os.close(self.descriptor)
        self.descriptor, self._torn = descriptor, False
