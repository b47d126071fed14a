"""Runs of engines: which process wrote what, and whether it still lives.

An engine with several processes has a run for each: what one of them holds is lost with it alone.

A run is known by its host's boot, its namespace of processes, its pid and the time at which the process began. Only of
runs in this same namespace can it be told at once that their process is gone. All others have to be watched: a run that
lives raises its `beat`. `Beats` counts how often an unchanged beat was seen, instead of comparing times, so that no
clock that jumps, on any machine, and no pause of this process makes a run look dead.
"""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BEAT_S = 5.0
"""The interval of beats, in s."""

MISSED = 12
"""The number of times that an unchanged beat is seen before a run is taken for dead: about a minute."""


@frozen
class EngineRun:
    """A run of this engine."""

    run: str
    """Its UUID."""
    name: str
    """The engine's name."""
    host: str
    """The machine's name."""
    pid: int
    """Its process."""
    process_start: str
    """What tells the process from others with the same pid."""
    started: datetime
    """The time at which it began."""
    worker: int | None = None
    """The number of its process, from 1, if the engine has several; None: it has one."""

    @classmethod
    def of_this_process(cls, name: str = "", worker: int | None = None) -> EngineRun:
        """Returns a new run of this process, called like its machine unless it has a name."""
        host, pid = socket.gethostname(), os.getpid()
        return cls(str(uuid4()), name or host, host, pid, _process_start(pid) or "", datetime.now(UTC), worker)

    def row(self, software: str) -> dict[str, Any]:
        """Returns its row of `engine_runs`."""
        return {
            "run": self.run,
            "name": self.name,
            "host": self.host,
            "pid": self.pid,
            "process_start": self.process_start,
            "software": software,
            "started": self.started,
            "beat": 0,
            "worker": self.worker,
        }


def is_gone(pid: int, process_start: str) -> bool:
    """Returns True if the process of a run certainly exists no more; False if it may, or can't be seen from here."""
    own = _namespace()
    if not own or not process_start.startswith(f"{own}/"):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    now = _process_start(pid)
    return now is not None and now != process_start


class Beats:
    """The beats of other runs, as this process has seen them."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, int]] = {}

    def dead(self, beats: Mapping[str, int]) -> Iterable[str]:
        """Takes the beats of all runs that matter, as they are now, and returns those that have not changed for long.

        To be called every `BEAT_S`.
        """
        before, self._seen = self._seen, {}
        for run, beat in beats.items():
            seen, times = before.get(run, (beat, 0))
            self._seen[run] = (beat, times + 1 if seen == beat else 0)
        return [run for run, (_beat, times) in self._seen.items() if times > MISSED]

    def forget(self) -> None:
        """Begins anew: while the database was away, nobody could raise a beat."""
        self._seen.clear()


def _namespace() -> str:
    """Returns what processes have in common whose pids can be compared; empty if that is not known."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _process_start(pid: int) -> str | None:
    """Returns the namespace and start of a process; None if they can't be read. A zombie has `gone` for its start."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return f"{_namespace()}/{'gone' if fields[0] in 'ZX' else fields[19]}"
