"""Runs a supervisor: claims the control's socket, keeps the workers running, and acts on signals, until all have ended.

The order is that of an engine of one process: the control is there from the start on, listeners accept when a worker
serves, and at a stop signal they close first.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import trio

from reference_engine.control.agent_check import agent_answer, serve_agent_check
from reference_engine.control.unix_socket import claimed_unix_socket
from reference_engine.lifecycle.systemd_notes import SystemdNotes
from reference_engine.supervisor.coordinator import Coordinator
from reference_engine.supervisor.http import SupervisorHTTP
from reference_engine.supervisor.keeping import NeverServedError, keep_worker
from reference_engine.supervisor.liveness import kill_hung_workers
from reference_engine.supervisor.supervisor import ADMIN, CONTROL, Supervisor
from reference_engine.upkeep.tasks import restart_on_failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from reference_engine.log.rendering import Log
    from reference_engine.supervisor.plan import PlannedListener, SupervisorPlan
    from reference_engine.supervisor.worker_process import WorkerProcess

STUCK_S = 15.0
"""The time after the end of the drain at which workers that have not ended are killed, in s; closing takes up to 10."""


async def run_supervisor(plan: SupervisorPlan, log: Log, log_lock: int) -> int:
    """Serves calls with several workers until a stop signal; returns the exit status.

    Args:
        plan: what was read of the engine's file.
        log: gets all records.
        log_lock: the descriptor that processes lock to write to the log.

    Raises:
        EngineError: the control's socket can't be claimed.

    """
    with (
        trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as stops,
        trio.open_signal_receiver(signal.SIGHUP) as hangups,
        claimed_unix_socket(Path(plan.control), is_default=plan.is_default_control) as control,
    ):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        log.info("engine.starting", file=plan.file, pid=os.getpid(), workers=plan.workers)
        supervisor, notes = Supervisor(plan, log), SystemdNotes()
        coordinator = Coordinator(supervisor)
        tell_systemd(supervisor, notes)
        http = SupervisorHTTP(supervisor)
        reloading = partial(reload_on_signals, hangups, supervisor, notes)
        async with trio.open_nursery() as upkeep:
            controls = [supervisor.accepting_control(control.dup(), CONTROL)]
            if plan.admin is not None:
                controls += [
                    supervisor.accepting_control(_inherited(descriptor), ADMIN) for descriptor in plan.admin.descriptors
                ]
            for accepting in (*controls, *supervisor.accepting):
                upkeep.start_soon(restart_on_failure, "accepting connections", accepting.serve, log)
            if plan.agent_check is not None:
                listening = [_inherited(descriptor) for descriptor in plan.agent_check.descriptors]
                agents = partial(
                    serve_agent_check, listening, partial(_agent_answer, supervisor), supervisor.shortage.report
                )
                upkeep.start_soon(restart_on_failure, "agent check", agents, log)
            upkeep.start_soon(restart_on_failure, "HTTP", http.serve, log)
            upkeep.start_soon(stop_on_signals, stops, supervisor, notes)
            upkeep.start_soon(restart_on_failure, "reload signals", reloading, log)
            upkeep.start_soon(restart_on_failure, "changes of all workers", coordinator.run, log)
            upkeep.start_soon(restart_on_failure, "watch of workers", partial(kill_hung_workers, supervisor), log)
            upkeep.start_soon(restart_on_failure, "notes to systemd", notes.deliver, log)
            upkeep.start_soon(restart_on_failure, "systemd's watchdog", notes.feed_watchdog, log)
            status = await keep_workers(supervisor, log_lock)
            upkeep.cancel_scope.cancel()
    log.info("engine.stopped", calls_cut_short=supervisor.calls_cut_short)
    return status


async def keep_workers(supervisor: Supervisor, log_lock: int) -> int:
    """Runs all workers until the engine has stopped; returns its exit status."""
    failed: list[NeverServedError] = []
    try:
        async with trio.open_nursery() as watching:
            watching.start_soon(kill_stuck_workers, supervisor)
            watching.start_soon(log_ready, supervisor)
            async with trio.open_nursery() as workers:
                workers.start_soon(keep_worker, supervisor, 1, log_lock)
                await supervisor.begun.wait()
                for number in range(2, supervisor.plan.workers + 1):
                    workers.start_soon(keep_worker, supervisor, number, log_lock)
            watching.cancel_scope.cancel()
    except* NeverServedError as errors:
        failed = _leaves(errors)
    for error in failed:
        if error.status == 1:  # else the worker has said why
            supervisor.log.error("engine.failed", reason=f"worker 1 ended before it served: {error}")
        return error.status
    return 1 if supervisor.calls_cut_short else 0


async def kill_stuck_workers(supervisor: Supervisor) -> None:
    """Kills the workers that have not ended `STUCK_S` after the end of the drain."""
    await supervisor.stopping.wait()
    await trio.sleep(supervisor.drain_s + STUCK_S)
    for worker in supervisor.workers:
        supervisor.log.error("worker.stuck", worker=worker.number, pid=worker.pid, calls=worker.calls)
        worker.kill("it did not end after the drain")


async def log_ready(supervisor: Supervisor) -> None:
    """Logs `engine.ready` as soon as calls are taken, with the addresses of all listeners."""
    await supervisor.serving.wait()
    own = [listener.name for listener in supervisor.plan.listeners if not listener.is_handed]
    while not supervisor.own_addresses.keys() >= set(own):
        await supervisor.own_addresses_changed.wait()
    plan = supervisor.plan
    admin = None if plan.admin is None else {"host": plan.admin.host, "port": plan.admin.port}
    agents = plan.agent_check
    supervisor.log.info(
        "engine.ready",
        listeners=[_shown(listener, supervisor) for listener in plan.listeners],
        control=plan.control,
        admin=admin,
        **({} if agents is None else {"agent_check": {"host": agents.host, "port": agents.port}}),
        pages=plan.pages,
        sets=list(supervisor.ready_workers[0].sets if supervisor.ready_workers else ()),
        workers=plan.workers,
        pid=os.getpid(),
    )


def _shown(listener: PlannedListener, supervisor: Supervisor) -> dict[str, Any]:
    host, port = supervisor.own_addresses.get(listener.name, (listener.host, listener.port))
    return {"name": listener.name, "transport": listener.type, "host": host, "port": port, "set": listener.set}


async def stop_on_signals(stops: AsyncIterator[int], supervisor: Supervisor, notes: SystemdNotes) -> None:
    """Starts the drain at the first stop signal, and ends the engine at the second."""
    async for _signal in stops:
        supervisor.stop()
        notes.send(STOPPING="1", STATUS="draining: no new calls, those that are up may end")


async def reload_on_signals(hangups: AsyncIterator[int], supervisor: Supervisor, notes: SystemdNotes) -> None:
    """Reloads for each SIGHUP and tells systemd; signals that arrive during a reload cause one more."""
    async for _signal in hangups:
        notes.send(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        try:
            await supervisor.on_reload()
        finally:
            notes.send(READY="1", STATUS=status_line(supervisor))


def tell_systemd(supervisor: Supervisor, notes: SystemdNotes) -> None:
    """Has systemd told when the first worker serves, and from then on how many do."""

    def ready(_worker: WorkerProcess) -> None:
        fields = {} if supervisor.serving.is_set() else {"READY": "1"}
        notes.send(**fields, STATUS=status_line(supervisor))

    def ended(_worker: WorkerProcess) -> None:
        if not supervisor.stopping.is_set():
            notes.send(STATUS=status_line(supervisor))

    supervisor.on_worker_ready.append(ready)
    supervisor.on_worker_ended.append(ended)


def status_line(supervisor: Supervisor) -> str:
    """Returns the state of the workers in a line."""
    return f"{len(supervisor.ready_workers)} of {supervisor.plan.workers} workers serve"


def _agent_answer(supervisor: Supervisor) -> bytes:
    state: Literal["starting", "ready", "paused", "draining"] = "ready" if supervisor.ready_workers else "starting"
    if supervisor.paused:
        state = "paused"
    if supervisor.stopping.is_set():
        state = "draining"
    return agent_answer(state, supervisor.slots.taken, supervisor.slots.limit)


def _inherited(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    return socket.socket(fileno=descriptor)


def _leaves(errors: BaseExceptionGroup[NeverServedError]) -> list[NeverServedError]:
    leaves: list[NeverServedError] = []
    for error in errors.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves
