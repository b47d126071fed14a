"""The control's operations as one table: what is asked, which method of `Control` answers, and with what.

The HTTP application takes its routes from it, the guard of the TCP port what needs no token, and OpenAPI all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from attrs import frozen

from reference_engine.reports.json_types import Count
from reference_engine.reports.reload_bodies import ReloadedBody, SetOutcomeBody
from reference_engine.reports.status_bodies import (
    CallBody,
    CallsBody,
    ErrorBody,
    RollbackBody,
    SetsBody,
    StatusBody,
    VersionDetailBody,
)


@frozen
class Parameter:
    """Something that a request says besides its path and body."""

    name: str
    """Its name."""
    where: Literal["path", "query", "header"]
    """Where it stands; what stands in the path is required."""
    description: str
    """What it is."""
    kind: Any = str
    """Its type."""


@frozen
class Answer:
    """What an operation may answer with one status."""

    description: str
    """What that means."""
    kind: Any = ErrorBody
    """The type of the body."""
    media_type: str = "application/json"
    """The body's media type."""


@frozen
class Operation:
    """One thing that can be asked of the control."""

    method: Literal["GET", "POST"]
    """HTTP's method."""
    path: str
    """The path, with parameters in braces."""
    answered_by: str
    """The method of `Control` that answers."""
    summary: str
    """What it is for."""
    answers: Mapping[int, Answer]
    """What it answers, by status; what any request over TCP may be answered comes on top."""
    parameters: tuple[Parameter, ...] = ()
    """What else the request may say."""
    body: type | None = None
    """The type of the request's body, which may be left out; None: it has none."""
    open_to_all: bool = False
    """Whether it needs no token over TCP: what probes and scrapers read, without any caller's number in it."""


_SET = Parameter("set", "path", "The set's name.")
_IF_MATCH = Parameter("If-Match", "header", 'Only if this version serves: `"3"`.')
_CHANGE_REFUSED = {
    400: Answer("The request makes no sense."),
    404: Answer("There is no such set, or no such version."),
    412: Answer("Another version serves than `If-Match` says."),
    503: Answer("The set is closing."),
}

OPERATIONS = (
    Operation(
        "POST",
        "/-/reload",
        "reload",
        "Reads the files again, and answers when that is done.",
        {
            200: Answer("All of them are served now.", ReloadedBody),
            422: Answer("Some can't be served; each has its own fate.", ReloadedBody),
            **_CHANGE_REFUSED,
        },
        (
            Parameter("set", "query", "Only this set; left out: the engine's file and all sets."),
            Parameter(
                "force", "query", "Leave a rollback; serve without a component that works now and would be lost.", bool
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
            200: Answer("It serves now.", SetOutcomeBody),
            422: Answer("It can't be opened any more.", SetOutcomeBody),
            **_CHANGE_REFUSED,
            408: Answer("The body did not arrive."),
            413: Answer("The body is too large."),
        },
        (_SET, _IF_MATCH),
        body=RollbackBody,
    ),
    Operation("GET", "/sets", "show_sets", "Where each set stands.", {200: Answer("Each of them.", SetsBody)}),
    Operation(
        "GET",
        "/sets/{set}/versions/{version}",
        "show_version",
        "What a version was built from, and what it changed.",
        {
            200: Answer("That version.", VersionDetailBody),
            404: Answer("There is no such set, or no such version."),
        },
        (_SET, Parameter("version", "path", "Its number.", Count)),
    ),
    Operation("GET", "/calls", "show_calls", "What each call is doing.", {200: Answer("Each of them.", CallsBody)}),
    Operation(
        "GET",
        "/calls/{call}",
        "show_call",
        "How a call stands, or what became of one that has ended in the last ten minutes.",
        {
            200: Answer("How it stands; with `field`, that field's value as plain text.", CallBody),
            400: Answer("There is no such field."),
            404: Answer("There is no such call."),
        },
        (
            Parameter("call", "path", "The engine's ID of the call, or its transport's: AudioSocket's UUID."),
            Parameter("field", "query", "One field of the answer, for a dialplan's `CURL()`."),
        ),
    ),
    Operation(
        "GET",
        "/healthz",
        "healthz",
        "Whether the process is alive.",
        {200: Answer("It is.", StatusBody)},
        open_to_all=True,
    ),
    Operation(
        "GET",
        "/readyz",
        "readyz",
        "Whether calls are answered.",
        {200: Answer("They are.", StatusBody), 503: Answer("Not yet, or not any more.", StatusBody)},
        open_to_all=True,
    ),
    Operation(
        "GET",
        "/metrics",
        "show_metrics",
        "What Prometheus scrapes.",
        {200: Answer("Its text format.", str, "text/plain")},
        open_to_all=True,
    ),
    Operation(
        "GET",
        "/openapi.json",
        "show_openapi",
        "This description.",
        {200: Answer("OpenAPI 3.1.", Mapping[str, Any])},
        open_to_all=True,
    ),
)
"""All of them."""
