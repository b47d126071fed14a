"""The control in OpenAPI 3.1's words, for clients and for those who write them."""

from __future__ import annotations

from typing import Any

from voicepipe import __version__

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
MOMENT: Schema = {"type": "string", "format": "date-time", "description": "UTC"}
NUMBER: Schema = {"type": "integer", "minimum": 0}
SECONDS: Schema = {"type": "number", "minimum": 0}
DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
SERVING: Schema = {"type": ["integer", "null"], "description": "The version that serves; null if none ever has."}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(of: Schema) -> Schema:
    return {"type": "array", "items": of}


def _or_null(of: Schema) -> Schema:
    return {"oneOf": [of, {"type": "null"}]}


def _one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _object(description: str, optional: Schema | None = None, /, **required: Schema) -> Schema:
    return {
        "type": "object",
        "description": description,
        "properties": {**required, **(optional or {})},
        "required": list(required),
        "additionalProperties": False,
    }


_ENGINE_PLAN = (
    "sets_added",
    "sets_removed",
    "sets_moved",
    "listeners_closed",
    "listeners_answered",
    "changed",
)
_ATTEMPT = {"set": TEXT, "trigger": TEXT, "at": MOMENT, "seconds": SECONDS}
_BESIDES = {"engine": _ref("EngineOutcome"), "errors": _list(_ref("Problem")), "serving_version": SERVING}
_VERSION = {
    "version": NUMBER,
    "state": _one_of("serving", "draining", "retired"),
    "calls": NUMBER,
    "digest": DIGEST,
    "active_pipeline": TEXT,
    "applied_at": MOMENT,
    "trigger": TEXT,
}

