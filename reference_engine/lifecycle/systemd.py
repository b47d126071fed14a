"""Notifies systemd of the engine's state by the protocol of `sd_notify(3)`; without `NOTIFY_SOCKET` it does nothing.

With `Type=notify-reload` systemd sends SIGHUP, and `systemctl reload` waits for RELOADING=1 and the READY=1 after it.
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

AGAIN_S = 0.1
"""How long to wait before a note is offered again that systemd, or a machine out of descriptors, did not take."""

MOST_NOTES = 100
"""How many such notes are kept; the oldest is lost then."""

MAX_STATUS = 500
"""How many characters of a status are told; `systemctl status` shows it on one line."""


class ServiceManager:
    """Sends notifications to systemd, if it started this process and asked for them."""

    def __init__(
        self,
        sets: Mapping[str, PipelineSet],
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        """Takes the sets whose standing is told, as they are at the time; and where systemd says what it wants."""
        self._sets = sets
        self._engine = ""
        address = environ.get("NOTIFY_SOCKET", "")
        # Text that begins with @ is an address in the abstract namespace, which begins with NUL.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._waiting: deque[dict[str, str]] = deque(maxlen=MOST_NOTES)
        self._stuck = trio.Event()
        self._watched_us = 0
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with suppress(ValueError):
                self._watched_us = int(environ.get("WATCHDOG_USEC", "0"))

    def ready(self) -> None:
        """Says that calls are answered."""
        self._tell(READY="1", STATUS=self._standing())

    @contextmanager
    def reloading(self) -> Iterator[None]:
        """Says that a reload begins, and, however it ends, that it is done and where the sets stand."""
        self._tell(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        try:
            yield
        finally:
            self.ready()

    def observe(self, _event: SetEvent) -> None:
        """Says where the sets stand, for `systemctl status`; what a set's observer does."""
        self._tell(STATUS=self._standing())

    def observe_engine(self, outcome: EngineOutcome) -> None:
        """Takes note of how the engine's own file fared."""
        self._engine = f"engine's file rejected: {_why(outcome.problems)}; " if outcome.problems else ""

    def stopping(self) -> None:
        """Says that no more calls are taken, and that those that are up may end."""
        self._tell(STOPPING="1", STATUS="draining: no new calls, those that are up may end")

    async def keep_watchdog_quiet(self) -> None:
        """Shows that the event loop turns, twice in the time that `WatchdogSec=` gives; returns if it is not set."""
        while self._watched_us > 0:
            self._tell(WATCHDOG="1")
            await trio.sleep(self._watched_us / 2e6)

    def _standing(self) -> str:
        return self._engine + standing(self._sets.values())

    def _tell(self, **fields: str) -> None:
        if not self._address.startswith(("/", "\0")):
            return
        if len(fields) == 1:  # a newer one says all that an older one of its kind does
            self._waiting = deque((note for note in self._waiting if note.keys() != fields.keys()), MOST_NOTES)
        self._waiting.append(fields)
        self._send()

    def _send(self) -> None:
        """Sends what is waiting, as far as systemd takes it; this is the event loop, so nobody is waited for."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as link:
                while self._waiting:
                    note = "\n".join(f"{name}={_line(value)}" for name, value in self._waiting[0].items())
                    with suppress(FileNotFoundError, ConnectionRefusedError, PermissionError):  # then nobody listens
                        link.sendto(note.encode(errors="replace"), self._address)
                    self._waiting.popleft()
        except OSError:
            self._stuck.set()

    async def deliver(self) -> None:
        """Sends again what could not be sent at once; until it is cancelled."""
        while True:
            await self._stuck.wait()
            self._stuck = trio.Event()
            await trio.sleep(AGAIN_S)
            self._send()


def standing(sets: Iterable[PipelineSet]) -> str:
    """Where sets stand, in a line: the version that serves, and why the last reload did not change that."""
    return "; ".join(filter(None, map(_standing, sets)))


def _standing(pipelines: PipelineSet) -> str:
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
    """The text as one line: a line's end would begin another field."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_STATUS else f"{line[: MAX_STATUS - 3]}..."
