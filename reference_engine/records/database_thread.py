"""The thread that waits for a database, so that nothing else does: it does one job at a time, and tells when."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, Any

from attrs import define, field

from reference_engine.records.row_changes import RowChange
from reference_engine.records.spool import Chunk

if TYPE_CHECKING:
    from reference_engine.records.writing import RowWriter


@define(eq=False)
class Job:
    """One thing that the database's thread does."""

    what: str
    """`connect`, `write`, `replay`, `beat`, `end`."""
    run: Callable[[Any], Any]
    """What it does with the `RowWriter`."""
    rows: Sequence[RowChange] = ()
    """The rows of the backlog that it writes."""
    chunk: Chunk | None = None
    """The rows of the spool that it writes."""
    is_spilled: bool = False
    """Whether `rows` are in the spool, too, because it took so long."""
    began: float = field(factory=monotonic)
    """The time on the monotonic clock."""
    result: Any = None
    """What it returned."""
    error: Exception | None = None
    """What it raised."""


class DatabaseThread:
    """A thread with the connection to the database.

    Args:
        open_writer: makes the writer, in the thread.
        on_done: called in the thread after each job.

    Attributes:
        done: the jobs that are done, the oldest first.

    """

    def __init__(self, open_writer: Callable[[], RowWriter], on_done: Callable[[], None]) -> None:
        self.done: deque[Job] = deque()
        self._open_writer, self._on_done = open_writer, on_done
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        # A daemon: one that hangs in a driver does not keep the process.
        self._thread = Thread(target=self._work, name="database", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def give(self, job: Job) -> None:
        """Has a job done after those that were given before."""
        self._jobs.put(job)

    def end(self) -> None:
        """Has the thread end after its jobs; does not wait for it."""
        self._jobs.put(None)

    def _work(self) -> None:
        writer = self._open_writer()
        while (job := self._jobs.get()) is not None:
            try:
                job.result = job.run(writer)
            except Exception as error:  # noqa: BLE001 - whoever gave it deals with it
                job.error = error
            self.done.append(job)
            self._on_done()
        writer.close()