SCHEMAS: dict[str, Schema] = {
    "Error": _object("Why there is no other answer.", {"serving_version": SERVING}, error=TEXT),
    "Problem": _object(
        "One thing that is wrong with a file.",
        file=TEXT,
        line={"type": "integer", "minimum": 1},
        column={"type": "integer", "minimum": 1},
        path={"type": "string", "description": "Which setting, from the top; empty for the file as a whole."},
        message=TEXT,
        hint=TEXT,
    ),
    "Plan": _object(
        "What a version changed.",
        **{
            name: _list(TEXT)
            for name in (
                *("opened", "kept", "closed", "added", "changed", "removed"),
                *("secrets_changed", "unserved", "settings"),
            )
        },
        active=TEXT,
        was_active=TEXT,
        degraded=_list(_ref("Problem")),
    ),
    "Applied": _object(
        "A new version serves.",
        {"rolled_back_to": NUMBER, **_BESIDES},
        **_ATTEMPT,
        outcome={"const": "applied"},
        version=NUMBER,
        digest=DIGEST,
        plan=_ref("Plan"),
        summary=TEXT,
    ),
    "Unchanged": _object(
        "The files say what is served already.",
        {"rolled_back_to": NUMBER, **_BESIDES},
        **_ATTEMPT,
        outcome={"const": "unchanged"},
        version=NUMBER,
        digest=DIGEST,
        degraded=_list(_ref("Problem")),
    ),
    "Rejected": _object(
        "The files can't be served; what served before serves on.",
        {"rolled_back_to": NUMBER, "engine": _ref("EngineOutcome")},
        **_ATTEMPT,
        outcome={"const": "rejected"},
        reason=_one_of("config", "open", "limit", "defect"),
        serving_version=SERVING,
        digest=_or_null(DIGEST),
        errors=_list(_ref("Problem")),
    ),
    "SetOutcome": {"oneOf": [_ref("Applied"), _ref("Unchanged"), _ref("Rejected")]},
    "EngineOutcome": _object(
        "What reading the engine's own file again came to.",
        {
            "plan": _object("What it changed.", **{name: _list(TEXT) for name in _ENGINE_PLAN}),
            "summary": TEXT,
            "errors": _list(_ref("Problem")),
        },
        outcome=_one_of("applied", "unchanged", "rejected"),
        trigger=TEXT,
        at=MOMENT,
        seconds=SECONDS,
    ),
    "SetsReloaded": _object(
        "The fate of each of several sets, and, if something is wrong anywhere, all of that.",
        {"engine": _ref("EngineOutcome"), "errors": _list(_ref("Problem"))},
        sets=_list(_ref("SetOutcome")),
    ),
    "Reloaded": {"oneOf": [_ref("SetOutcome"), _ref("SetsReloaded")]},
    "Version": _object("One version of a set.", **_VERSION),
    "VersionDetail": _object(
        "One version by itself.",
        set=TEXT,
        **_VERSION,
        plan=_ref("Plan"),
        config={"type": "object", "description": "The effective configuration; secrets are not in it."},
    ),
    "Component": _object(
        "How a component does that the set's next call may use; it may be shared with other sets.",
        role=_one_of("stt", "llm", "tts"),
        name=TEXT,
        adapter=TEXT,
        model={"type": ["string", "null"]},
        state={
            **_one_of("closed", "open", "half_open"),
            "description": "`closed`: calls use it; `open`: they leave it alone; `half_open`: it is being tried.",
        },
        was_open={"type": "boolean", "description": "Whether it has been open since a version has it."},
        retry_s={**SECONDS, "description": "Until it is tried again; 0 while it is not left alone."},
        error=_or_null(_object("Why calls leave it alone.", message=TEXT, answered=TEXT, hint=TEXT)),
        successes={**NUMBER, "description": "How many attempts of calls gave something useful."},
        failures={**NUMBER, "description": "How many failed by its fault."},
        excused={**NUMBER, "description": "How many failed for no fault of its own."},
    ),
    "Set": _object(
        "Where a set stands.",
        set=TEXT,
        state={
            **_one_of("serving", "opening", "rejected", "removed"),
            "description": "`rejected`: never fit so far; `removed`: only calls hold it.",
        },
        file=TEXT,
        version=SERVING,
        digest=_or_null(DIGEST),
        active_pipeline={"type": ["string", "null"]},
        pipelines=_list(TEXT),
        degraded={
            **_list(_ref("Problem")),
            "description": "What of the serving version is not there by now, and is tried again.",
        },
        components=_list(_ref("Component")),
        versions=_list(_ref("Version")),
        last_known_good={"type": "boolean", "description": "Whether it serves what was kept of an earlier run."},
        last_attempt=_or_null(_ref("SetOutcome")),
    ),
    "Sets": _object(
        "All sets that the engine's file names, those that were, and that file if there is one.",
        sets=_list(_ref("Set")),
        removed=_list(_ref("Set")),
        engine=_or_null(_object("The engine's file.", file=TEXT, last_attempt=_or_null(_ref("EngineOutcome")))),
    ),
    "Calls": _object(
        "What each call is doing.",
        calls=_list(
            _object(
                "A call.",
                call_id=TEXT,
                transport_id=TEXT,
                set=TEXT,
                version=NUMBER,
                pipeline=TEXT,
                caller=TEXT,
                called=TEXT,
                since=MOMENT,
                state=_one_of("listening", "hearing", "speaking"),
                turns=NUMBER,
            )
        ),
    ),
    "Call": _object(
        "How a call stands, or what became of it.",
        call_id={**TEXT, "description": "Empty if it was refused."},
        transport_id=TEXT,
        set=TEXT,
        state=_one_of("listening", "hearing", "speaking", "ended"),
        outcome={"type": ["string", "null"], "description": "As in `CallEnded`, or `refused`; null while it is up."},
        detail={**TEXT, "description": "The transfer's target, or the reason."},
        ended=_or_null(MOMENT),
    ),
    "Status": _object("How far the engine has come.", status=_one_of("ok", "starting", "ready", "draining")),
}


def _answer(description: str, schema: str) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": _ref(schema)}}}


def _operation(summary: str, answers: dict[int, Schema], *parameters: Schema, open_to_all: bool = False) -> Schema:
    refused = {} if open_to_all else {401: _answer("The token is missing or wrong; over TCP only.", "Error")}
    foreign = {403: _answer("It comes from a page elsewhere; over TCP only.", "Error")}
    described: Schema = {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {str(status): answer for status, answer in {**answers, **refused, **foreign}.items()},
    }
    return {**described, "security": []} if open_to_all else described


