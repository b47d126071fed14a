"""Stores calls in a database while they go on, from threads of its own, so that no call ever waits for it.

Theory of operation
===================

*Threads.* `observe` and `write` put something into a deque and return. The thread `records` takes it out every
`GATHER_S`, makes rows of it, and decides where they go. The thread `database` does one job at a time for it: connect,
write a list of rows in a transaction, raise the beat, look for lost calls. Only that thread ever waits for a database,
and the first one goes on meanwhile.

*A new call* is stored without being gathered with others, unless many events come: an engine that is killed loses the
calls that are in its memory only.

*Priority.* Python runs one thread at a time, so what is taken in and what is stored compete. Taking in goes first: at
thousands of calls a second rows go to the spool, which costs little, and into the database when fewer come.

*Where rows go.* Into the database, in lists of up to `BATCH`, as long as that is quick. If the database is away, hangs
for longer than `HANG_S`, or has fallen `MAX_BACKLOG` rows behind, all rows that wait go to the spool on disk, those of
the list that is being written too: a row may be written twice. As long as the spool has something, it is stored first,
in its order. A database that is away is tried again every `RETRY_S`.

*Bounds.* In memory there are at most `MAX_GIVEN` events and `MAX_BACKLOG` rows besides one list. If there is no room on
the disk for the spool either, parts of calls (turns, tools, ...) are given up first and rows of calls last; each is
counted in `lost`, and the log says so once a minute.

*A call's life.* It is `up` from its first event, and `ended` with its last. If its engine is killed, it is found to be
`lost` by the next start on that machine, or by another engine that shares the database (`runs.py`). The spool of a
killed engine is stored before that, so what it knew of a call's end counts.

*The end.* Leaving the block gives the threads `CLOSE_S` to store what waits; what then remains goes to the spool.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import islice
from threading import Event, Thread
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias

from attrs import evolve

from reference_engine.records.database_thread import DatabaseThread, Job
from reference_engine.records.event_rows import RECORDED, EventRows
from reference_engine.records.row_changes import RowChange, storable_row
from reference_engine.records.runs import BEAT_S, EngineRun
from reference_engine.records.spool import Spool
from reference_engine.records.store_reports import StoreReports
from voicepipe import CallBegan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from reference_engine.log.log import Log
    from reference_engine.log.masked_values import Mask
    from reference_engine.records.lost_calls import LostCall
    from reference_engine.records.writing import RowWriter
    from reference_engine.settings.records_place import RecordsPlace
    from voicepipe import CallEvent

GATHER_S = 0.1
"""The time for which rows are gathered before they are written together, in s."""

BATCH = 2_000
"""The most rows of one transaction."""

FEW = 100
"""If more events than these are taken out at once, new calls are gathered too."""

TAKEN = 5_000
"""The most events that are made into rows at once; while more wait, nothing new is begun for the database."""

MAX_BACKLOG = 20_000
"""The most rows in memory; more go to the spool."""

MAX_GIVEN = 100_000
"""The most events in memory; the thread takes them out every `GATHER_S`, so more come only if it hangs with a disk."""

HANG_S = 2.0
"""The time after which rows do not wait for the database any longer, in s."""

RETRY_S = 1.0
"""The pause before a database that is away is tried again, in s."""

CLOSE_S = 5.0
"""The time for what waits when the engine ends, in s."""

_Given: TypeAlias = "tuple[CallEvent, float, Callable[[], Mask | None] | None]"

_RECORDED: Final = frozenset(RECORDED)
_PARTS: Final = frozenset({"turns", "tools", "failures", "steering", "transfers", "usage"})


class RecordsRefusedError(Exception):
    """The database is there, but its schema is not fit: nothing can be stored in it until somebody changes that."""


class RecordStore:
    """The store of calls' records in a database; a context manager whose threads run while the block does.

    Args:
        place: the database.
        spool: the directory of rows that wait while the database is away.
        run: this run of the engine.
        log: gets `records.*`.
        software: voicepipe's version.
        transport_of: returns the type of a listener, by its name.
        group: whether the group may read what is created.

    Attributes:
        run: this run of the engine.
        lost: the number of rows that could not be kept.
        stored: the number of rows that were written.
        is_away: whether the database is away.

    """

    def __init__(
        self,
        place: RecordsPlace,
        spool: Path,
        run: EngineRun,
        *,
        log: Log,
        software: str,
        transport_of: Callable[[str], str] = lambda _listener: "",
        group: bool = False,
    ) -> None:
        self.place, self.run, self._software = place, run, software
        self._group = group
        self.on_lost: Callable[[Sequence[LostCall]], None] = lambda _calls: None
        self.lost = self.stored = 0
        self.is_away = False
        self._spool = Spool(spool, run.run, group=group)
        self._reports = StoreReports(log, place, spool)
        self._rows = EventRows(run.run, transport_of)
        self._given: deque[_Given | RowChange] = deque()
        self._backlog: deque[RowChange] = deque()
        self._wake, self._hurry, self._closing, self._ready = Event(), Event(), Event(), Event()
        self._taken = 0
        self._awake = False
        self._refusal: Exception | None = None
        self._job: Job | None = None
        self._database = DatabaseThread(self._open_writer, self._wake.set)
        self._is_connected = self._has_looked = self._is_over = False
        self._retry_at = self._beat_at = self._away_since = 0.0
        self._spool_reason = ""
        self._deadline = 0.0
        self._thread = Thread(target=self._work, name="records", daemon=True)

    def __enter__(self) -> Self:
        self._database.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadline = monotonic() + CLOSE_S
        self._closing.set()
        self._go_on()
        self._thread.join(CLOSE_S + HANG_S)

    @property
    def waiting(self) -> int:
        """The number of events and rows in memory that are not stored yet."""
        job = self._job
        return len(self._given) + len(self._backlog) + (len(job.rows) if job is not None else 0)

    @property
    def spooled(self) -> int:
        """The number of rows in the spool."""
        return self._spool.waiting

    @property
    def by_place(self) -> dict[str, int]:
        """The number of rows that wait, in `memory` and in the `spool`."""
        return {"memory": self.waiting, "spool": self.spooled}

    def observe(self, event: CallEvent, mask_of: Callable[[], Mask | None] | None = None) -> None:
        """Stores an event of a call; never waits and never raises.

        Args:
            event: the event.
            mask_of: returns what hides values in its rows, called in the thread `records`; None: nothing has to.

        """
        if type(event) in _RECORDED:
            begins = isinstance(event, CallBegan)
            self._give((event, time() if begins else 0.0, mask_of))
            if begins:
                self._hurry.set()

    def write(self, table: str, row: Mapping[str, Any]) -> None:
        """Adds a row, or replaces the one with its key; never waits."""
        self._give(RowChange("put", table, storable_row(row)))

    def add_once(self, table: str, row: Mapping[str, Any]) -> None:
        """Adds a row, unless there is one with its key; never waits."""
        self._give(RowChange("begin", table, storable_row(row)))

    def change(self, table: str, row: Mapping[str, Any]) -> None:
        """Sets columns of the row with a key, which is among them; no-op if there is none. Never waits."""
        self._give(RowChange("change", table, storable_row(row)))

    def wait_ready(self) -> None:
        """Waits until the database was opened, or is found to be away; for another thread than the event loop.

        Raises:
            RecordsRefusedError: the database is there, and its schema is not fit; nothing will be stored.

        """
        self._ready.wait()
        if self._refusal is not None:
            raise RecordsRefusedError(str(self._refusal)) from self._refusal

    def wait_stored(self, timeout_s: float) -> bool:
        """Waits until nothing waits in memory or in the spool; returns False if that takes too long. For tests."""
        until = monotonic() + timeout_s
        while self.waiting or self.spooled:
            if monotonic() > until:
                return False
            self._closing.wait(0.01)
        return True

    def _give(self, item: _Given | RowChange) -> None:
        if len(self._given) >= MAX_GIVEN:
            self.lost += 1
            return
        self._given.append(item)
        if not self._awake:
            self._awake = True
            self._wake.set()

    def _go_on(self) -> None:
        self._hurry.set()
        self._wake.set()

    # The thread `records`

    def _work(self) -> None:
        try:
            self._spool.take_over()
        except OSError as error:
            self._reports.spool_failed(self._spool.directory, str(error))
        for path in self._spool.foreign:
            self._reports.spool_failed(path, "it is of a later version of voicepipe, which has to store it")
        self._start(Job("connect", lambda writer: writer.connect()))
        while not self._is_over:
            try:
                self._step()
            except Exception as error:  # noqa: BLE001 - the boundary of this thread
                self._reports.failed(error)
                self._closing.wait(RETRY_S)
                self._is_over = self._closing.is_set() and monotonic() > self._deadline
        self._ready.set()
        self._database.end()
        self._spool.close()

    def _step(self) -> None:
        self._wake.wait(self._pause())
        if len(self._given) < TAKEN and len(self._backlog) < BATCH and not self._database.done:
            (self._hurry if self._taken <= FEW else self._closing).wait(GATHER_S)
        if not self._closing.is_set():
            self._hurry.clear()
        self._wake.clear()
        self._awake = False
        self._take_given()
        while self._database.done:
            self._finish(self._database.done.popleft())
        self._choose_job()
        self._spill()
        self._report_losses()
        if self._closing.is_set():
            self._close()

    def _pause(self) -> float:
        """Returns how long nothing has to be done, unless something comes, in s."""
        if self._given:
            return 0.0
        if self._closing.is_set():
            return GATHER_S
        if self._job is not None or self._refusal is not None:
            return HANG_S
        return max(0.0, (self._beat_at if self._is_connected else self._retry_at) - monotonic())

    def _take_given(self) -> None:
        self._taken = min(len(self._given), TAKEN)
        for _ in range(self._taken):
            item = self._given.popleft()
            if isinstance(item, RowChange):
                self._backlog.append(item)
                continue
            event, at, mask_of = item
            try:
                change = self._rows.add(event, at)
                if change is not None and mask_of is not None and (mask := mask_of()) is not None:
                    change = evolve(change, row=mask.row(change.row))
            except Exception as error:  # noqa: BLE001 - the boundary of an event
                self.lost += 1
                self._reports.failed(error)
            else:
                if change is not None:
                    self._backlog.append(change)

    def _choose_job(self) -> None:
        now = monotonic()
        if self._job is not None or self._refusal is not None or len(self._given) > TAKEN:
            return
        if not self._is_connected:
            if now >= self._retry_at and not self._closing.is_set():
                up = self._rows.up
                self._start(Job("connect", lambda writer: writer.connect(up)))
        elif now >= self._beat_at:
            self._beat_at = now + BEAT_S
            look = self._has_looked
            self._start(Job("beat", lambda writer: _beat(writer, look=look)))
        elif (chunk := self._spool.next(BATCH)) is not None:
            self._start(Job("replay", lambda writer: writer.write(chunk.changes), chunk=chunk))
        elif not self._has_looked:
            self._has_looked = True
            self._start(Job("beat", lambda writer: _beat(writer, look=True)))
        elif self._backlog:
            rows = [self._backlog.popleft() for _ in range(min(BATCH, len(self._backlog)))]
            self._start(Job("write", lambda writer: writer.write(rows), rows=rows))

    def _start(self, job: Job) -> None:
        self._job = job
        self._database.give(job)

    def _finish(self, job: Job) -> None:
        from reference_engine.records.schema import SchemaError  # noqa: PLC0415 - loads SQLAlchemy
        from reference_engine.records.writing import DatabaseAwayError  # noqa: PLC0415

        self._job = None
        error = job.error
        if error is None:
            self._succeed(job)
        elif isinstance(error, SchemaError):
            self._refuse(error)
        else:
            if not job.is_spilled:
                self._backlog.extendleft(reversed(job.rows))
            if not isinstance(error, DatabaseAwayError):
                self._reports.failed(error)
            self._lose_database(str(error), getattr(error, "hint", ""))
        self._ready.set()

    def _succeed(self, job: Job) -> None:
        written = len(job.rows)
        if job.what == "connect":
            self._is_connected = True
        if job.chunk is not None:
            self._spool.stored(job.chunk)
            written = len(job.chunk.changes)
        if job.chunk is not None or job.rows:
            self.lost += len(job.result)
            self._reports.rows_refused(job.result)
            self.stored += written - len(job.result)
        if job.what == "beat" and job.result:
            self._reports.calls_lost(job.result)
            self.on_lost(job.result)
        if self.is_away and not self._spool.waiting:
            self.is_away = False
            self._reports.database_back(monotonic() - self._away_since)

    def _refuse(self, error: Exception) -> None:
        self._is_connected = False
        self._refusal = error
        self._reports.database_refused(error)

    def _lose_database(self, reason: str, hint: str) -> None:
        self._is_connected = False
        self._retry_at = monotonic() + RETRY_S
        if self.is_away:
            return
        if not self._ready.is_set():
            try:
                self._spool.open()
            except OSError as error:
                self._refuse(OSError(f"{reason}, and rows can't wait in {self._spool.directory}: {error.strerror}"))
                return
        self.is_away, self._away_since = True, monotonic()
        self._reports.database_away(reason, hint, self.waiting + self.spooled)

    def _spill(self) -> None:
        """Moves the rows that wait to the spool, if they should not wait in memory."""
        job = self._job
        hangs = job is not None and monotonic() - job.began > HANG_S
        is_away = not self._is_connected and (job is None or job.what != "connect" or self.is_away or hangs)
        if not (is_away or hangs or len(self._backlog) > MAX_BACKLOG):
            return
        written = job if job is not None and job.rows and not job.is_spilled else None
        if written is not None:
            self._backlog.extendleft(reversed(written.rows))
            written.is_spilled = True
        try:
            if self._backlog and self._spool.is_own_empty:
                self._spool.append([RowChange("begin", "engine_runs", self.run.row(self._software))])
            while self._backlog:
                some = list(islice(self._backlog, BATCH))
                self._spool.append(some)
                for _ in some:
                    self._backlog.popleft()
            self._spool_reason = ""
        except OSError as error:
            self._spool_reason = error.strerror or str(error)
            self._give_up_some()

    def _give_up_some(self) -> None:
        if len(self._backlog) <= MAX_BACKLOG:
            return
        kept = [change for change in self._backlog if change.table not in _PARTS]
        self.lost += len(self._backlog) - min(len(kept), MAX_BACKLOG)
        self._backlog = deque(kept[:MAX_BACKLOG])

    def _report_losses(self, *, is_last: bool = False) -> None:
        lost = self.lost + self._spool.damaged
        self._reports.losses(lost, self.waiting, self._spool_reason, is_last=is_last)

    def _close(self) -> None:
        """Ends the thread if nothing waits any more, or the time is up."""
        job, is_late = self._job, monotonic() > self._deadline
        if job is not None and job.what != "connect" and not is_late:
            return
        waits = self._given or self._backlog or self._spool.waiting
        if waits and self._is_connected and not is_late:
            return
        if self._is_connected and job is None and not self._backlog and not is_late:
            self._end_run()
        else:
            self._is_connected = False
            if self._backlog or not self._spool.is_own_empty:
                row = {"run": self.run.run, "ended": datetime.now(UTC)}
                self._backlog.append(RowChange("change", "engine_runs", row))
            self._spill()
            self.lost += len(self._backlog)
        self._report_losses(is_last=True)
        self._is_over = True

    def _end_run(self) -> None:
        self._start(Job("end", lambda writer: writer.end_run()))
        while not self._database.done and monotonic() < self._deadline:
            self._wake.wait(GATHER_S)
            self._wake.clear()

    def _open_writer(self) -> RowWriter:
        from reference_engine.records.completing import complete_calls  # noqa: PLC0415 - loads SQLAlchemy
        from reference_engine.records.writing import RowWriter  # noqa: PLC0415 - as above

        return RowWriter(self.place, self.run, self._software, group=self._group, complete=complete_calls)


def _beat(writer: RowWriter, *, look: bool) -> list[LostCall]:
    writer.beat()
    return writer.find_lost() if look else []
