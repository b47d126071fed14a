"""Calls that are up are steered over the control, and calls are made."""

from __future__ import annotations

from http import HTTPStatus

import httpx
import pytest
import trio
from engine_process import QUICK, open_engine, run_command
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route

from reference_engine.control.answers import JSONAnswer
from reference_engine.control.call_requests import CallRequests, structured
from reference_engine.lifecycle.readiness import Readiness
from reference_engine.reports.ended_calls import EndedCalls
from reference_engine.reports.steering_bodies import DialBody, SayBody, VariablesBody
from voicepipe import DialFailed
from voicepipe.testing.audiosocket_caller import open_audiosocket_call

SHOWN = QUICK + "logging: {transcripts: full}\n"


@pytest.fixture
async def engine(home):
    (home / "ai-agent.yaml").write_text(SHOWN)
    async with open_engine(home) as engine:
        yield engine


async def test_an_operator_steers_a_call(engine, home):
    async with open_audiosocket_call(port=engine.port) as caller:
        assert await caller.agent_spoke(quiet_ms=100)
        name = await engine.id_of(caller)

        async def ask(what, status=200, **body):
            answer = await engine.ask("POST", f"/calls/{name}/{what}", json=body)
            assert answer.status_code == status, answer.text
            return answer.json()

        assert await ask("say", text="We close.") == {"call_id": name, "heard": "We close.", "whole": True}
        assert await ask("tell", fact="It rains.") == {"call_id": name}
        await ask("variables", variables={"vip": "yes"})
        assert await ask("recording", action="pause") == {"call_id": name, "recorded": False}
        assert (await ask("recording", 422, action="stop"))["error"].startswith('action: must be "pause" or "resume"')
        assert "file: " in (await ask("play", 422, file="none.wav"))["error"]
        assert (await ask("say", 422, txt="We close."))["error"].startswith(
            "unknown field 'txt'; fields: text, interrupt"
        )
        assert (await ask("say", 422, text=" "))["error"] == "text: is empty"
        shown = (await engine.ask("GET", f"/calls/{caller.call_id}")).json()
        assert shown["variables"] == {"vip": "yes"}
        assert [(message["role"], message["text"]) for message in shown["conversation"]] == [
            ("agent", "Hello."),
            ("agent", "We close."),
            ("operator", "It rains."),
        ]
        command = ("steer", name, "hang-up", "--goodbye", "Bye now.", "--control", str(engine.control))
        ended = await run_command(*command, home=home)
        assert (ended.returncode, ended.stdout.decode()) == (0, f"{name}: the call ends\n")
        await caller.hung_up.wait()
    record = await engine.logged("call.ended")
    assert record["outcome"] == "agent_hung_up"
    steered = [record for record in engine.records if record["event"] == "call.steered"]
    assert [(record["action"], record.get("text"), record["by"]) for record in steered] == [
        ("say", "We close.", "operator:http"),
        ("tell", "It rains.", "operator:http"),
        ("set_variables", None, "operator:http"),
        ("pause_recording", None, "operator:http"),
        ("hang_up", "Bye now.", "operator:cli"),
    ]
    over = await engine.ask("POST", f"/calls/{name}/say", json={"text": "More."})
    assert (over.status_code, over.json()["error"]) == (409, "the call is over: agent_hung_up")
    never = await engine.ask("POST", "/calls/nobody/say", json={"text": "More."})
    assert never.status_code == 404
    dialled = await engine.ask("POST", "/calls", json={"listener": "audiosocket", "target": "100"})
    assert dialled.status_code == 422
    assert "takes calls, and can make none" in dialled.json()["error"]


