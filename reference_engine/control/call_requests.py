"""Carries out requests to calls that are up, and makes calls.

The bodies are JSON, read strictly into the classes of `reports/steering_bodies.py`, of which the OpenAPI document is
made too. What a request asks for is in the call's conversation, its record and the log, since the call itself reports
it.

| status | meaning |
| --- | --- |
| 400 | the body is no JSON object |
| 404 | no such call is up, and none has ended lately; no such listener |
| 409 | the call is over or ends; nobody took the transfer, or answered |
| 422 | a field is unknown, missing, or has a value that can't be used, such as a file or a listener that can't call |
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from attrs import NOTHING, field, fields, frozen
from starlette.exceptions import HTTPException

from reference_engine.calls.announcements import as_transport_id
from reference_engine.calls.answering import CallAnswerer
from reference_engine.control.answers import JSONAnswer
from reference_engine.control.parameters import body_of, check_parameters
from reference_engine.control.user_agent import COMMAND
from reference_engine.lifecycle.readiness import Readiness
from reference_engine.reports.ended_calls import EndedCalls
from reference_engine.reports.json_types import as_data
from reference_engine.reports.steering_bodies import (
    DialBody,
    DialledBody,
    HangUpBody,
    LanguageBody,
    NotDialledBody,
    PlayBody,
    RecordingBody,
    SayBody,
    SteeredBody,
    TellBody,
    TransferBody,
    VariablesBody,
)
from voicepipe import CallOver, DialFailed, Dialler, DialRequest, Listener, TransferFailed

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from reference_engine.calls.answering import ActiveCall
    from voicepipe import SayOutcome, SteerableCall

MAX_BODY = 65_536
"""The most bytes of a body."""

Body = TypeVar("Body")


@frozen(eq=False)
class CallRequests:
    """The handlers of requests to calls."""

    answerer: CallAnswerer
    """The calls that are up."""
    ended: EndedCalls
    """The outcomes of the last calls, to tell a call that is over from one that never was."""
    readiness: Readiness
    """The state of the engine: while it drains, no calls are made."""
    listeners: Mapping[str, Listener] = field(factory=dict)
    """The listeners by name, some of which can make calls."""

    async def say(self, request: Request) -> Response:
        """Has the agent say a text; answers when it was heard, or will not be."""
        active, body = await self._asked(request, SayBody)
        try:
            outcome = await _steered(active, request).say(body.text, interrupt=body.interrupt)
        except (CallOver, ValueError) as error:
            _refuse(error)
        return _heard(active, outcome)

    async def play(self, request: Request) -> Response:
        """Plays a WAV file; answers when it was heard, or will not be."""
        active, body = await self._asked(request, PlayBody)
        path = active.pipelines.path.parent / body.file
        try:
            outcome = await _steered(active, request).play(path, text=body.text, interrupt=body.interrupt)
        except OSError as error:
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"file: {path}: {error.strerror or error}") from error
        except (CallOver, ValueError) as error:
            _refuse(error)
        return _heard(active, outcome)

    async def tell(self, request: Request) -> Response:
        """Tells the model a fact."""
        active, body = await self._asked(request, TellBody)
        try:
            _steered(active, request).tell(body.fact, respond=body.respond)
        except (CallOver, ValueError) as error:
            _refuse(error)
        return _done(active)

    async def transfer(self, request: Request) -> Response:
        """Transfers the caller; answers when somebody has taken the call, or nobody has."""
        active, body = await self._asked(request, TransferBody)
        try:
            await _steered(active, request).transfer(body.target)
        except (CallOver, TransferFailed, ValueError) as error:
            _refuse(error)
        return _done(active)

    async def hang_up(self, request: Request) -> Response:
        """Ends the call."""
        active, body = await self._asked(request, HangUpBody)
        _steered(active, request).hang_up(body.goodbye)
        return _done(active)

    async def set_variables(self, request: Request) -> Response:
        """Changes variables of the call."""
        active, body = await self._asked(request, VariablesBody)
        try:
            _steered(active, request).set_variables(body.variables)
        except (CallOver, ValueError) as error:
            _refuse(error)
        return _done(active)

    async def set_language(self, request: Request) -> Response:
        """Switches the language of the call."""
        active, body = await self._asked(request, LanguageBody)
        try:
            await _steered(active, request).set_language(body.language)
        except (CallOver, ValueError) as error:
            _refuse(error)
        return _done(active)

    async def set_recording(self, request: Request) -> Response:
        """Has the call's recording be silent, or go on."""
        active, body = await self._asked(request, RecordingBody)
        call = _steered(active, request)
        try:
            recorded = call.pause_recording() if body.action == "pause" else call.resume_recording()
        except CallOver as error:
            _refuse(error)
        return JSONAnswer(as_data(SteeredBody(call_id=active.call.call_id, recorded=recorded)))

    async def dial(self, request: Request) -> Response:
        """Calls somebody; answers when they have answered, or have not."""
        check_parameters(request)
        body = structured(DialBody, await body_of(request, MAX_BODY))
        if self.readiness.state != "ready":
            state = "is paused" if self.readiness.state == "paused" else "starts or stops"
            raise HTTPException(HTTPStatus.SERVICE_UNAVAILABLE, f"the engine {state}: it makes no calls now")
        dialler = self._dialler(body)
        asked = DialRequest(
            target=body.target,
            caller=body.caller,
            variables=body.variables,
            pipeline=body.pipeline,
            ring_s=body.ring_s,
            speaks_first=body.speaks_first,
        )
        try:
            transport_id = await dialler.dial(asked)
        except DialFailed as failed:
            refused = NotDialledBody(error=str(failed), outcome=failed.outcome)
            return JSONAnswer(as_data(refused), HTTPStatus.CONFLICT)
        active = self.answerer.find(transport_id)
        call_id = "" if active is None else active.call.call_id
        return JSONAnswer(as_data(DialledBody(call_id=call_id, transport_id=transport_id)))

    def _dialler(self, body: DialBody) -> Dialler:
        listener = self.listeners.get(body.listener)
        if listener is None:
            names = ", ".join(self.listeners)
            raise HTTPException(HTTPStatus.NOT_FOUND, f"unknown listener {body.listener!r}; listeners: {names}")
        if not isinstance(listener, Dialler):
            reason = f"listener: the transport of {body.listener!r} takes calls, and can make none"
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, reason)
        if not body.target.strip():
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, "target: is empty")
        pipelines = self.answerer.pipelines_of(body.listener)
        if body.pipeline and body.pipeline not in pipelines:
            reason = f"pipeline: the listener's set has no pipeline {body.pipeline!r} open"
            hint = f"pipelines: {', '.join(pipelines)}; give it a route or `selectable: true`"
            raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, f"{reason}; {hint}")
        return listener

    async def _asked(self, request: Request, kind: type[Body]) -> tuple[ActiveCall, Body]:
        """Returns the call of a request, and its body."""
        check_parameters(request)
        body = structured(kind, await body_of(request, MAX_BODY))
        name = as_transport_id(request.path_params["call"])
        if (active := self.answerer.find(name)) is not None:
            return active, body
        if (over := self.ended.find(name)) is not None:
            raise HTTPException(HTTPStatus.CONFLICT, f"the call is over: {over.outcome}")
        raise HTTPException(HTTPStatus.NOT_FOUND, f"no call {name!r} is up; GET /calls lists those that are")


