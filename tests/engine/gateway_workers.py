"""Workers for tests of the gateway, without processes: real control applications with few real parts."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import trio
from attrs import define, field
from patience import LONG_S

from reference_engine.calls.announcements import Announcements
from reference_engine.control.access import AccessControl
from reference_engine.control.app import Control
from reference_engine.control.call_requests import CallRequests
from reference_engine.control.http import serve_connection, serve_http
from reference_engine.lifecycle.readiness import Readiness
from reference_engine.link.link import LinkClosedError
from reference_engine.pages.operator_pages import OperatorPages
from reference_engine.reports.ended_calls import EndedCalls
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.sessions import Session, SessionStore
from reference_engine.supervisor.gateway.gateway import Gateway
from voicepipe import CallBegan, CallInfo, ComponentLabel

LABEL = ComponentLabel(name="x", adapter="x", model=None)
KEYS = count(1)


class NoCalls:
    """An answerer whose calls only their sessions know."""

    def find(self, _name):
        return None

    ending = find

    def logging_of(self, _set):
        return None

    redact_of = logging_of


def sessions_with(*calls):
    store = SessionStore()
    for call_id, second in calls:
        info = CallInfo(call_id=call_id, transport_id=f"t-{call_id}")
        store.observe(CallBegan(call_id, 0.0, info, "main", 1, "0" * 64, "default", LABEL, LABEL, LABEL))
        since = datetime(2026, 1, 1, 0, 0, second, tzinfo=UTC)
        store._sessions[call_id] = Session(call_id, "main", 1, "default", "", "", since, transport_id=info.transport_id)
    return store


def control_of(*calls, token=None, state="ready"):
    """A control whose worker has these calls, each an ID and the second in which it began."""
    settings = SimpleNamespace(
        admin=SimpleNamespace(token=token), pipeline_sets={"main": Path("main.yaml")}, path=None, records=None
    )
    current, readiness, answerer, ended = SimpleNamespace(settings=settings), Readiness(state), NoCalls(), EndedCalls()
    requests = CallRequests(answerer, ended, readiness, {})
    return Control(
        current,
        SimpleNamespace(by_name={}, get=lambda _name: None),
        None,
        sessions_with(*calls),
        Metrics({}),
        readiness,
        answerer,
        ended,
        Announcements(),
        requests,
        OperatorPages(None, None),
    )


@define(eq=False)
class InProcessWorker:
    """A worker that serves an ASGI application in a nursery."""

    number: int
    app: object
    nursery: trio.Nursery
    control: Control | None = None
    load: int = 0
    state: str = "ready"
    pid: int = 1
    dead: bool = False
    handed: list = field(factory=list)
    since = datetime(2026, 1, 1, tzinfo=UTC)
    key: int = field(factory=lambda: next(KEYS))

    async def hand_request(self, door, peer, end):
        if self.dead:
            raise LinkClosedError
        self.handed.append((door, peer))
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(socket.socket(fileno=socket.dup(end.fileno()))))
        host, _, port = peer.rpartition(":")
        app = AccessControl(self.app, self.control.current) if door == "admin" and self.control else self.app
        self.nursery.start_soon(serve_connection, app, stream, (host, int(port)) if peer else None)


@define
class Served:
    """A gateway with its workers, on a port that stands for one of its doors."""

    gateway: Gateway
    workers: list
    address: tuple

    async def ask(self, method, path, **request):
        import httpx  # noqa: PLC0415 - as only this needs it

        host, port = self.address
        async with httpx.AsyncClient(
            base_url=f"http://{host}:{port}", trust_env=False, verify=False, timeout=LONG_S
        ) as client:
            return await client.request(method, path, **request)


def serve_gateway(nursery, listening, workers, door="control"):
    """Serves a gateway of workers on a listening socket."""
    gateway = Gateway(lambda: [worker for worker in workers if not worker.dead])
    nursery.start_soon(serve_http, gateway.app(door), listening, [].append)
    return Served(gateway, workers, listening.getsockname())
