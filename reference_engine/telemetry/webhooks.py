"""Webhooks: tells the targets of `notify` what happens, from threads, so that no call waits for them.

    observers --queue--> one thread: JSON, file --> a thread for each target: attempts

Observers append to a queue and return. The first thread makes the bodies and writes them to the file, from which the
targets' threads take them: a target that is slow or away delays neither calls nor other targets, and what was not
delivered when the process ends is delivered by the next one.

If the disk is full, up to `MOST_QUEUED` events wait in memory for it; further ones are dropped and counted.
"""

from __future__ import annotations

import random
import sqlite3
from collections import deque
from queue import Empty, SimpleQueue
from threading import Event as Wake
from threading import Thread
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Self, TypeAlias
from uuid import uuid4

from attrs import define, field, frozen

from reference_engine.errors import EngineError
from reference_engine.settings.notify_settings import NotifyTarget
from reference_engine.telemetry.spool_files import SpoolClaim
from reference_engine.telemetry.webhook_delivery import TargetCounts, WebhookDelivery
from reference_engine.telemetry.webhook_messages import body_of
from reference_engine.telemetry.webhook_sending import WebhookSender
from reference_engine.telemetry.webhook_spool import NOBODY, About, WaitingWebhook, WebhookSpool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from reference_engine.log.log import Log

MOST_QUEUED = 10_000
"""The most events in memory."""

RETRY_S = 1.0
"""The pause before a file that can't be written is tried again, in s."""

LONGEST_WAIT_S = 60.0
"""How often a target's thread looks for webhooks that are too old, in s, where nothing else wakes it."""

Make: TypeAlias = "Callable[[NotifyTarget], dict[str, Any]]"
"""Makes the data of an event for a target; called in a thread."""


@frozen
class _Happened:
    """An event that is to be told."""

    type: str
    make: Make
    about: About = NOBODY
    at: float = field(factory=time)
    id: str = field(factory=lambda: f"msg_{uuid4().hex}")


@define(eq=False)
class _Worker:
    """A target and its thread."""

    target: NotifyTarget
    delivery: WebhookDelivery
    wake: Wake = field(factory=Wake)
    is_leaving: bool = False
    thread: Thread | None = None


class Webhooks:
    """The webhooks of an engine; a context manager, whose threads run while the block does.

    Nothing is opened, and no thread runs, before there is a target.

    Args:
        path: the file of waiting webhooks.
        log: gets what becomes of them.
        worker: the number of this worker, which has a file of its own; None: the engine is one process.
        close_s: the time that queued events have to be written, and due ones to be sent, when the block is left, in s.

    Attributes:
        lost: events that were dropped because the file can't be written.

    """

    def __init__(self, path: Path, log: Log, *, close_s: float = 2.0, worker: int | None = None) -> None:
        self._path, self._log, self._close_s, self._number = path, log, close_s, worker
        self._claim: SpoolClaim | None = None
        self.lost = 0
        self._spool: WebhookSpool | None = None
        self._queue: SimpleQueue[_Happened | None] = SimpleQueue()
        self._unwritten: deque[_Happened] = deque()
        self._workers: dict[str, _Worker] = {}
        self._counts: dict[str, TargetCounts] = {}
        self._wanted: frozenset[str] = frozenset()
        self._writer: Thread | None = None
        self._leaving = Wake()
        self._until = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def wanted(self) -> frozenset[str]:
        """The events that some target gets; others need not be told."""
        return self._wanted

    @property
    def counts(self) -> Mapping[str, TargetCounts]:
        """What became of webhooks, by the target's name, for metrics."""
        return self._counts

    def apply(self, targets: Iterable[NotifyTarget]) -> None:
        """Has webhooks go to these targets from now on, and drops those that wait for others.

        Raises:
            EngineError: the file of waiting webhooks can't be opened.

        """
        wanted = {target.key: target for target in targets}
        if self._spool is None:
            if not wanted:
                return
            self._spool = self._open()
        for key, worker in tuple(self._workers.items()):
            if wanted.get(key) != worker.target:
                del self._workers[key]
                worker.is_leaving = True
                worker.wake.set()
        for key, target in wanted.items():
            if key not in self._workers:
                self._workers[key] = self._start(target, self._spool)
        shown = {target.shown for target in wanted.values()}
        self._counts = {name: counts for name, counts in self._counts.items() if name in shown}
        self._wanted = frozenset(event for target in wanted.values() for event in target.events)
        for key, number in self._spool.counts().items():
            if key not in wanted and self._spool.remove_of_target(key):
                self._log.warning("webhook.dropped", dropped=number, reason="their target was removed from `notify`")
        if self._writer is None:
            self._writer = Thread(target=self._write_all, name="webhooks", daemon=True)
            self._writer.start()

    def tell(self, event: str, make: Make, about: About = NOBODY) -> None:
        """Tells the targets of an event; never waits and never raises.

        Args:
            event: its type.
            make: makes its data, in a thread: of values that don't change any more.
            about: whom it is about, as far as that may be stored.

        """
        if event not in self._wanted:
            return
        if self._queue.qsize() >= MOST_QUEUED:
            self.lost += 1
            return
        self._queue.put(_Happened(event, make, about))

    def forget(self, callers: Iterable[str] = (), called: Iterable[str] = ()) -> int:
        """Drops the webhooks about calls from and to certain numbers that wait; returns how many.

        Raises:
            sqlite3.Error: the file can't be used.

        """
        return 0 if self._spool is None else self._spool.remove_about(callers, called)

    def close(self) -> None:
        """Writes what is queued and sends what is due, within the time limit; the rest stays in the file."""
        if self._writer is None:
            return
        self._until = monotonic() + self._close_s
        self._leaving.set()
        self._queue.put(None)
        self._writer.join(self._close_s)
        for worker in self._workers.values():
            worker.is_leaving = True
            worker.wake.set()
        for worker in self._workers.values():
            if worker.thread is not None:
                worker.thread.join(max(0.0, self._until - monotonic()))
        threads = [self._writer, *(worker.thread for worker in self._workers.values())]
        if self._spool is not None and not any(thread is not None and thread.is_alive() for thread in threads):
            self._spool.close()
            if self._claim is not None:
                self._claim.close()
        self._writer = None

    def _open(self) -> WebhookSpool:
        try:
            self._claim = SpoolClaim(self._path, self._number)
            spool = WebhookSpool(self._claim.path)
            self._claim.adopt_orphans()
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise EngineError(f"notify_spool: {self._path} can't be used: {reason}") from None
        if spool.put_aside is not None:
            put_aside = str(spool.put_aside)
            self._log.error(
                "webhook.file_damaged", path=str(self._claim.path), put_aside=put_aside, reason="is not SQLite's"
            )
        return spool

    def _start(self, target: NotifyTarget, spool: WebhookSpool) -> _Worker:
        sender = WebhookSender(target)
        counts = self._counts.setdefault(target.shown, TargetCounts())
        delivery = WebhookDelivery(target, spool, sender, self._log, time, random.random, counts)
        worker = _Worker(target, delivery)
        worker.thread = Thread(target=self._deliver, args=(worker, sender), name="webhooks", daemon=True)
        worker.thread.start()
        return worker

    def _deliver(self, worker: _Worker, sender: WebhookSender) -> None:
        """Makes attempts until the worker is to leave: at once if its settings changed, or when little is due."""
        with sender:
            while not worker.is_leaving or self._leaving.is_set():
                try:
                    pause = worker.delivery.step()
                except sqlite3.Error:
                    pause = RETRY_S  # a disk without room; the writer says so
                if worker.is_leaving and (pause > 0 or monotonic() >= self._until):
                    return
                if pause > 0:
                    worker.wake.wait(min(pause, LONGEST_WAIT_S))
                    worker.wake.clear()

    def _write_all(self) -> None:
        while True:
            ends = self._take()
            while self._unwritten and not self._write():
                if self._leaving.wait(RETRY_S):
                    return
                ends = self._take(wait=False) or ends
            if ends:
                return

    def _take(self, *, wait: bool = True) -> bool:
        """Moves what is queued to `_unwritten`; True if that was the last."""
        while len(self._unwritten) < MOST_QUEUED:
            try:
                item = self._queue.get(block=wait)
            except Empty:
                return False
            if item is None:
                return True
            self._unwritten.append(item)
            wait = False
        return False

    def _write(self) -> bool:
        """Writes what is to be told to the file, and wakes the targets' threads; False: the file can't be written."""
        workers = list(self._workers.values())
        messages = [
            WaitingWebhook(
                happened.id, worker.target.key, happened.type, happened.about, body, happened.at, happened.at
            )
            for happened in self._unwritten
            for worker in workers
            if happened.type in worker.target.events and (body := self._body(happened, worker.target)) is not None
        ]
        try:
            if messages and self._spool is not None:
                self._spool.add(messages)
        except sqlite3.Error as error:
            self._report_unwritable(str(error))
            return False
        self._unwritten.clear()
        self._unwritable = ""
        for worker in workers:
            worker.wake.set()
        return True

    _unwritable = ""

    def _report_unwritable(self, reason: str) -> None:
        if reason != self._unwritable:
            self._unwritable = reason
            self._log.error("webhook.file_failed", path=str(self._path), reason=reason, waiting=len(self._unwritten))

    def _body(self, happened: _Happened, target: NotifyTarget) -> str | None:
        try:
            return body_of(happened.type, happened.at, happened.make(target))
        except Exception as error:  # noqa: BLE001 - values of a program, such as a call's metadata
            self._log.error("webhook.unfit", of=happened.type, reason=f"{type(error).__name__}: {error}")
            return None
