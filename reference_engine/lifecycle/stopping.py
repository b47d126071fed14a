"""How the engine stops: politely when it is first asked, at once when it is asked again, and in any case."""

from __future__ import annotations

import os
import time
from threading import Event as Flag
from threading import Thread
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from reference_engine.calls.answering import Answering
    from reference_engine.lifecycle.readiness import Readiness
    from reference_engine.lifecycle.systemd import ServiceManager
    from reference_engine.log.log import Log
    from reference_engine.reports.sessions import SessionStore
    from reference_engine.settings.settings import CurrentSettings
    from voicepipe import AudioSocketListener

GOODBYE_S = 5.0
"""How long before the end of the drain the calls that are still up are told to say goodbye."""

CLOSE_S = 10.0
"""How long closing may take when no call is waited for any more; components have 5 s of it."""


class Stopping:
    """What a stop signal does, which depends on how far the engine has come.

    Attributes:
        cut_short: how many calls a second signal ended.

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
    ) -> None:
        """Takes the scope around all that the engine does, who tells how far it is, and whom to tell."""
        self._everything, self._current, self._sessions, self._log = everything, current, sessions, log
        self._readiness, self._manager = readiness, manager
        self._asked = trio.Event()
        # Started now, for there may be no thread to be had when it is needed.
        self._ending, self._closed = Flag(), Flag()
        Thread(target=self._end_in_any_case, name="last resort", daemon=True).start()
        self.cut_short = 0

    async def watch(self, signals: AsyncIterator[int]) -> None:
        """Acts on each signal: there is nothing to drain before calls are served, and nothing to wait for twice."""
        async for _signal in signals:
            if self._asked.is_set() or self._readiness.state == "starting":
                self.cut_short = len(self._sessions)
                self.end()
            self._asked.set()

    async def drain(
        self, listeners: Iterable[AudioSocketListener], answering: Answering, calls: trio.CancelScope
    ) -> None:
        """When it is asked for: takes no more calls, and lets those that are up end within the time they have."""
        await self._asked.wait()
        drain_s = self._current.settings.drain_s
        for listener in listeners:
            listener.close()
        self._readiness.draining()
        self._manager.stopping()
        self._log.info("engine.draining", calls=len(self._sessions), drain_s=drain_s)
        calls.deadline = trio.current_time() + drain_s
        await trio.sleep(drain_s - min(GOODBYE_S, drain_s))
        answering.drain()

    def end(self) -> None:
        """Cancels everything, and sees to it that the process ends even if something can't be cancelled."""
        self._everything.cancel()
        self._ending.set()

    def ended(self) -> int:
        """Everything has closed as it should; how many calls were cut short."""
        self._closed.set()
        return self.cut_short

    def _end_in_any_case(self) -> None:
        self._ending.wait()
        if self._closed.wait(CLOSE_S):
            return
        hint = f"something did not close within {CLOSE_S:g} s; the process ends without it"
        self._log.error("engine.stuck", hint=hint)
        time.sleep(0.2)  # for the log's own thread
        os._exit(1)