@pytest.mark.parametrize(
    ("kind", "body", "status", "reason"),
    [
        (SayBody, b"[]", 400, "the body must be a JSON object"),
        (SayBody, b"{", 400, "the body must be a JSON object"),
        (SayBody, b"{}", 422, "text: is missing"),
        (SayBody, b'{"text": 5}', 422, "text: must be a text, not 5"),
        (SayBody, b'{"text": "a", "interrupt": 1}', 422, "interrupt: must be true or false, not 1"),
        (VariablesBody, b'{"variables": {"a": 1}}', 422, "variables: must be an object of texts"),
        (DialBody, b'{"listener": "a", "target": "b", "ring_s": 0}', 422, "ring_s: must be more than 0, not 0"),
        (DialBody, b'{"listener": "a", "target": "b", "ring_s": true}', 422, "ring_s: must be a number, not true"),
        (DialBody, b'{"listener": "a", "target": "b", "speaks_first": "x"}', 422, "speaks_first: must be "),
    ],
)
def test_a_body_is_read_strictly(kind, body, status, reason):
    with pytest.raises(HTTPException) as refused:
        structured(kind, body)
    assert refused.value.status_code == status
    assert refused.value.detail.startswith(reason)


def test_what_a_body_leaves_out_is_the_default():
    assert structured(DialBody, b'{"listener": "a", "target": "b"}') == DialBody(listener="a", target="b")
    assert structured(DialBody, b'{"listener": "a", "target": "b", "speaks_first": null, "ring_s": 5}').ring_s == 5


class Telephone:
    """A listener that can call somebody."""

    def __init__(self, fails=None):
        self.fails, self.asked = fails, []

    async def dial(self, request):
        await trio.lowlevel.checkpoint()
        self.asked.append(request)
        if self.fails is not None:
            raise self.fails
        return "channel-7"


class Answerer:
    """As much of a `CallAnswerer` as dialling needs."""

    def find(self, _name):
        return None

    def pipelines_of(self, _listener):
        return ("default",)


async def dial(telephone, *, state="ready", **body):
    readiness = Readiness(state)
    requests = CallRequests(Answerer(), EndedCalls(), readiness, {"pbx": telephone, "deaf": object()})

    async def refused(_request, error):
        return JSONAnswer({"error": error.detail}, error.status_code)

    app = Starlette(
        routes=[Route("/calls", requests.dial, methods=["POST"])], exception_handlers={HTTPException: refused}
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://engine") as client:
        answer = await client.post("/calls", json={"listener": "pbx", "target": "100", **body})
    return answer.status_code, answer.json()


async def test_a_listener_that_can_calls_somebody():
    telephone = Telephone()
    answer = await dial(telephone, caller="+4930", variables={"order": "7"}, pipeline="default", speaks_first="caller")
    assert answer == (HTTPStatus.OK, {"call_id": "", "transport_id": "channel-7"})
    (asked,) = telephone.asked
    assert (asked.target, asked.caller, asked.variables, asked.pipeline) == ("100", "+4930", {"order": "7"}, "default")
    assert (asked.ring_s, asked.speaks_first) == (30.0, "caller")


@pytest.mark.parametrize("outcome", ["busy", "no_answer", "failed"])
async def test_why_nobody_answered_is_told(outcome):
    answer = await dial(Telephone(DialFailed(outcome, "it is as it is")))
    assert answer == (HTTPStatus.CONFLICT, {"error": "it is as it is", "outcome": outcome})


@pytest.mark.parametrize(
    ("body", "state", "status", "reason"),
    [
        ({"listener": "nobody"}, "ready", 404, "unknown listener 'nobody'; listeners: pbx, deaf"),
        ({"listener": "deaf"}, "ready", 422, "listener: the transport of 'deaf' takes calls, and can make none"),
        ({"target": " "}, "ready", 422, "target: is empty"),
        ({"pipeline": "nigth"}, "ready", 422, "pipeline: the listener's set has no pipeline 'nigth' open"),
        ({}, "draining", 503, "the engine starts or stops: it makes no calls now"),
    ],
)
async def test_what_cannot_be_dialled_is_told_in_words(body, state, status, reason):
    telephone = Telephone()
    answered, told = await dial(telephone, state=state, **body)
    assert (answered, telephone.asked) == (status, [])
    assert told["error"].startswith(reason)
