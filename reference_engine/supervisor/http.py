"""Joins the supervisor and its gateway: connections to the control go to the gateway, whose requests go to workers."""

from __future__ import annotations

import socket
from math import inf
from typing import TYPE_CHECKING, Literal

import trio
from attrs import define

from reference_engine.control.http import MAX_CONNECTIONS, client_of, serve_connection
from reference_engine.link.link import LinkClosedError
from reference_engine.link.messages import LastMetrics
from reference_engine.supervisor.gateway.exchange import Door
from reference_engine.supervisor.gateway.gateway import Gateway
from reference_engine.supervisor.supervisor import ADMIN, Supervisor
from reference_engine.supervisor.worker_process import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from datetime import datetime


@define(eq=False)
class GatewayWorker:
    """A worker process as the gateway needs it."""

    _supervisor: Supervisor
    _worker: WorkerProcess

    @property
    def number(self) -> int:
        """Its number."""
        return self._worker.number

    @property
    def key(self) -> Hashable:
        """Itself: another process is another object, whatever its numbers."""
        return self._worker

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._worker.pid

    @property
    def state(self) -> Literal["starting", "ready", "draining"]:
        """How far it is; one that has ended drains to its end."""
        return "draining" if self._worker.state == "ended" else self._worker.state

    @property
    def since(self) -> datetime:
        """The time at which it was started, in UTC."""
        return self._worker.since

    @property
    def load(self) -> int:
        """The calls that hold a place."""
        return self._worker.calls

    async def hand_request(self, door: Door, peer: str, end: socket.socket) -> None:
        """Hands it a connection for its control."""
        if self._worker.gone.is_set():
            raise LinkClosedError("the worker has ended")
        self._supervisor.hand(end.dup(), door, peer, self._worker)


class SupervisorHTTP:
    """The control of an engine with several workers.

    Args:
        supervisor: the supervisor, whose connections to the control are taken from now on.

    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._known: dict[WorkerProcess, GatewayWorker] = {}
        self._last_metrics: dict[WorkerProcess, bytes] = {}
        self.gateway = Gateway(self._workers, lambda: supervisor.plan.pages, self._leader, supervisor.pause)
        self._accepted, self._to_serve = trio.open_memory_channel[tuple[socket.socket, Door]](inf)
        supervisor.on_control = self._take
        supervisor.on_worker_ended.append(self._ended)
        supervisor.on_message(LastMetrics, self._keep)

    async def serve(self) -> None:
        """Serves connections until it is cancelled."""
        async with trio.open_nursery() as connections:
            while True:
                connection, door = await self._to_serve.receive()
                if len(connections.child_tasks) < MAX_CONNECTIONS:
                    stream = trio.SocketStream(trio.socket.from_stdlib_socket(connection))
                    client = client_of(stream) if door == ADMIN else None
                    connections.start_soon(serve_connection, self.gateway.app(door), stream, client)
                else:
                    connection.close()

    def _workers(self) -> Sequence[GatewayWorker]:
        """Returns the workers that have said that they run, by number."""
        running = [worker for worker in self._supervisor.workers if worker.started is not None]
        return [self._view_of(worker) for worker in sorted(running, key=lambda worker: worker.number)]

    def _leader(self) -> GatewayWorker | None:
        leader = self._supervisor.leader()
        return None if leader is None else self._view_of(leader)

    def _view_of(self, worker: WorkerProcess) -> GatewayWorker:
        return self._known.setdefault(worker, GatewayWorker(self._supervisor, worker))

    def _take(self, connection: socket.socket, kind: str, _peer: str) -> None:
        connection.setblocking(False)
        self._accepted.send_nowait((connection, "admin" if kind == ADMIN else "control"))

    def _keep(self, worker: WorkerProcess, _message: LastMetrics, blob: bytes) -> None:
        self._last_metrics[worker] = blob

    def _ended(self, worker: WorkerProcess) -> None:
        last = self._last_metrics.pop(worker, None)
        self.gateway.leave(self._view_of(worker), last, died=last is None and not self._supervisor.stopping.is_set())
        self._known.pop(worker, None)
