"""The classes of the engine's JSON: what is left out and what is null, and the schemas that are made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

import attrs
import jsonschema
import pytest

from reference_engine.control.openapi import OPENAPI
from reference_engine.control.operations import OPERATIONS
from reference_engine.control.schemas import NamedSchemas
from reference_engine.reloads.outcomes import EngineOutcome, ReloadResult
from reference_engine.reports import reload_bodies, status_bodies
from reference_engine.reports.json_bodies import reloaded_body
from reference_engine.reports.json_types import LEFT_OUT, Count, Digest, LeftOut, Moment, as_data
from reference_engine.reports.reload_bodies import AppliedBody, SetOutcomeBody
from reference_engine.reports.status_bodies import ErrorBody
from voicepipe import Applied, Location, LoggingSettings, Plan, Problem, Rejected, Unchanged

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PROBLEM = Problem(where=Location("a.yaml", 1, 2), path="stt", message="no such component", hint="did you mean vosk?")
OF = {"set": "main", "at": AT, "seconds": 1.23456, "trigger": "control", "digest": "0" * 64}

OUTCOMES = [
    Applied(**OF, version=2, plan=Plan(opened=("tts a",), degraded=(PROBLEM,)), logging=LoggingSettings()),
    Applied(**OF, version=3, plan=Plan(), logging=LoggingSettings(), rolled_back_to=1),
    Unchanged(**OF, version=2, degraded=(PROBLEM,)),
    Rejected(**OF, version=2, reason="config", problems=(PROBLEM,)),
    Rejected(**(OF | {"digest": None}), version=2, reason="open", problems=(PROBLEM,), rolled_back_to=1),
]
ENGINES = [
    None,
    EngineOutcome(outcome="applied", trigger="watch", at=AT, seconds=1.0),
    EngineOutcome(outcome="unchanged", trigger="watch", at=AT, seconds=1.0),
    EngineOutcome(outcome="rejected", trigger="watch", at=AT, seconds=1.0, problems=(PROBLEM,)),
]


def validate(data, name):
    schema = {"$ref": f"#/components/schemas/{name}", "components": OPENAPI["components"]}
    jsonschema.validate(json.loads(json.dumps(data)), schema)


def test_what_is_left_out_has_no_key_and_null_has_one():
    assert as_data(ErrorBody(error="no")) == {"error": "no"}
    assert as_data(ErrorBody(error="no", serving_version=LEFT_OUT)) == {"error": "no"}
    assert as_data(ErrorBody(error="no", serving_version=None)) == {"error": "no", "serving_version": None}
    assert as_data(ErrorBody(error="no", serving_version=3)) == {"error": "no", "serving_version": 3}


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine and engine.outcome)
@pytest.mark.parametrize("sets", [*((outcome,) for outcome in OUTCOMES), (), tuple(OUTCOMES)], ids=len)
def test_every_outcome_of_a_reload_is_as_its_schema_says(engine, sets):
    body = reloaded_body(ReloadResult(engine, sets), {})
    validate(body, "Reloaded")
    wrong = [outcome for outcome in sets if isinstance(outcome, Rejected)]
    errors = len(wrong) + (engine is not None and engine.outcome == "rejected")
    assert len(body.get("errors", ())) == errors
    assert ("engine" in body) == (engine is not None)
    outcomes = body["sets"] if len(sets) != 1 else [body]
    assert [one["outcome"] for one in outcomes] == [type(outcome).__name__.lower() for outcome in sets]


def test_keys_stand_in_the_order_of_the_fields():
    """Also those that are not always there: a log is read by people."""
    keys = list(reloaded_body(ReloadResult(ENGINES[3], (OUTCOMES[1],)), {}))
    assert keys == [field.name for field in attrs.fields(AppliedBody)]


def test_what_needs_the_token_is_said_to():
    for operation in OPERATIONS:
        described = OPENAPI["paths"][operation.path][operation.method.lower()]
        assert ("401" in described["responses"]) != operation.open_to_all
        assert described.get("security") == ([] if operation.open_to_all else None)


def test_every_field_of_every_body_is_described():
    named = vars(reload_bodies) | vars(status_bodies)
    bodies = [body for name, body in named.items() if name.endswith("Body") and isinstance(body, type)]
    assert len(bodies) > 15
    for body in bodies:
        schema = NamedSchemas({})._define(body)
        assert schema["description"]
        for name, field in schema["properties"].items():
            assert field["description"].endswith("."), f"{body.__name__}.{name}"


@attrs.frozen
class Other:
    """Something else."""

    name: str
    """Its name."""


@pytest.mark.parametrize(
    ("kind", "schema"),
    [
        (str, {"type": "string"}),
        (bool, {"type": "boolean"}),
        (str | None, {"type": ["string", "null"]}),
        (int | LeftOut | None, {"type": ["integer", "null"]}),
        (int | LeftOut, {"type": "integer"}),
        (Count, {"type": "integer", "minimum": 0}),
        (Digest | None, {"oneOf": [{"type": "string", "pattern": "^[0-9a-f]{64}$"}, {"type": "null"}]}),
        (Moment, {"type": "string", "format": "date-time"}),
        (Literal["a"], {"const": "a"}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (tuple[str, ...], {"type": "array", "items": {"type": "string"}}),
        (Mapping[str, Any], {"type": "object"}),
        (Other, {"$ref": "#/components/schemas/Other"}),
        (SetOutcomeBody, {"$ref": "#/components/schemas/SetOutcome"}),
        (SetOutcomeBody | None, {"oneOf": [{"$ref": "#/components/schemas/SetOutcome"}, {"type": "null"}]}),
        (
            SetOutcomeBody | Other,
            {"oneOf": [{"$ref": "#/components/schemas/SetOutcome"}, {"$ref": "#/components/schemas/Other"}]},
        ),
        (ErrorBody | Other, {"oneOf": [NamedSchemas({}).of(ErrorBody), {"$ref": "#/components/schemas/Other"}]}),
    ],
    ids=str,
)
def test_types_have_schemas(kind, schema):
    assert NamedSchemas({"Other": Other, "SetOutcome": SetOutcomeBody}).of(kind) == schema


@pytest.mark.parametrize("kind", [bytes, set[str], complex, None], ids=str)
def test_what_json_has_no_form_for_has_no_schema(kind):
    with pytest.raises(TypeError, match="has no form in JSON"):
        NamedSchemas({}).of(kind)


def test_named_schemas_refer_to_each_other():
    schemas = NamedSchemas({"SetOutcome": SetOutcomeBody} | {cls.__name__: cls for cls in get_args(SetOutcomeBody)})
    assert schemas.components()["SetOutcome"] == {
        "oneOf": [{"$ref": f"#/components/schemas/{cls.__name__}"} for cls in get_args(SetOutcomeBody)]
    }
