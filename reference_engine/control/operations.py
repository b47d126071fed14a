"""The operations of the control as a table: each request, the method of `Control` that answers it, and its answers.

The HTTP application makes its routes of it, the access control of the TCP port the paths without a token, and the
OpenAPI document everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from reference_engine.reports.json_types import Count
from reference_engine.reports.reload_bodies import ReloadedBody, SetOutcomeBody
from reference_engine.reports.status_bodies import (
    AnnouncedBody,
    AnnouncementBody,
    CallBody,
    CallsBody,
    ConfigurationBody,
    DrainedBody,
    ErrorBody,
    PausedBody,
    RollbackBody,
    SetsBody,
    StatusBody,
    VersionDetailBody,
    WithdrawnBody,
)
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


@frozen
class Parameter:
    """A parameter of a request."""

    name: str
    """The parameter's name."""
    where: Literal["path", "query", "header"]
    """The part of the request that contains it; a parameter in the path is required."""
    description: str
    """The meaning."""
    kind: Any = str
    """The type of its value."""


@frozen
class Answer:
    """One answer of an operation, by its status."""

    description: str
    """The meaning of the status."""
    kind: Any = ErrorBody
    """The type of the body."""
    media_type: str = "application/json"
    """The body's media type."""


@frozen
class Operation:
    """One request that the control answers."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    """The HTTP method."""
    path: str
    """The path, with parameters in braces."""
    answered_by: str
    """The name of the method of `Control` that answers, or of one of its parts: `requests.say`."""
    summary: str
    """The purpose."""
    answers: Mapping[int, Answer]
    """The answers by status, without those of the access control."""
    parameters: tuple[Parameter, ...] = ()
    """The parameters."""
    body: type | None = None
    """The type of the request's body, which may be left out; None: there is none."""
    open_to_all: bool = False
    """True: it needs no token over TCP, because probes and scrapers use it and it shows no caller's number."""


_SET = Parameter("set", "path", "The set's name.")
_IF_MATCH = Parameter("If-Match", "header", 'Carries out the change only if this version serves: `"3"`.')
_CHANGE_REFUSED = {
    400: Answer("The request is invalid."),
    404: Answer("There is no such set, or no such version."),
    412: Answer("The version in `If-Match` does not serve."),
    503: Answer("The set is closing."),
}

_ANNOUNCED_CALL = Parameter("call", "path", "The transport's ID of the call: AudioSocket's UUID.")
_ANNOUNCED = {
    200: Answer("The call may connect; to a form the answer is the text `announced`.", AnnouncedBody),
    400: Answer("The ID or the body is invalid."),
    408: Answer("The body did not arrive."),
    409: Answer("The call is up already."),
    413: Answer("The body is too large."),
    422: Answer("No set that serves has opened that pipeline."),
    503: Answer("Too many announced calls have not connected yet."),
}

_CALL = Parameter("call", "path", "The engine's ID of the call, or its transport's: AudioSocket's UUID.")
_NOT_STEERED = {
    400: Answer("The body is no JSON object, or there are parameters."),
    404: Answer("There is no such call."),
    408: Answer("The body did not arrive."),
    409: Answer("The call is over or ends, or nobody took the transfer."),
    413: Answer("The body is too large."),
    422: Answer("A field is unknown, missing, or can't be used."),
}
_HEARD = "The text was heard, or as much of it as the body says."
_STEERING: tuple[tuple[str, str, type, str, str], ...] = (
    ("say", "say", SayBody, "Has the agent say a text; answers when it was heard.", _HEARD),
    ("play", "play", PlayBody, "Plays a WAV file to the caller; answers when it was heard.", _HEARD),
    ("tell", "tell", TellBody, "Tells the model a fact that the caller does not hear.", "The model will know."),
    ("transfer", "transfer", TransferBody, "Transfers the caller; answers when it is decided.", "Somebody took it."),
    ("hang-up", "hang_up", HangUpBody, "Ends the call, after a goodbye if there is one.", "The call ends."),
    ("variables", "set_variables", VariablesBody, "Changes variables of the call.", "They are changed."),
    ("language", "set_language", LanguageBody, "Switches the language of the call.", "It is the next turn's."),
    ("recording", "set_recording", RecordingBody, "Pauses the call's recording, or resumes it.", "It is done."),
)
"""The requests to calls: the path's end, the method of `CallRequests`, the body, the purpose, the meaning of 200."""

