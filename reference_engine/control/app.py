"""The control's HTTP application: carries out reloads and rollbacks, and reports sets, calls and the engine."""

from __future__ import annotations

from http import HTTPStatus
from operator import attrgetter
from typing import TYPE_CHECKING

from attrs import frozen
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Mount, Route

from reference_engine.calls.announcements import KEEP_S, Announcements, as_transport_id
from reference_engine.calls.answering import CallAnswerer
from reference_engine.control.announcing import ANNOUNCED, MAX_BODY, announcement_of, is_form, pipelines_of
from reference_engine.control.answers import JSONAnswer
from reference_engine.control.call_requests import CallRequests
from reference_engine.control.openapi import OPENAPI
from reference_engine.control.operations import OPERATIONS
from reference_engine.control.parameters import (
    body_of,
    boolean_parameter,
    check_parameters,
    if_match_version,
    rollback_target,
)
from reference_engine.control.redirecting import PAGES, redirect_to_pages
from reference_engine.lifecycle.readiness import Readiness
from reference_engine.pages.operator_pages import OperatorPages
from reference_engine.reloads.outcomes import ReloadResult
from reference_engine.reloads.reloading import Reloader
from reference_engine.reports import json_bodies as bodies
from reference_engine.reports.ended_calls import EndedCalls
from reference_engine.reports.metrics import Metrics
from reference_engine.reports.sessions import SessionStore
from reference_engine.sets.served_set import VersionChangedError
from reference_engine.sets.sets import Sets
from reference_engine.settings.settings import CurrentSettings
from voicepipe import ConfigError, PipelineSetClosed, UnknownVersion

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.routing import BaseRoute

    from reference_engine.calls.announcements import Announcement
    from reference_engine.sets.served_set import ServedSet
    from voicepipe import PipelineSet, SetConfig, VersionRecord

TRIGGER = "control"
"""The trigger of changes that are requested here, in logs and in the history."""

_REFUSALS = (HTTPException, VersionChangedError, UnknownVersion, PipelineSetClosed)
"""The exceptions that are answered with `{"error": ...}`."""


