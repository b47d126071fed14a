"""Makes the OpenAPI 3.1 document of the control, from its table of operations and the classes of its bodies."""

from __future__ import annotations

from typing import Any

from reference_engine.control.operations import OPERATIONS, Answer, Operation, Parameter
from reference_engine.control.schemas import NamedSchemas, Schema
from reference_engine.reports import reload_bodies as reloads
from reference_engine.reports import status_bodies as status
from voicepipe import __version__

_SCHEMAS = NamedSchemas(
    {
        "Error": status.ErrorBody,
        "Problem": reloads.ProblemBody,
        "Plan": reloads.PlanBody,
        "Applied": reloads.AppliedBody,
        "Unchanged": reloads.UnchangedBody,
        "Rejected": reloads.RejectedBody,
        "SetOutcome": reloads.SetOutcomeBody,
        "EngineOutcome": reloads.EngineOutcomeBody,
        "SetsReloaded": reloads.SetsReloadedBody,
        "Reloaded": reloads.ReloadedBody,
        "Version": status.VersionBody,
        "VersionDetail": status.VersionDetailBody,
        "Component": status.ComponentBody,
        "Set": status.SetBody,
        "Sets": status.SetsBody,
        "Calls": status.CallsBody,
        "Call": status.CallBody,
        "Announcement": status.AnnouncementBody,
        "Announced": status.AnnouncedBody,
        "Status": status.StatusBody,
    }
)
"""The schemas with names, which others refer to; other classes are described where they are used."""

_NO_TOKEN = Answer("The token is missing or wrong; over TCP only.")
_FOREIGN_PAGE = Answer("The request comes from a web page elsewhere; over TCP only.")


def _describe(operation: Operation) -> Schema:
    answers = {**operation.answers, **({} if operation.open_to_all else {401: _NO_TOKEN}), 403: _FOREIGN_PAGE}
    described: Schema = {
        "summary": operation.summary,
        "parameters": [_parameter(parameter) for parameter in operation.parameters],
        "responses": {
            str(status): {"description": answer.description, "content": _content(answer.kind, answer.media_type)}
            for status, answer in answers.items()
        },
    }
    if operation.body is not None:
        described["requestBody"] = {"required": False, "content": _content(operation.body)}
    if operation.open_to_all:
        described["security"] = []
    return described


def _parameter(parameter: Parameter) -> Schema:
    return {
        "name": parameter.name,
        "in": parameter.where,
        "description": parameter.description,
        "required": parameter.where == "path",
        "schema": _SCHEMAS.of(parameter.kind),
    }


def _content(kind: Any, media_type: str = "application/json") -> Schema:
    return {media_type: {"schema": _SCHEMAS.of(kind)}}


def _paths() -> dict[str, Schema]:
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _describe(operation)
    return paths


OPENAPI: Schema = {
    "openapi": "3.1.0",
    "info": {"title": "reference-engine control", "version": __version__},
    "paths": _paths(),
    "components": {
        "schemas": _SCHEMAS.components(),
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "description": "`admin.token`, over TCP and if it is set."}
        },
    },
    "security": [{"token": []}],
}
"""The document that `GET /openapi.json` answers, made when the engine starts: no request waits for it."""
