"""Notifies systemd of the engine's state."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from reference_engine.lifecycle.systemd_notes import SystemdNotes
from voicepipe import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reference_engine.reloads.outcomes import EngineOutcome
    from voicepipe import PipelineSet, Problem, SetEvent


class ServiceManager:
    """Sends notifications to systemd, if it started this process and asked for them.

    Args:
        sets: the pipeline sets whose state is reported, by name; read at each notification.
        environ: the process's environment, where systemd passes the socket and the watchdog's interval.

    """

    def __init__(
        self,
        sets: Mapping[str, PipelineSet],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._sets = sets
        self._engine = ""
        self._notes = SystemdNotes(environ)

    def ready(self) -> None:
        """Reports that calls are answered."""
        self._notes.send(READY="1", STATUS=self._status())

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Reports on entry that a reload begins; on exit, also after an error, its end and the state of the sets."""
        self._notes.send(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        try:
            yield
        finally:
            self.ready()

    def observe(self, _event: SetEvent) -> None:
        """Reports the state of the sets, for `systemctl status`; an observer of pipeline sets."""
        self._notes.send(STATUS=self._status())

    def observe_engine(self, outcome: EngineOutcome) -> None:
        """Notes whether the engine's own file was rejected, for the next status; an observer of reloads."""
        self._engine = f"engine's file rejected: {_why(outcome.problems)}; " if outcome.problems else ""

    def stopping(self) -> None:
        """Reports that no more calls are taken and that those that are up may end."""
        self._notes.send(STOPPING="1", STATUS="draining: no new calls, those that are up may end")

    async def feed_watchdog(self) -> None:
        """Sends WATCHDOG=1 twice per `WatchdogSec=`, to show that the event loop runs; returns if that is not set."""
        await self._notes.feed_watchdog()

    async def deliver(self) -> None:
        """Sends queued notifications again, until it is cancelled."""
        await self._notes.deliver()

    def _status(self) -> str:
        return self._engine + status_line(self._sets.values())


def status_line(sets: Iterable[PipelineSet]) -> str:
    """Returns the state of sets in a line: the version that serves, and the reason if the last reload was rejected."""
    return "; ".join(filter(None, map(_status_of, sets)))


def _status_of(pipelines: PipelineSet) -> str:
    last = pipelines.last_attempt
    if pipelines.version is None:
        return f"{pipelines.name}: never served: {_why(last.problems)}" if isinstance(last, Rejected) else ""
    current = pipelines.current
    serves = f"version {current.version} serves ({current.config.active_pipeline})"
    if isinstance(last, Rejected):
        return f"{pipelines.name}: reload rejected, {serves}: {_why(last.problems)}"
    if pipelines.degraded:
        return f"{pipelines.name}: degraded, {serves}: {_why(pipelines.degraded)}"
    return f"{pipelines.name}: {serves}"


def _why(problems: Sequence[Problem]) -> str:
    return f"{problems[0]} and {len(problems) - 1} more" if len(problems) > 1 else str(problems[0])
