"""The control's HTTP application: asks for reloads and rollbacks, and tells how things stand."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from attrs import frozen
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from reference_engine.calls.answering import Answering
from reference_engine.control.answers import JSONAnswer
from reference_engine.control.openapi import OPENAPI
from reference_engine.control.operations import OPERATIONS
from reference_engine.control.parameters import flag, only, version_that_must_serve, version_to_go_back_to
from reference_engine.lifecycle.readiness import Readiness
from reference_engine.reloads.outcomes import Reloaded
from reference_engine.reloads.reloading import Reloading
from reference_engine.reports import json_bodies as bodies
from reference_engine.reports.ended_calls import EndedCalls
from reference_engine.reports.metrics import CONTENT_TYPE, Metrics
from reference_engine.reports.sessions import SessionStore
from reference_engine.sets.served_set import VersionChangedError
from reference_engine.sets.sets import Sets
from reference_engine.settings.settings import CurrentSettings
from voicepipe import PipelineSetClosed, UnknownVersion

if TYPE_CHECKING:
    from starlette.requests import Request

    from reference_engine.sets.served_set import ServedSet

TRIGGER = "control"
"""What logs and the history name as the cause of a change that was asked for here."""

_REFUSALS = (HTTPException, VersionChangedError, UnknownVersion, PipelineSetClosed)
"""What is answered with `{"error": ...}`."""


@frozen(eq=False)
class Control:
    """What there is to ask about, and the answers."""

    current: CurrentSettings
    """What the engine runs with."""
    sets: Sets
    """Its pipeline sets."""
    reloading: Reloading
    """Its reloads."""
    sessions: SessionStore
    """Its calls."""
    metrics: Metrics
    """Its metrics."""
    readiness: Readiness
    """How far it has come."""
    answering: Answering
    """Its calls once more, of which some are ending."""
    ended: EndedCalls
    """Those that have ended of late."""

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route(operation.path, getattr(self, operation.answered_by), methods=[operation.method])
            for operation in OPERATIONS
        ]
        return Starlette(routes=routes, exception_handlers=dict.fromkeys(_REFUSALS, _refused))

    async def reload(self, request: Request) -> Response:
        """Answers when the reload is done: 200 if the files are served now, 422 if some can't be."""
        only(request, "set", "force")
        force, if_version = flag(request, "force"), version_that_must_serve(request)
        await self.readiness.started.wait()
        name = request.query_params.get("set")
        if name is None and if_version is not None:
            if len(self.current.settings.pipeline_sets) > 1:
                raise HTTPException(HTTPStatus.BAD_REQUEST, "If-Match is about one set: say which with ?set=")
            (name,) = self.current.settings.pipeline_sets
        if name is None:
            reloaded = await self.reloading.reload(trigger=TRIGGER, force=force)
        else:
            served = self._set(name)
            outcome = await served.reload(trigger=TRIGGER, force=force, if_version=if_version)
            reloaded = Reloaded(None, (outcome,))
        return self._told(reloaded)

    async def roll_back(self, request: Request) -> Response:
        """Answers when an earlier version serves again, as a new one, or can't."""
        only(request)
        if_version = version_that_must_serve(request)
        to = await version_to_go_back_to(request)
        await self.readiness.started.wait()
        served = self._set(request.path_params["set"])
        outcome = await served.rollback(to, trigger=TRIGGER, if_version=if_version)
        return self._told(Reloaded(None, (outcome,)))

    async def show_sets(self, _request: Request) -> Response:
        """Where each set stands, and how the engine's file fared last."""
        last, path = self.reloading.last_attempt, self.current.settings.path
        sets = [
            bodies.served_set(served.pipelines)
            if served.pipelines is not None
            else bodies.unopened_set(served.name, served.path)
            for served in self.sets
        ]
        removed = [bodies.served_set(pipelines, "removed") for pipelines in self.sets.leaving]
        return JSONAnswer(bodies.sets_body(sets, removed, path, last))

    async def show_version(self, request: Request) -> Response:
        """One version of a set: what it was built from and what it changed."""
        served, number = self._set(request.path_params["set"]), request.path_params["version"]
        if (pipelines := served.pipelines) is not None:
            for record in pipelines.history:
                if str(record.version) == number:
                    return JSONAnswer(bodies.version_detail_body(pipelines, record))
        raise HTTPException(HTTPStatus.NOT_FOUND, f"pipeline set {served.name!r} remembers no version {number!r}")

    async def show_calls(self, _request: Request) -> Response:
        """What every call is doing."""
        return JSONAnswer(bodies.calls_body(self.sessions))

    async def show_call(self, request: Request) -> Response:
        """How one call stands, or what became of it; `field` asks for one word of that, for a dialplan."""
        only(request, "field")
        name = request.path_params["call"]
        call = self.answering.ending(name) or self.sessions.find(name) or self.ended.find(name)
        if call is None and "field" in request.query_params:  # a dialplan would take the error for the answer
            return Response(b"", HTTPStatus.NOT_FOUND, media_type="text/plain; charset=utf-8")
        if call is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no call {name!r}, nor was there one of late")
        body, field = bodies.call_body(call), request.query_params.get("field")
        if field is None:
            return JSONAnswer(body)
        if field not in body:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"there is no field {field!r}; fields: {', '.join(body)}")
        text = "" if body[field] is None else str(body[field])
        return Response(text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8")

    async def healthz(self, _request: Request) -> Response:
        """That the process is alive."""
        return JSONAnswer({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """Whether calls are answered."""
        state = self.readiness.state
        status = HTTPStatus.OK if state == "ready" else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONAnswer({"status": state}, status)

    async def show_metrics(self, _request: Request) -> Response:
        """What Prometheus scrapes."""
        return Response(self.metrics.exposition(), media_type=CONTENT_TYPE)

    async def show_openapi(self, _request: Request) -> Response:
        """The description of all this."""
        return JSONAnswer(OPENAPI)

    def _set(self, name: str) -> ServedSet:
        if (served := self.sets.get(name)) is not None:
            return served
        names = ", ".join(self.current.settings.pipeline_sets)
        raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no pipeline set {name!r}; pipeline sets: {names}")

    def _told(self, reloaded: Reloaded) -> Response:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if reloaded.rejected else HTTPStatus.OK
        return JSONAnswer(bodies.reloaded_body(reloaded, self.sets.by_name), status)


async def _refused(_request: Request, error: Exception) -> Response:
    match error:
        case HTTPException():
            return JSONAnswer({"error": error.detail}, error.status_code, error.headers)
        case VersionChangedError():
            body = {"error": str(error), "serving_version": error.serving}
            return JSONAnswer(body, HTTPStatus.PRECONDITION_FAILED)
        case UnknownVersion():
            return JSONAnswer({"error": str(error)}, HTTPStatus.NOT_FOUND)
        case _:
            return JSONAnswer({"error": str(error)}, HTTPStatus.SERVICE_UNAVAILABLE)