OPERATIONS = (
    Operation(
        "POST",
        "/-/reload",
        "reload",
        "Reads the files again, and answers when that is done.",
        {
            200: Answer("All files are served now.", ReloadedBody),
            422: Answer("Some files can't be served; the body has the outcome of each set.", ReloadedBody),
            **_CHANGE_REFUSED,
        },
        (
            Parameter("set", "query", "Reloads only this set; left out: the engine's file and all sets."),
            Parameter(
                "force",
                "query",
                "Ends a rollback; serves without a component that works now if its successor does not open.",
                bool,
            ),
            _IF_MATCH,
        ),
    ),
    Operation(
        "POST",
        "/sets/{set}/rollback",
        "roll_back",
        "Serves what an earlier version served, as a new version.",
        {
            200: Answer("The earlier version serves now.", SetOutcomeBody),
            422: Answer("The earlier version can't be opened any more.", SetOutcomeBody),
            **_CHANGE_REFUSED,
            408: Answer("The body did not arrive."),
            413: Answer("The body is too large."),
        },
        (_SET, _IF_MATCH),
        body=RollbackBody,
    ),
    Operation("GET", "/sets", "show_sets", "Reports the state of all sets.", {200: Answer("The sets.", SetsBody)}),
    Operation(
        "GET",
        "/sets/{set}/versions/{version}",
        "show_version",
        "Reports a version, its changes and its effective configuration.",
        {
            200: Answer("The version.", VersionDetailBody),
            404: Answer("There is no such set, or no such version."),
            409: Answer("The version is of an earlier run, and its copy can't be read any more."),
        },
        (_SET, Parameter("version", "path", "Its number.", Count)),
    ),
    Operation(
        "GET",
        "/configurations/{digest}",
        "show_configuration",
        "Reports a configuration that calls ran on, from the database of records.",
        {
            200: Answer("The configuration.", ConfigurationBody),
            404: Answer("No configuration with that digest is kept."),
            503: Answer("The database of records does not answer."),
        },
        (Parameter("digest", "path", "Its digest, or the first eight characters of it or more."),),
    ),
    Operation(
        "POST",
        "/sets/{set}/versions/{version}/drain",
        "drain_version",
        "Asks the calls of a version that no longer serves to say goodbye and to hang up.",
        {
            200: Answer("They will, each after what it says now.", DrainedBody),
            404: Answer("There is no such set, or no such version."),
            409: Answer("The version serves: its calls would only be followed by others."),
        },
        (_SET, Parameter("version", "path", "Its number.", Count)),
    ),
    Operation("GET", "/calls", "show_calls", "Reports the calls that are up.", {200: Answer("The calls.", CallsBody)}),
    Operation(
        "GET",
        "/calls/{call}",
        "show_call",
        "Reports the state of a call, or the outcome of one that ended in the last ten minutes.",
        {
            200: Answer("The call; with `field`, that field's value as plain text.", CallBody),
            400: Answer("There is no such field."),
            404: Answer("There is no such call."),
        },
        (
            _CALL,
            Parameter(
                "field", "query", "A field of the answer, to be answered as plain text, for a dialplan's `CURL()`."
            ),
        ),
    ),
    Operation(
        "PUT",
        "/calls/{call}",
        "announce",
        "Tells of a call before it connects: its numbers, variables and pipeline.",
        _ANNOUNCED,
        (_ANNOUNCED_CALL,),
        body=AnnouncementBody,
    ),
    Operation(
        "POST",
        "/calls/{call}",
        "announce",
        "Tells of a call as PUT does, for a dialplan's `CURL()`: with a form, or with JSON.",
        _ANNOUNCED,
        (_ANNOUNCED_CALL,),
        body=AnnouncementBody,
    ),
    Operation(
        "DELETE",
        "/calls/{call}",
        "withdraw",
        "Takes an announcement back: a call that connects with that ID is like any other.",
        {
            200: Answer("Nothing is announced for that ID any more.", WithdrawnBody),
            404: Answer("Nothing was announced for it, or the call has connected."),
        },
        (_ANNOUNCED_CALL,),
    ),
    *(
        Operation(
            "POST",
            f"/calls/{{call}}/{path}",
            f"requests.{answered_by}",
            summary,
            {200: Answer(done, SteeredBody), **_NOT_STEERED},
            (_CALL,),
            body=body,
        )
        for path, answered_by, body, summary, done in _STEERING
    ),
    Operation(
        "POST",
        "/calls",
        "requests.dial",
        "Calls somebody, and has a pipeline hold the call.",
        {
            200: Answer("They have answered.", DialledBody),
            409: Answer("Nobody has answered.", NotDialledBody),
            400: Answer("The body is no JSON object."),
            404: Answer("There is no such listener."),
            408: Answer("The body did not arrive."),
            413: Answer("The body is too large."),
            422: Answer("A field can't be used, or the listener's transport can't make calls."),
            503: Answer("The engine starts or stops."),
        },
        body=DialBody,
    ),
    Operation(
        "GET",
        "/healthz",
        "healthz",
        "Reports that the process is alive.",
        {200: Answer("The process is alive.", StatusBody)},
        open_to_all=True,
    ),
    Operation(
        "GET",
        "/readyz",
        "readyz",
        "Reports whether calls are answered.",
        {
            200: Answer("Calls are answered.", StatusBody),
            503: Answer("Calls are not answered yet, or not any more.", StatusBody),
        },
        open_to_all=True,
    ),
    Operation(
        "POST",
        "/-/pause",
        "pause",
        "Takes no new calls until `/-/resume`; calls that are up go on.",
        {
            200: Answer("No new call is taken.", PausedBody),
            400: Answer("There are parameters."),
            409: Answer("The engine starts or stops."),
        },
    ),
    Operation(
        "POST",
        "/-/resume",
        "resume",
        "Takes calls again after `/-/pause`.",
        {
            200: Answer("Calls are taken.", PausedBody),
            400: Answer("There are parameters."),
            409: Answer("The engine starts or stops."),
        },
    ),
    Operation(
        "GET",
        "/metrics",
        "show_metrics",
        "Reports the metrics for Prometheus.",
        {200: Answer("The metrics in Prometheus's text format.", str, "text/plain")},
        open_to_all=True,
    ),
    Operation(
        "GET",
        "/openapi.json",
        "show_openapi",
        "Reports this document.",
        {200: Answer("The document in OpenAPI 3.1.", Mapping[str, Any])},
        open_to_all=True,
    ),
)
"""All operations of the control."""