@frozen(eq=False)
class Control:
    """The application's request handlers, and the parts of the engine that they read and act on."""

    current: CurrentSettings
    """The settings in force."""
    sets: Sets
    """The pipeline sets."""
    reloader: Reloader
    """Reloads the engine's file and all sets."""
    sessions: SessionStore
    """The calls that are up."""
    metrics: Metrics
    """The metrics."""
    readiness: Readiness
    """The state of the engine; changes wait for the end of the start."""
    answerer: CallAnswerer
    """The calls that are up, for the outcome of one that is being hung up."""
    ended: EndedCalls
    """The outcomes of the last calls."""
    announced: Announcements
    """The calls that were announced and have not connected."""
    requests: CallRequests
    """Requests to calls that are up."""
    pages: OperatorPages
    """The operator's pages."""

    def app(self) -> Starlette:
        """Returns the ASGI application, with a route for each operation of `operations.py`, and the pages.

        `/-/now` is no operation: only another worker of the same software asks for it.
        """
        routes: list[BaseRoute] = [
            Route(operation.path, attrgetter(operation.answered_by)(self), methods=[operation.method])
            for operation in OPERATIONS
        ]
        routes += [Route("/-/now", self.show_own_now), Route("/", redirect_to_pages), Mount(PAGES, app=self.pages)]
        return Starlette(routes=routes, exception_handlers=dict.fromkeys(_REFUSALS, _refused))

    async def reload(self, request: Request) -> Response:
        """Reloads, and answers after it: 200 if all files are served now, 422 if one was rejected."""
        check_parameters(request, "set", "force")
        force, if_version = boolean_parameter(request, "force"), if_match_version(request)
        await self.readiness.started.wait()
        name = request.query_params.get("set")
        if name is None and if_version is not None:
            if len(self.current.settings.pipeline_sets) > 1:
                raise HTTPException(HTTPStatus.BAD_REQUEST, "If-Match applies to one set: name it with ?set=")
            (name,) = self.current.settings.pipeline_sets
        if name is None:
            reloaded = await self.reloader.reload(trigger=TRIGGER, force=force)
        else:
            served = self._set(name)
            outcome = await served.reload(trigger=TRIGGER, force=force, if_version=if_version)
            reloaded = ReloadResult(None, (outcome,))
        return self._outcome(reloaded)

    async def roll_back(self, request: Request) -> Response:
        """Rolls a set back, and answers after it: 200 if the earlier version serves, 422 if it was rejected."""
        check_parameters(request)
        if_version = if_match_version(request)
        to = await rollback_target(request)
        await self.readiness.started.wait()
        served = self._set(request.path_params["set"])
        try:
            outcome = await served.rollback(to, trigger=TRIGGER, if_version=if_version)
        except UnknownVersion as error:
            if self.current.settings.last_known_good is None and "any more" in str(error):
                hint = "the engine remembers ten; `last_known_good` of engine.yaml names a directory that keeps them"
                raise UnknownVersion(f"{error}; after a restart {hint}") from error
            raise
        return self._outcome(ReloadResult(None, (outcome,)))

    async def show_sets(self, _request: Request) -> Response:
        """Answers with the state of all sets and the last outcome of the engine's file."""
        last, path = self.reloader.last_attempt, self.current.settings.path
        sets = [
            bodies.served_set(served.pipelines)
            if served.pipelines is not None
            else bodies.unopened_set(served.name, served.path)
            for served in self.sets
        ]
        removed = [bodies.served_set(pipelines, "removed") for pipelines in self.sets.leaving]
        return JSONAnswer(bodies.sets_body(sets, removed, path, last, self.pages.url))

    async def show_version(self, request: Request) -> Response:
        """Answers with one version of a set, its changes and its effective configuration."""
        served, number = self._set(request.path_params["set"]), request.path_params["version"]
        if (pipelines := served.pipelines) is not None:
            for record in pipelines.history:
                if str(record.version) == number:
                    config = await _config_of_earlier_run(pipelines, record)
                    return JSONAnswer(bodies.version_detail_body(pipelines, record, config))
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            f"pipeline set {served.name!r} has no version {number!r} in its history; GET /sets lists them",
        )

    async def show_configuration(self, request: Request) -> Response:
        """Answers with a configuration that calls ran on, from the database of records."""
        check_parameters(request)
        place, digest = self.current.settings.records, request.path_params["digest"]
        if place is None or not place.is_database:
            reason = "no configurations are kept: `records` of engine.yaml names no database"
            raise HTTPException(HTTPStatus.NOT_FOUND, reason)
        from reference_engine.records.provenance import find_configuration  # noqa: PLC0415 - loads SQLAlchemy
        from reference_engine.records.reading import Reader, RecordsUnavailable  # noqa: PLC0415 - as above

        reader = Reader(place)
        try:
            found = await reader.run(lambda connection: find_configuration(connection, digest))
        finally:
            reader.close()
        if isinstance(found, RecordsUnavailable):
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, found.problem)
        if found is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"no configuration with the digest {digest!r} is kept")
        return JSONAnswer(bodies.configuration_body(found))

    async def drain_version(self, request: Request) -> Response:
        """Asks the calls of a version that no longer serves to say goodbye; answers with their number."""
        check_parameters(request)
        name, number = request.path_params["set"], request.path_params["version"]
        served = self.sets.get(name)
        left = [pipelines for pipelines in self.sets.leaving if pipelines.name == name]
        if served is None and not left:
            served = self._set(name)
        present = [] if served is None or served.pipelines is None else [served.pipelines]
        numbers = {str(each.version): each.version for pipelines in (*left, *present) for each in pipelines.history}
        if number not in numbers:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"pipeline set {name!r} has no version {number!r} in its history")
        version = numbers[number]
        if served is not None and version == served.version:
            reason = f"version {number} of pipeline set {name!r} serves: reload or roll back first"
            raise HTTPException(HTTPStatus.CONFLICT, reason)
        return JSONAnswer(bodies.drained_body(name, version, self.answerer.drain_version(name, version)))

    async def show_calls(self, _request: Request) -> Response:
        """Answers with the calls that are up."""
        return JSONAnswer(bodies.calls_body(self.sessions))

    async def show_call(self, request: Request) -> Response:
        """Answers with the state or the outcome of one call; with `field`, with that value as plain text."""
        check_parameters(request, "field")
        name = as_transport_id(request.path_params["call"])
        call = self.answerer.ending(name) or self.sessions.find(name) or self.ended.find(name)
        if call is None and "field" in request.query_params:  # a dialplan would take an error's text for the value
            return Response(b"", HTTPStatus.NOT_FOUND, media_type="text/plain; charset=utf-8")
        if call is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"no call {name!r} is up or has ended in the last ten minutes")
        active, field = self.answerer.find(call.call_id), request.query_params.get("field")
        steered = None if active is None else active.call
        body = bodies.call_body(call, steered, self.answerer.logging_of(call.set), self.answerer.redact_of(name))
        if field is None:
            return JSONAnswer(body)
        if field not in body:
            raise HTTPException(HTTPStatus.BAD_REQUEST, f"unknown field {field!r}; fields: {', '.join(body)}")
        text = "" if body[field] is None else str(body[field])
        return Response(text.encode("utf-8", "replace"), media_type="text/plain; charset=utf-8")

    async def announce(self, request: Request) -> Response:
        """Keeps what is told of a call that has not connected yet; answers a form in plain text."""
        check_parameters(request)
        content_type = request.headers.get("content-type", "")
        form = is_form(content_type, b"")
        try:
            content = await body_of(request, MAX_BODY)
            form = is_form(content_type, content)
            announcement = announcement_of(request.path_params["call"], content, form=form, headers=request.headers)
            self._accept(announcement)
        except HTTPException as refused:
            if form:  # a dialplan reads it; JSON has quotes, which its expressions can't hold
                return Response(refused.detail, refused.status_code, media_type="text/plain; charset=utf-8")
            raise
        if form:
            return Response(ANNOUNCED, media_type="text/plain; charset=utf-8")
        return JSONAnswer(bodies.announced_body(announcement.info.transport_id, KEEP_S))

    def _accept(self, announcement: Announcement) -> None:
        name, pipeline = announcement.info.transport_id, announcement.pipeline
        if self.sessions.find(name) is not None:
            raise HTTPException(HTTPStatus.CONFLICT, f"the call {name!r} is up already: announce it before it connects")
        if pipeline and pipeline not in (known := pipelines_of(self.sets.by_name)):
            hint = "name it in a route, or give it `selectable: true`"
            reason = f"no set has opened a pipeline {pipeline!r}: {hint}; pipelines: {', '.join(known)}"
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, reason)
        if not self.announced.add(announcement):
            reason = f"{len(self.announced)} announced calls have not connected yet; each is kept for {KEEP_S:g} s"
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, reason)

    async def withdraw(self, request: Request) -> Response:
        """Drops what was told of a call that has not connected."""
        check_parameters(request)
        name = as_transport_id(request.path_params["call"])
        if self.announced.find(name) is None:
            raise HTTPException(HTTPStatus.NOT_FOUND, f"no call {name!r} is announced, or it has connected")
        self.announced.remove(name)
        return JSONAnswer(bodies.withdrawn_body(name))

    async def healthz(self, _request: Request) -> Response:
        """Answers 200: the process is alive."""
        return JSONAnswer({"status": "ok"})

    async def readyz(self, _request: Request) -> Response:
        """Answers 200 while calls are answered, else 503."""
        state = self.readiness.state
        status = HTTPStatus.OK if state == "ready" else HTTPStatus.SERVICE_UNAVAILABLE
        return JSONAnswer({"status": state}, status)

    async def pause(self, request: Request) -> Response:
        """Takes no new calls until `resume`; calls that are up go on."""
        return self._set_paused(request, True)

    async def resume(self, request: Request) -> Response:
        """Takes calls again after `pause`."""
        return self._set_paused(request, False)

    def _set_paused(self, request: Request, paused: bool) -> Response:
        check_parameters(request)
        if not (self.readiness.pause() if paused else self.readiness.resume()):
            raise HTTPException(HTTPStatus.CONFLICT, f"the engine is {self.readiness.state}, so it takes no calls")
        self.answerer.capacity.pause(paused)
        return JSONAnswer({"status": self.readiness.state, "calls": self.answerer.capacity.calls})

    async def show_metrics(self, request: Request) -> Response:
        """Answers with the metrics, as OpenMetrics where that is accepted, else in Prometheus's text format."""
        text, content_type = self.metrics.exposition(request.headers.get("accept", ""))
        return Response(text, media_type=content_type)

    async def show_own_now(self, _request: Request) -> Response:
        """Answers with what this process shows on the page Now; for the worker that renders it for all."""
        return JSONAnswer(self.pages.own_now())

    async def show_openapi(self, _request: Request) -> Response:
        """Answers with the OpenAPI document."""
        return JSONAnswer(OPENAPI)

    def _set(self, name: str) -> ServedSet:
        if (served := self.sets.get(name)) is not None:
            return served
        names = ", ".join(self.current.settings.pipeline_sets)
        raise HTTPException(HTTPStatus.NOT_FOUND, f"unknown pipeline set {name!r}; pipeline sets: {names}")

    def _outcome(self, reloaded: ReloadResult) -> Response:
        status = HTTPStatus.UNPROCESSABLE_ENTITY if reloaded.rejected else HTTPStatus.OK
        return JSONAnswer(bodies.reloaded_body(reloaded, self.sets.by_name), status)


async def _config_of_earlier_run(pipelines: PipelineSet, record: VersionRecord) -> SetConfig | None:
    """Returns the configuration of a version of an earlier run, from the copy of its files; None for one of this run.

    Raises:
        HTTPException: the copy can't be used any more.

    """
    if not record.earlier_run:
        return None
    try:
        return await pipelines.read_config_of(record.version)
    except ConfigError as error:
        reason = f"version {record.version} is of an earlier run, and can't be read any more: {error.problems[0]}"
        raise HTTPException(HTTPStatus.CONFLICT, reason) from error


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
