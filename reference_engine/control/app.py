"""The control's HTTP application: asks for reloads and tells how things stand."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Route

from reference_engine.bodies import outcome_body, session_body, set_body
from voicepipe import PipelineSetClosed, Rejected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from reference_engine.sessions import SessionStore
    from voicepipe import PipelineSet


def control_app(sets: Mapping[str, PipelineSet], sessions: SessionStore, *, default_set: str) -> Starlette:
    """An ASGI application that answers

    - `POST /-/reload`: when the reload is done; 200 if the files are served now, 422 if they can't be
    - `GET /sets`: versions, calls on each, and the last attempt of every set
    - `GET /calls`: what every call is doing
    - `GET /healthz`: that the process is alive
    """  # noqa: D415 - a list ends it

    async def reload(_request: Request) -> JSONResponse:
        try:
            outcome = await sets[default_set].reload(trigger="control")
        except PipelineSetClosed as closed:
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, str(closed)) from closed
        rejected = isinstance(outcome, Rejected)
        status = HTTPStatus.UNPROCESSABLE_ENTITY if rejected else HTTPStatus.OK
        return JSONResponse(outcome_body(outcome), status)

    async def show_sets(_request: Request) -> JSONResponse:
        return JSONResponse({"sets": [set_body(pipelines) for pipelines in sets.values()]})

    async def show_calls(_request: Request) -> JSONResponse:
        return JSONResponse({"calls": [session_body(session) for session in sessions]})

    async def healthz(_request: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def refused(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)  # noqa: S101 - what it is registered for, below
        return JSONResponse({"error": error.detail}, error.status_code, error.headers)

    return Starlette(
        routes=[
            Route("/-/reload", reload, methods=["POST"]),
            Route("/sets", show_sets),
            Route("/calls", show_calls),
            Route("/healthz", healthz),
        ],
        exception_handlers={HTTPException: refused},
    )