def structured(kind: type[Body], content: bytes) -> Body:
    """Returns a body as an instance of its class.

    Raises:
        HTTPException: it is no JSON object (400), or a field is unknown, missing or of another type (422).

    """
    try:
        data = json.loads(content) if content.strip() else {}
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise HTTPException(HTTPStatus.BAD_REQUEST, "the body must be a JSON object")
    known: Any = fields(kind)  # type: ignore[arg-type]  # an attrs class
    names = [attribute.name for attribute in known]
    types = get_type_hints(kind, include_extras=True)
    for name, value in data.items():
        if name not in names:
            _unfit(f"unknown field {name!r}; fields: {', '.join(names)}")
        if expected := _fault(types[name], value):
            _unfit(f"{name}: must be {expected}, not {json.dumps(value)[:100]}")
    for attribute in known:
        if attribute.default is NOTHING and attribute.name not in data:
            _unfit(f"{attribute.name}: is missing; {(attribute.name)!r} is required")
    return kind(**data)


def _fault(kind: Any, value: Any) -> str:
    """Returns what a value should have been; empty if it is of its type."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _fault(inside[0], value) or ("" if value > 0 else "more than 0")
    if origin is UnionType or NoneType in inside:
        faults = [_fault(member, value) for member in inside]
        return "" if "" in faults else " or ".join(faults)
    if origin is Literal:
        return "" if value in inside else " or ".join(map(json.dumps, inside))
    if origin is Mapping:
        texts = isinstance(value, dict) and all(isinstance(item, str) for item in value.values())
        return "" if texts else "an object of texts"
    types, name = _SCALARS[kind]
    return "" if isinstance(value, types) and (kind is bool or not isinstance(value, bool)) else name


_SCALARS: Mapping[Any, tuple[Any, str]] = {
    NoneType: (NoneType, "null"),
    bool: (bool, "true or false"),
    float: (int | float, "a number"),
    str: (str, "a text"),
}
"""The Python types of JSON's scalars, and their names for people, by the type of a field."""


def _steered(active: ActiveCall, request: Request) -> SteerableCall:
    """Returns the call of a request, for the operator who makes it."""
    from_command = request.headers.get("user-agent", "").startswith(COMMAND)
    return active.call.steered_by("operator:cli" if from_command else "operator:http")


def _heard(active: ActiveCall, outcome: SayOutcome) -> Response:
    return JSONAnswer(as_data(SteeredBody(call_id=active.call.call_id, heard=outcome.heard, whole=outcome.whole)))


def _done(active: ActiveCall) -> Response:
    return JSONAnswer(as_data(SteeredBody(call_id=active.call.call_id)))


def _refuse(error: Exception) -> NoReturn:
    """Raises the answer to a request that a call has refused."""
    status = HTTPStatus.UNPROCESSABLE_ENTITY if isinstance(error, ValueError) else HTTPStatus.CONFLICT
    raise HTTPException(status, str(error)) from error


def _unfit(reason: str) -> NoReturn:
    raise HTTPException(HTTPStatus.UNPROCESSABLE_ENTITY, reason)
