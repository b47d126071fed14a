"""The control as its description has it: every route, and real answers held against the schemas."""

from __future__ import annotations

import jsonschema
import pytest
from engine_process import open_engine
from jsonschema import Draft202012Validator

from reference_engine.control.openapi import OPENAPI
from reference_engine.control.operations import OPERATIONS
from voicepipe.testing.audiosocket_caller import open_audiosocket_call


def schema_of(method, path, status):
    answers = OPENAPI["paths"][path][method.lower()]["responses"]
    content = answers[str(status)]["content"]
    return {**next(iter(content.values()))["schema"], "components": OPENAPI["components"]}


@pytest.fixture
def ask(engine):
    """Asks, and holds what is answered against the description."""

    async def asking(method, path, status=200, *, of=None, **request):
        answer = await engine.ask(method, path, **request)
        assert answer.status_code == status
        if answer.headers["content-type"] == "application/json":
            jsonschema.validate(answer.json(), schema_of(method, of or path.partition("?")[0], status))
            return answer.json()
        return answer.text

    return asking


def test_every_route_is_described_and_nothing_else():
    described = {(method.upper(), path) for path, item in OPENAPI["paths"].items() for method in item}
    assert described == {(operation.method, operation.path) for operation in OPERATIONS}
    for schema in OPENAPI["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_answers_are_as_described(engine, ask):
    rollback, version = "/sets/{set}/rollback", "/sets/{set}/versions/{version}"
    assert await ask("GET", "/healthz") == {"status": "ok"}
    assert await ask("GET", "/readyz") == {"status": "ready"}
    assert (await ask("GET", "/openapi.json"))["openapi"] == "3.1.0"
    async with open_audiosocket_call(port=engine.port) as caller:
        await engine.logged("call.started")
        (call,) = (await ask("GET", "/calls"))["calls"]
        assert call["transport_id"] == str(caller.call_id)
        engine.edit("active_pipeline: default", "active_pipeline: night")
        assert (await ask("POST", "/-/reload"))["version"] == 2
        await ask("GET", "/sets")
    engine.edit("active_pipeline: night", "active_pipeline: nigth")
    await ask("POST", "/-/reload", 422)
    await ask("POST", "/-/reload?set=nobody", 404)
    await ask("POST", "/-/reload", 412, headers={"If-Match": '"7"'})
    await ask("GET", "/sets")

    back = await ask("POST", "/sets/main/rollback", of=rollback)
    assert (back["version"], back["rolled_back_to"], back["plan"]["active"]) == (3, 1, "default")
    engine.edit("active_pipeline: nigth", "active_pipeline: night")
    assert (await ask("POST", "/-/reload"))["outcome"] == "applied"
    forth = await ask("POST", "/sets/main/rollback", of=rollback, json={"to": 1})
    assert (forth["version"], forth["rolled_back_to"]) == (5, 1)
    assert (await ask("POST", "/-/reload"))["rolled_back_to"] == 1
    assert (await ask("POST", "/-/reload?force=true"))["version"] == 6
    await ask("POST", "/sets/main/rollback", 404, of=rollback, json={"to": 99})
    await ask("POST", "/sets/nobody/rollback", 404, of=rollback)
    await ask("POST", "/sets/main/rollback", 412, of=rollback, headers={"If-Match": "1"})
    for body in (b"{", b"[]", b'{"to": "1"}', b'{"to": true}', b'{"ot": 1}', b"[" * 4000):
        await ask("POST", "/sets/main/rollback", 400, of=rollback, content=body)
    await ask("POST", "/sets/main/rollback", 413, of=rollback, content=b" " * 5000)
    await ask("GET", "/sets/main/versions/3", of=version)
    await ask("GET", "/sets/main/versions/77", 404, of=version)

    samples = await engine.samples()
    assert samples['voicepipe_reloads_total{outcome="rejected",reason="config",set="main"}'] == 1
    assert samples['voicepipe_calls_total{outcome="caller_hung_up",pipeline="default",set="main"}'] == 1
    assert (await engine.ask("GET", "/metrics")).headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_several_sets_and_the_engine_s_file_are_as_described(home):
    async with open_engine(home, file="engine.yaml") as engine:

        async def ask(method, path, status=200):
            answer = await engine.ask(method, path)
            assert answer.status_code == status
            jsonschema.validate(answer.json(), schema_of(method, path, status))
            return answer.json()

        assert len((await ask("POST", "/-/reload"))["sets"]) == 2
        (home / "bad.yaml").write_text("")
        engine.edit("acme: acme.yaml}", "acme: acme.yaml, bad: bad.yaml}", file="engine.yaml")
        assert (await ask("POST", "/-/reload", 422))["engine"]["outcome"] == "applied"
        assert [one["state"] for one in (await ask("GET", "/sets"))["sets"]] == ["serving", "serving", "rejected"]
        (home / "engine.yaml").write_text("")
        assert (await ask("POST", "/-/reload", 422))["engine"]["outcome"] == "rejected"
        assert (await ask("GET", "/sets"))["engine"]["last_attempt"]["outcome"] == "rejected"


async def test_readiness_from_start_to_stop(home):
    async with open_engine(home, ready=False) as engine:
        await engine.logged("engine.starting")
        starting = await engine.ask("GET", "/readyz")
        # or the start was quicker than the request
        assert (starting.status_code, starting.json()["status"]) in {(503, "starting"), (200, "ready")}
        assert (await engine.ask("GET", "/healthz")).status_code == 200
        await engine.logged("engine.ready")
        assert (await engine.ask("GET", "/readyz")).status_code == 200
        async with open_audiosocket_call(port=engine.port):
            await engine.logged("call.started")
            engine.process.terminate()
            await engine.logged("engine.draining")
            draining = await engine.ask("GET", "/readyz")
            assert (draining.status_code, draining.json()) == (503, {"status": "draining"})
            assert (await engine.ask("GET", "/healthz")).status_code == 200
        assert await engine.ended() == 0
