"""Notifies systemd of the engine's state, by the protocol of `sd_notify(3)`; does nothing without `NOTIFY_SOCKET`.

With `Type=notify-reload` systemd sends SIGHUP, and `systemctl reload` waits for RELOADING=1 and the READY=1 after it.

Notifications are datagrams. They are sent from the event loop without waiting. One that the socket does not take,
because systemd is busy or descriptors are exhausted, is queued, and the task `deliver` sends it again.
"""

from __future__ import annotations

import os
import socket
import time
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import trio

from voicepipe import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from reference_engine.reloads.outcomes import EngineOutcome
    from voicepipe import PipelineSet, Problem, SetEvent

RETRY_S = 0.1
"""Pause before a notification that could not be sent is sent again, in s."""

MAX_NOTES = 100
"""The most notifications that are queued; a further one drops the oldest."""

MAX_STATUS = 500
"""The most characters of a status, which `systemctl status` shows on one line."""


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
        address = environ.get("NOTIFY_SOCKET", "")
        # systemd writes the NUL that begins an address in the abstract namespace as @.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._waiting: deque[dict[str, str]] = deque(maxlen=MAX_NOTES)
        self._unsent = trio.Event()
        self._watched_us = 0
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with suppress(ValueError):
                self._watched_us = int(environ.get("WATCHDOG_USEC", "0"))

    def ready(self) -> None:
        """Reports that calls are answered."""
        self._notify(READY="1", STATUS=self._status())

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Reports on entry that a reload begins; on exit, also after an error, its end and the state of the sets."""
        self._notify(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        try:
            yield
        finally:
            self.ready()

    def observe(self, _event: SetEvent) -> None:
        """Reports the state of the sets, for `systemctl status`; an observer of pipeline sets."""
        self._notify(STATUS=self._status())

    def observe_engine(self, outcome: EngineOutcome) -> None:
        """Notes whether the engine's own file was rejected, for the next status; an observer of reloads."""
        self._engine = f"engine's file rejected: {_why(outcome.problems)}; " if outcome.problems else ""

    def stopping(self) -> None:
        """Reports that no more calls are taken and that those that are up may end."""
        self._notify(STOPPING="1", STATUS="draining: no new calls, those that are up may end")

    async def feed_watchdog(self) -> None:
        """Sends WATCHDOG=1 twice per `WatchdogSec=`, to show that the event loop runs; returns if that is not set."""
        while self._watched_us > 0:
            self._notify(WATCHDOG="1")
            await trio.sleep(self._watched_us / 2e6)

    def _status(self) -> str:
        return self._engine + status_line(self._sets.values())

    def _notify(self, **fields: str) -> None:
        if not self._address.startswith(("/", "\0")):
            return
        if len(fields) == 1:  # a status or a watchdog note replaces a queued one
            self._waiting = deque((note for note in self._waiting if note.keys() != fields.keys()), MAX_NOTES)
        self._waiting.append(fields)
        self._send()

    def _send(self) -> None:
        """Sends the queued notifications without waiting; wakes `deliver` if one was not taken."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as link:
                while self._waiting:
                    note = "\n".join(f"{name}={_line(value)}" for name, value in self._waiting[0].items())
                    with suppress(
                        FileNotFoundError, ConnectionRefusedError, PermissionError
                    ):  # nothing listens: drop it
                        link.sendto(note.encode(errors="replace"), self._address)
                    self._waiting.popleft()
        except OSError:
            self._unsent.set()

    async def deliver(self) -> None:
        """Sends queued notifications again, until it is cancelled."""
        while True:
            await self._unsent.wait()
            self._unsent = trio.Event()
            await trio.sleep(RETRY_S)
            self._send()


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


def _line(text: str) -> str:
    """Returns the text as one line of at most `MAX_STATUS` characters; a line end would begin another field."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_STATUS else f"{line[: MAX_STATUS - 3]}..."
