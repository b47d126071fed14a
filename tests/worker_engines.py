"""Engines of several workers for tests, on `engine_process`: which worker has a call, and how a worker is found."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager

from engine_process import open_engine


@asynccontextmanager
async def open_workers(home, *arguments, workers=2, **how):
    """An engine of several workers, all of which serve; arguments are those of `open_engine`."""
    async with open_engine(home, "--workers", str(workers), *arguments, **how) as engine:
        for number in range(1, workers + 1):
            await engine.logged("worker.ready", worker=number)
        yield engine


async def worker_of(engine, caller):
    """The number of the worker that has the call of a caller, once it has answered."""
    return (await engine.logged("call.started", transport_id=str(caller.call_id)))["worker"]


def pid_of(engine, worker):
    """The process of a worker: the last that was started with its number."""
    return [
        record["pid"] for record in engine.records if record["event"] == "worker.started" and record["worker"] == worker
    ][-1]


def send(engine, worker, number=signal.SIGKILL):
    """Sends a worker a signal."""
    os.kill(pid_of(engine, worker), number)


async def restarted(engine, worker):
    """The end of a worker in the log, once the one in its place serves."""
    ended = await engine.logged("worker.ended", worker=worker)
    await engine.logged("worker.ready", after=engine.records.index(ended), worker=worker)
    return ended
