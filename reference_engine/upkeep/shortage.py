"""Reports that connections can't be accepted for lack of descriptors or memory: which limit, and how to raise it."""

from __future__ import annotations

import errno
import math
import resource
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from reference_engine.log.log import Log

EVERY_S = 60.0
"""The least time between two `engine.shortage`, in s."""

RETRY_S = 0.1
"""Pause before `accept` is tried again, in s."""

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors of `accept` that concern the process or the machine, not the connection."""


class Shortage:
    """Logs `engine.shortage`, at most once a minute."""

    def __init__(self, log: Log) -> None:
        self._log, self._reported_at = log, -math.inf

    def report(self, error: OSError) -> None:
        """Logs an error of `accept` that is in `EXHAUSTED`, unless one was logged within the last minute."""
        now = trio.current_time()
        if now - self._reported_at < EVERY_S:
            return
        self._reported_at = now
        limit, hint = _limit(error)
        reason = f"no connection can be accepted: {error.strerror}"
        self._log.error("engine.shortage", reason=reason, limit=limit, hint=hint)


def _limit(error: OSError) -> tuple[str, str]:
    match error.errno:
        case errno.EMFILE:
            soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            how = "LimitNOFILE= of systemd, --ulimit nofile= of a container, ulimit -n of a shell"
            return f"open files of this process (RLIMIT_NOFILE, {soft:,})", f"raise it with {how}"
        case errno.ENFILE:
            return "open files of this machine (fs.file-max)", "raise it with sysctl fs.file-max"
        case _:
            return "memory for sockets (net.ipv4.tcp_mem, or the container's)", "give the machine or the container more"
