"""Reports of the workers themselves: for `GET /sets` and `reference-engine status`, and as metrics."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from reference_engine.supervisor.gateway.exposition import Family, Sample

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from reference_engine.supervisor.gateway.exchange import AskableWorker

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def worker_bodies(workers: Sequence[AskableWorker]) -> list[dict[str, Any]]:
    """Returns the workers as JSON objects."""
    return [
        {
            "worker": worker.number,
            "pid": worker.pid,
            "state": worker.state,
            "calls": worker.load,
            "since": worker.since.isoformat(),
            "memory_bytes": memory_of(worker.pid),
        }
        for worker in workers
    ]


def memory_of(pid: int) -> int | None:
    """Returns the memory of a process that is in use now, in bytes; None if it has ended."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    return None


def worker_families(
    workers: Sequence[AskableWorker], deaths: Mapping[int, int], metrics: Sequence[Mapping[str, Family] | None]
) -> list[Family]:
    """Returns the metrics of the workers.

    Args:
        workers: the workers.
        deaths: how often a worker of each number has ended unasked.
        metrics: the metrics of each worker; None: it has not answered.

    """
    up = Family("voicepipe_worker_up", "gauge", "Whether a worker has answered this scrape.")
    calls = Family("voicepipe_worker_calls", "gauge", "Calls that are up in a worker.")
    memory = Family("voicepipe_worker_resident_memory_bytes", "gauge", "Memory of a worker that is in use.")
    died = Family("voicepipe_worker_deaths", "counter", "Workers that have ended unasked.")
    for worker, of in zip(workers, metrics, strict=True):
        label = f'{{worker="{worker.number}"}}'
        up.samples[up.name + label] = Sample(float(of is not None))
        if of is not None:
            active = of.get("voicepipe_active_calls", Family("")).samples.values()
            calls.samples[calls.name + label] = Sample(sum(sample.value for sample in active))
        if (resident := memory_of(worker.pid)) is not None:
            memory.samples[memory.name + label] = Sample(float(resident))
    for number in sorted({worker.number for worker in workers} | deaths.keys()):
        died.samples[f'{died.name}_total{{worker="{number}"}}'] = Sample(float(deaths.get(number, 0)))
    own = Family("voicepipe_supervisor_resident_memory_bytes", "gauge", "Memory of the supervisor that is in use.")
    if (resident := memory_of(os.getpid())) is not None:
        own.samples[own.name] = Sample(float(resident))
    return [up, calls, memory, died, own]
