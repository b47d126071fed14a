"""Keeps a worker running: starts its process, serves the link to it, and starts another one when it ends."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import trio

from reference_engine.lifecycle.systemd_notes import VARIABLES
from reference_engine.link.link import open_links
from reference_engine.link.worker_start import WorkerStart
from reference_engine.supervisor.backoff import Backoff
from reference_engine.supervisor.supervisor import ADMIN, Supervisor, read_messages
from reference_engine.supervisor.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Mapping

READ_REST_S: Final = 1.0
"""The time in which the last messages of a worker that has ended are read, in s."""


class NeverServedError(Exception):
    """The first worker has ended before it served; `status` is the exit status of the engine."""

    def __init__(self, how: str, status: int) -> None:
        super().__init__(how)
        self.status = status


async def keep_worker(supervisor: Supervisor, number: int, log_lock: int) -> None:
    """Runs a worker, and another in its place whenever it ends, until the engine stops and the last has ended.

    Raises:
        NeverServedError: it ended, and no worker has ever served.

    """
    backoff, log = Backoff(), supervisor.log
    while not supervisor.stopping.is_set():
        worker = await run_worker(supervisor, number, log_lock)
        status = worker.process.returncode or 0
        how = worker.killed_because or how_it_ended(status)
        if supervisor.stopping.is_set():
            return
        if not supervisor.serving.is_set():
            raise NeverServedError(how, status if status > 0 else 1)
        served_s = 0.0 if worker.ready_at is None else trio.current_time() - worker.ready_at
        pause = backoff.pause_after(served_s)
        write = log.info if status == 0 else log.error
        write(
            "worker.ended",
            worker=number,
            pid=worker.pid,
            reason=how,
            calls_lost=worker.calls_lost,
            again_s=pause,
            ended_in_a_row=backoff.ends,
        )
        with trio.move_on_after(pause):
            await supervisor.stopping.wait()


async def run_worker(supervisor: Supervisor, number: int, log_lock: int) -> WorkerProcess:
    """Runs a worker to its end; returns it then."""
    plan = supervisor.plan
    link, theirs = open_links()
    with link, theirs, ExitStack() as handed:
        settings = supervisor.settings_for_worker()
        if settings is not None:
            handed.callback(os.close, settings)
        start = WorkerStart(
            number=number,
            generation=supervisor.generation,
            link=theirs.fileno(),
            log_lock=log_lock,
            log_format=plan.log_format,
            colours=plan.colours,
            run=plan.run,
            addresses=_addresses(supervisor),
            settings=settings,
        )
        process = await trio.lowlevel.open_process(
            [*plan.python, "-m", "reference_engine.worker_program", start.as_text()],
            pass_fds=[theirs.fileno(), log_lock, *([] if settings is None else [settings])],
            env=_environ(),
            start_new_session=True,  # a terminal's Ctrl-C is the supervisor's to deal with
        )
        theirs.close()
        handed.close()
        worker = WorkerProcess(number, supervisor.generation, process, link)
        supervisor.add(worker)
        supervisor.log.info("worker.started", worker=number, pid=worker.pid)
        try:
            async with trio.open_nursery() as nursery:
                all_read = trio.Event()

                async def read() -> None:
                    await read_messages(supervisor, worker)
                    all_read.set()

                nursery.start_soon(read)
                nursery.start_soon(worker.send_posted)
                await process.wait()
                with trio.move_on_after(READ_REST_S):  # a process that it has left behind may hold its end open
                    await all_read.wait()
                nursery.cancel_scope.cancel()
        finally:
            worker.calls_lost = worker.calls
            supervisor.remove(worker)
            if process.returncode is None:
                worker.kill("the supervisor ends")
                with trio.CancelScope(shield=True):
                    await process.wait()
    return worker


def how_it_ended(status: int) -> str:
    """Returns how a process has ended, by its exit status, negative for a signal."""
    if status >= 0:
        return f"it exited with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"{name} ended it"


def _addresses(supervisor: Supervisor) -> Mapping[str, tuple[str, int]]:
    plan = supervisor.plan
    addresses = {listener.name: (listener.host, listener.port) for listener in plan.listeners if listener.is_handed}
    return addresses | ({ADMIN: (plan.admin.host, plan.admin.port)} if plan.admin else {})


def _environ() -> Mapping[str, str]:
    """Returns the environment of a worker, which sends no notes to systemd."""
    return {name: value for name, value in os.environ.items() if name not in VARIABLES}
