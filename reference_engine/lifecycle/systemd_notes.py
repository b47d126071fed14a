"""Sends notes to systemd by the protocol of `sd_notify(3)`; does nothing without `NOTIFY_SOCKET`.

With `Type=notify-reload` systemd sends SIGHUP, and `systemctl reload` waits for RELOADING=1 and the READY=1 after it.

Notes are datagrams. They are sent from the event loop without waiting. One that the socket does not take, because
systemd is busy or descriptors are exhausted, is queued, and the task `deliver` sends it again.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import Mapping

RETRY_S = 0.1
"""Pause before a note that could not be sent is sent again, in s."""

MAX_NOTES = 100
"""The most notes that are queued; a further one drops the oldest."""

MAX_STATUS = 500
"""The most characters of a status, which `systemctl status` shows on one line."""

VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""The variables by which systemd asks one process for notes, which its children must not send."""


class SystemdNotes:
    """Sends notes to systemd, if it started this process and asked for them.

    Args:
        environ: the process's environment, where systemd passes the socket and the watchdog's interval.

    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        # systemd writes the NUL that begins an address in the abstract namespace as @.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._waiting: deque[dict[str, str]] = deque(maxlen=MAX_NOTES)
        self._unsent = trio.Event()
        self._watched_us = 0
        if environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid()):
            with suppress(ValueError):
                self._watched_us = int(environ.get("WATCHDOG_USEC", "0"))

    def send(self, **fields: str) -> None:
        """Sends a note; never waits and never raises."""
        if not self._address.startswith(("/", "\0")):
            return
        if len(fields) == 1:  # a status or a watchdog note replaces a queued one
            self._waiting = deque((note for note in self._waiting if note.keys() != fields.keys()), MAX_NOTES)
        self._waiting.append(fields)
        self._send_waiting()

    async def feed_watchdog(self) -> None:
        """Sends WATCHDOG=1 twice per `WatchdogSec=`, to show that the event loop runs; returns if that is not set."""
        while self._watched_us > 0:
            self.send(WATCHDOG="1")
            await trio.sleep(self._watched_us / 2e6)

    async def deliver(self) -> None:
        """Sends queued notes again, until it is cancelled."""
        while True:
            await self._unsent.wait()
            self._unsent = trio.Event()
            await trio.sleep(RETRY_S)
            self._send_waiting()

    def _send_waiting(self) -> None:
        """Sends the queued notes without waiting; wakes `deliver` if one was not taken."""
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


def _line(text: str) -> str:
    """Returns the text as one line of at most `MAX_STATUS` characters; a line end would begin another field."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_STATUS else f"{line[: MAX_STATUS - 3]}..."
