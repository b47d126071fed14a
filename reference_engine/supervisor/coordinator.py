"""Carries messages between the workers and the state machine of their changes, and asks the leader for reloads."""

from __future__ import annotations

import os
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import trio

from reference_engine.link.messages import (
    ChangeKept,
    ChangePrepared,
    FilesReloaded,
    ProposeChange,
    ReloadFiles,
    ReopenFiles,
    VersionLost,
    WorkerStarted,
)
from reference_engine.supervisor.supervisor import WorkerEndedError
from reference_engine.supervisor.two_phase import ENGINE, TwoPhase

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from reference_engine.supervisor.supervisor import Supervisor
    from reference_engine.supervisor.two_phase import ToWorker
    from reference_engine.supervisor.worker_process import WorkerProcess

T = TypeVar("T")

SIGNAL = "signal"
"""The trigger of a reload that SIGHUP asks for."""


class Coordinator:
    """The changes of a supervisor's workers.

    Workers of another generation than the supervisor's have their own changes: none, for they drain.

    Args:
        supervisor: the workers, and what they say.

    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._two_phase = TwoPhase()
        self._workers: dict[int, WorkerProcess] = {}
        self._numbers, self._requests = count(1), count(1)
        self._changed = trio.Event()
        on = supervisor.on_message
        on(WorkerStarted, lambda worker, _message, _blob: self._joined(worker))
        on(ProposeChange, self._proposed)
        on(ChangePrepared, lambda worker, answer, _blob: self._say(worker, self._two_phase.prepared, answer))
        on(ChangeKept, lambda worker, kept, _blob: self._say(worker, self._two_phase.kept, kept.change))
        on(VersionLost, lambda worker, lost, _blob: self._say(worker, self._two_phase.lost, lost.set))
        on(ReopenFiles, lambda worker, message, _blob: self._reopen(worker, message))
        supervisor.on_worker_ended.append(self._ended)
        supervisor.on_reload = self.reload
        supervisor.leader = lambda: self.leader
        supervisor.settings_for_worker = self._settings

    @property
    def leader(self) -> WorkerProcess | None:
        """The worker that carries out reloads and rollbacks for all; None: there is none at the moment."""
        return None if self._two_phase.leader is None else self._workers.get(self._two_phase.leader)

    async def reload(self) -> None:
        """Has the engine's file and all sets reloaded, as SIGHUP asks; returns when that is done.

        If the leader ends meanwhile, the reload ends with it: what it had proposed is withdrawn, and the log says so.
        """
        while (leader := self.leader) is None:
            await self._changed.wait()
        with suppress(WorkerEndedError):
            await self._supervisor.ask(leader, ReloadFiles(next(self._requests), SIGNAL), FilesReloaded)

    async def run(self) -> None:
        """Ends what workers are not ready for in time, and tells again what they could not serve; until cancelled."""
        while True:
            changed, deadline = self._changed, self._two_phase.deadline
            with trio.move_on_at(float("inf") if deadline is None else deadline):
                await changed.wait()
            if deadline is not None and deadline <= trio.current_time():
                self._send(self._two_phase.tick(trio.current_time()))

    def _joined(self, worker: WorkerProcess) -> None:
        if worker.generation == self._supervisor.generation and worker not in self._workers.values():
            number = next(self._numbers)
            self._workers[number] = worker
            name, rank = f"worker {worker.number}", worker.number
            self._send(self._two_phase.joined(number, name=name, rank=rank, now=trio.current_time()))

    def _ended(self, worker: WorkerProcess) -> None:
        self._say(worker, lambda number, _nothing, now: self._two_phase.gone(number, now), None)
        if (number := self._number_of(worker)) is not None:
            del self._workers[number]

    def _proposed(self, worker: WorkerProcess, proposal: ProposeChange, blob: bytes) -> None:
        propose = self._two_phase.proposed
        self._say(worker, lambda number, proposal, now: propose(number, proposal, blob, now), proposal)

    def _say(self, worker: WorkerProcess, take: Callable[[int, T, float], Sequence[ToWorker]], what: T) -> None:
        if (number := self._number_of(worker)) is not None:
            self._send(take(number, what, trio.current_time()))

    def _number_of(self, worker: WorkerProcess) -> int | None:
        return next((number for number, other in self._workers.items() if other is worker), None)

    def _send(self, messages: Sequence[ToWorker]) -> None:
        for each in messages:
            if (worker := self._workers.get(each.worker)) is not None:
                worker.post(each.message, each.blob)
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    def _reopen(self, leader: WorkerProcess, message: ReopenFiles) -> None:
        others = [worker for worker in self._workers.values() if worker is not leader]
        self._supervisor.broadcast(message, to=others)

    def _settings(self) -> int | None:
        """Returns the descriptor of a file in memory with the settings in force, for a worker that starts."""
        committed = self._two_phase.committed.get(ENGINE)
        if committed is None:
            return None
        descriptor = os.memfd_create("voicepipe-settings", os.MFD_CLOEXEC)
        with open(descriptor, "wb", closefd=False) as file:
            file.write(committed.blob[len(committed.blob) - committed.proposal.aside :])
            file.flush()
        os.lseek(descriptor, 0, os.SEEK_SET)
        return descriptor
