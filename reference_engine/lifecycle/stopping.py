"""Stops the engine: the drain after SIGTERM or SIGINT, the immediate end after a second signal, and the forced end.

Theory of operation
===================

*The drain.* The first stop signal begins it. The listeners close, so that Asterisk's next connections are refused.
`/readyz` answers 503, systemd is told STOPPING=1, and `engine.draining` is logged. Calls that are up go on for at most
`drain_s`:

    signal                              drain_s - 5 s                 drain_s
      |------------- calls go on ------------|----- say goodbye ---------|-- hung up
      engine.draining                        answerer.drain()            deadline of the calls' scope

`Shutdown.drain` sets that deadline on the cancel scope around all calls. When the last call has ended, before the
deadline or by it, the block in `engine.py` that serves calls is left, and `end` is called.

*The end.* `end` cancels `everything`, the scope around the whole engine. Pipeline sets close, their components are
closed, sockets and files are left. It is called by the path above; by a second signal; and by a first signal during the
start, because then there is nothing to drain. `cut_short` counts the calls that a second signal ends; it becomes the
exit status 1.

*The forced end.* Cancellation ends what waits in trio. It does not end a thread in a library's C code, nor code that
shields itself. So a thread waits for `end`, gives the engine `CLOSE_S`, then logs `engine.stuck` and calls `os._exit`.
The thread is started with the engine, because a machine that is out of threads may be the reason for the stop, and is a
daemon, so that it does not keep a process that has closed in time. `confirm_closed` tells it that all has closed.

*The supervisor's limit.* Whatever started the engine kills it after a time of its own: systemd's `TimeoutStopSec`,
Kubernetes's `terminationGracePeriodSeconds`. That must be more than `drain_s` plus `CLOSE_S`.

*A worker* of several (`worker/`) is asked by its supervisor: `request_drain`, with the time that calls may go on, or
with none if the supervisor itself has gone or another worker takes the place of this one. `end_at_once` is a second
signal.

Signals before there is an engine to stop, and after, are in `early_signals.py`. The deadline of calls that hold an old
version, `drain_deadline_s`, is in `calls/drain_deadline.py`.
"""

from __future__ import annotations

import os
import time
from math import inf
from threading import Event as ThreadEvent
from threading import Thread
from typing import TYPE_CHECKING, Literal, Protocol

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from reference_engine.calls.answering import CallAnswerer
    from reference_engine.lifecycle.readiness import Readiness
    from reference_engine.lifecycle.systemd import ServiceManager
    from reference_engine.log.log import Log
    from reference_engine.reports.sessions import SessionStore
    from reference_engine.settings.settings import CurrentSettings

GOODBYE_S = 5.0
"""Time before the end of the drain at which the remaining calls are asked to say goodbye, in s."""

CLOSE_S = 10.0
"""Time that the engine has to close once no call is waited for, in s; components have 5 s of it."""

FLUSH_S = 0.2
"""Time that the log's thread has to write `engine.stuck` before the process exits, in s."""


class Closable(Protocol):
    """What brings calls, such as a listener."""

    def close(self) -> None:
        """Takes no more calls."""


class Shutdown:
    """The engine's reaction to stop signals; which one depends on how far the engine has come.

    Args:
        everything: the cancel scope around the whole engine.
        current: the settings in force, for `drain_s`.
        sessions: the calls that are up.
        readiness: whether calls are answered yet.
        manager: tells systemd.
        log: gets `engine.draining` and `engine.stuck`.
        process: what this process is, for the name of the first record.

    Attributes:
        cut_short: the number of calls that a second signal ended.

    """

    def __init__(
        self,
        everything: trio.CancelScope,
        *,
        current: CurrentSettings,
        sessions: SessionStore,
        readiness: Readiness,
        manager: ServiceManager,
        log: Log,
        process: Literal["engine", "worker"] = "engine",
    ) -> None:
        self._everything, self._current, self._sessions, self._log = everything, current, sessions, log
        self._readiness, self._manager = readiness, manager
        self._process = process
        self._requested, self._until = trio.Event(), inf
        self._until_changed = trio.Event()
        self._drain_s: float | None = None
        self._ending, self._closed = ThreadEvent(), ThreadEvent()
        Thread(target=self._force_exit, name="forced end", daemon=True).start()  # see above: not when it is needed
        self.cut_short = 0

    async def watch(self, signals: AsyncIterator[int]) -> None:
        """Starts the drain at the first signal; ends the engine at the second, or at any signal during the start."""
        async for _signal in signals:
            if self._requested.is_set() or self._readiness.state == "starting":
                self.end_at_once()
            self.request_drain(self._current.settings.drain_s)

    def request_drain(self, drain_s: float | None) -> None:
        """Starts the drain, or changes its deadline if that becomes an earlier one.

        Args:
            drain_s: the time that calls may go on, in s; None: as long as they last.

        """
        self._requested.set()
        until = inf if drain_s is None else trio.current_time() + drain_s
        if until < self._until:
            self._until, self._drain_s = until, drain_s
        self._until_changed.set()

    def end_at_once(self) -> None:
        """Ends the engine with the calls that are up, which are counted in `cut_short`."""
        self.cut_short = len(self._sessions)
        self.end()

    async def drain(self, listeners: Iterable[Closable], answerer: CallAnswerer, calls: trio.CancelScope) -> None:
        """Waits for the first request, then takes no more calls and lets those that are up end within its time.

        Args:
            listeners: closed at once.
            answerer: its calls are asked to say goodbye `GOODBYE_S` before the deadline.
            calls: the scope around all calls; gets the deadline.

        """
        await self._requested.wait()
        for listener in listeners:
            listener.close()
        self._readiness.draining()
        self._manager.stopping()
        if self._process == "worker":
            self._log.info("worker.draining", calls=len(self._sessions), drain_s=self._drain_s)
        else:
            self._log.info("engine.draining", calls=len(self._sessions), drain_s=self._drain_s)
        while self._until_changed.is_set():
            self._until_changed, calls.deadline = trio.Event(), self._until
            with trio.CancelScope(deadline=max(self._until - GOODBYE_S, 0.0)):
                await self._until_changed.wait()
        answerer.drain()

    def end(self) -> None:
        """Cancels the whole engine; if it has not closed after `CLOSE_S`, the process exits all the same."""
        self._everything.cancel()
        self._ending.set()

    def confirm_closed(self) -> int:
        """Calls off the forced end, because everything has closed; returns the number of calls that were cut short."""
        self._closed.set()
        return self.cut_short

    def _force_exit(self) -> None:
        self._ending.wait()
        if self._closed.wait(CLOSE_S):
            return
        hint = f"something did not close within {CLOSE_S:g} s; the process ends without it"
        self._log.error("engine.stuck", hint=hint)
        time.sleep(FLUSH_S)
        os._exit(1)