def _parameter(name: str, where: str, description: str, schema: Schema = TEXT) -> Schema:
    return {"name": name, "in": where, "description": description, "required": where == "path", "schema": schema}


_SET = _parameter("set", "path", "The set's name.")
_IF_MATCH = _parameter("If-Match", "header", 'Only if this version serves: `"3"`.')
_CHANGED = {
    400: _answer("The request makes no sense.", "Error"),
    404: _answer("There is no such set, or no such version.", "Error"),
    412: _answer("Another version serves than `If-Match` says.", "Error"),
    503: _answer("The set is closing.", "Error"),
}
_TO = _object("What to go back to.", {"to": {"type": ["integer", "null"], "description": "A version."}})

OPENAPI: Schema = {
    "openapi": "3.1.0",
    "info": {"title": "reference-engine control", "version": __version__},
    "paths": {
        "/-/reload": {
            "post": _operation(
                "Reads the files again, and answers when that is done.",
                {
                    200: _answer("All of them are served now.", "Reloaded"),
                    422: _answer("Some can't be served; each has its own fate.", "Reloaded"),
                    **_CHANGED,
                },
                _parameter("set", "query", "Only this set; left out: the engine's file and all sets."),
                _parameter(
                    "force",
                    "query",
                    "Leave a rollback; serve without a component that works now and would be lost.",
                    {"type": "boolean"},
                ),
                _IF_MATCH,
            )
        },
        "/sets/{set}/rollback": {
            "post": {
                **_operation(
                    "Serves what an earlier version served, as a new version.",
                    {
                        200: _answer("It serves now.", "SetOutcome"),
                        422: _answer("It can't be opened any more.", "SetOutcome"),
                        **_CHANGED,
                        408: _answer("The body did not arrive.", "Error"),
                        413: _answer("The body is too large.", "Error"),
                    },
                    _SET,
                    _IF_MATCH,
                ),
                "requestBody": {"required": False, "content": {"application/json": {"schema": _TO}}},
            }
        },
        "/sets": {"get": _operation("Where each set stands.", {200: _answer("Each of them.", "Sets")})},
        "/sets/{set}/versions/{version}": {
            "get": _operation(
                "What a version was built from, and what it changed.",
                {
                    200: _answer("That version.", "VersionDetail"),
                    404: _answer("There is no such set, or no such version.", "Error"),
                },
                _SET,
                _parameter("version", "path", "Its number.", NUMBER),
            )
        },
        "/calls": {"get": _operation("What each call is doing.", {200: _answer("Each of them.", "Calls")})},
        "/calls/{call}": {
            "get": _operation(
                "How a call stands, or what became of one that has ended in the last ten minutes.",
                {
                    200: _answer("How it stands; with `field`, that field's value as plain text.", "Call"),
                    400: _answer("There is no such field.", "Error"),
                    404: _answer("There is no such call.", "Error"),
                },
                _parameter("call", "path", "The engine's ID of the call, or its transport's: AudioSocket's UUID."),
                _parameter("field", "query", "One field of the answer, for a dialplan's `CURL()`."),
            )
        },
        "/healthz": {
            "get": _operation("Whether the process is alive.", {200: _answer("It is.", "Status")}, open_to_all=True)
        },
        "/readyz": {
            "get": _operation(
                "Whether calls are answered.",
                {200: _answer("They are.", "Status"), 503: _answer("Not yet, or not any more.", "Status")},
                open_to_all=True,
            )
        },
        "/metrics": {
            "get": _operation(
                "What Prometheus scrapes.",
                {200: {"description": "Its text format.", "content": {"text/plain": {"schema": TEXT}}}},
                open_to_all=True,
            )
        },
        "/openapi.json": {
            "get": _operation(
                "This description.",
                {200: {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}}},
                open_to_all=True,
            )
        },
    },
    "components": {
        "schemas": SCHEMAS,
        "securitySchemes": {
            "token": {"type": "http", "scheme": "bearer", "description": "`admin.token`, over TCP and if it is set."}
        },
    },
    "security": [{"token": []}],
}
"""The description that `GET /openapi.json` answers."""
