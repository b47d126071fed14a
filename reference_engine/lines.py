"""Writes the log's lines in a thread of its own, so that no call waits for whoever reads the log."""

from __future__ import annotations

import os
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

MOST = 10_000
"""How many lines may wait for a reader that has stopped reading; further ones are lost, and counted."""

LAST_S = 1.0
"""How long such a reader is waited for at the end, in seconds."""


class LineWriter:
    """Lines on their way to a file descriptor; to be entered before the first line, and left after the last.

    Attributes:
        lost: how many lines could not be written since somebody set it to 0.

    """

    def __init__(self, descriptor: int) -> None:
        self.lost = 0
        self._descriptor = descriptor
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._thread = Thread(target=self._write_all, name="log", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lines.put(None)
        self._thread.join(LAST_S)

    def write(self, line: str) -> None:
        """Takes a line without its end; never waits and never raises."""
        if self._lines.qsize() < MOST:
            self._lines.put(line)
        else:
            self.lost += 1

    # structlog calls a method named after the record's level
    debug = info = warning = error = critical = write

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            rest = memoryview(f"{line}\n".encode(errors="backslashreplace"))
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:  # nobody will ever read it, or the disk is full
                self.lost += 1
