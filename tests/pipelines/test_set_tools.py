"""A pipeline's tools: an integrator's own functions, and those that the file declares, with a real server."""

from __future__ import annotations

import json

import pytest
import trio
from patience import LONG_S
from recording import RecordedSet, pipeline
from vendors.serving import VendorServer, open_vendor

import voicepipe
from voicepipe.calls.open_call import open_call
from voicepipe.components.events import ReplyDone, TextDelta
from voicepipe.components.requests import ToolCall, ToolResults
from voicepipe.pipelines.outcome import Applied, Unchanged
from voicepipe.testing.components import ScriptedLanguageModel, ScriptedSpeechToText, ToneTextToSpeech
from voicepipe.testing.transport import MemoryTransport

KEY = "canary-in-the-environment"


@voicepipe.tool
async def book() -> str:
    """Books."""
    return "booked"


class Shop(VendorServer):
    async def answer(self, request, response):
        await response.json({"you": request.headers.get("authorization", ""), "day": dict(request.query).get("day")})


def declared(address):
    return {
        "hours": {
            "description": "Tells the hours.",
            "parameters": {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
            "http": {"url": f"{address.http}/hours", "headers": {"authorization": "Bearer ${KEY}"}},
        }
    }


class WithTools(RecordedSet):
    def write_tools(self, tools, names=("hang_up", "hours", "book")):
        self.write(default=pipeline() | {"tools": list(names)})
        document = json.loads(self.path.read_text())
        self.path.write_text(json.dumps(document | {"tools": tools}))


@pytest.fixture
def recorded(tmp_path):
    return WithTools(tmp_path)


async def test_a_pipeline_carries_what_it_lists(recorded):
    async with open_vendor(Shop()) as address:
        recorded.write_tools(declared(address))
        async with recorded.serve(tools=[book, "somebody_elses"], environ={"KEY": KEY}) as pipelines:
            tools = {tool.name: tool for tool in pipelines.current.active.tools}
            assert set(tools) == {"book", "hours"}
            assert tools["book"] is book
            assert KEY not in repr(pipelines.current)


async def test_a_reload_keeps_the_function_and_takes_the_new_declaration(recorded):
    async with open_vendor(Shop()) as address:
        tools = declared(address)
        recorded.write_tools(tools)
        environ = {"KEY": KEY}
        async with recorded.serve(tools=[book], environ=lambda: environ) as pipelines:
            with pipelines.pin() as before:
                assert isinstance(await pipelines.reload(), Unchanged)
                tools["hours"]["description"] = "Tells when we are open."
                recorded.write_tools(tools)
                assert isinstance(await pipelines.reload(), Applied)
                environ["KEY"] = "another-canary"
                outcome = await pipelines.reload()
                assert isinstance(outcome, Applied)
                assert outcome.plan.secrets_changed == ("tools.hours.http.headers.authorization",)
            of = [{tool.name: tool for tool in one.active.tools} for one in (before, pipelines.current)]
            assert [one["hours"].description for one in of] == ["Tells the hours.", "Tells when we are open."]
            context = voicepipe.ToolContext("c", voicepipe.CallInfo())
            with trio.fail_after(LONG_S):
                answers = [json.loads(await one["hours"].function({"day": "x"}, context)) for one in of]
            assert answers == [{"you": "Bearer ${KEY}", "day": "x"}] * 2
            assert of[0]["book"] is of[1]["book"] is book


@pytest.mark.parametrize("tools", [[book, book], [book, "book"], ["hang_up"]])
async def test_names_of_tools_are_unique(recorded, tools):
    recorded.write(default=pipeline())
    with pytest.raises(ValueError, match="several tools of the name"):
        async with recorded.serve(tools=tools):
            pass


async def test_a_call_asks_a_server_and_nothing_tells_the_secret(recorded):
    """From the YAML to the server, back to the model, and to whoever observes."""
    models = []

    def answer(request):
        if isinstance(request.trigger, ToolResults):
            return "Till five."
        return [TextDelta("Let me see."), ToolCall("1", "hours", {"day": "monday"}), ReplyDone()]

    def make(role):
        if role == "llm":
            models.append(ScriptedLanguageModel(answer))
            return models[-1]
        return ScriptedSpeechToText() if role == "stt" else ToneTextToSpeech(ms_a_char=20)

    server, events = Shop(), []
    recorded.make = make
    transport = MemoryTransport()

    def observe(event):
        events.append(event)
        if isinstance(event, voicepipe.TurnEnded) and event.trigger == "tool_results":
            nursery.start_soon(transport.hang_up_as_caller)

    async with open_vendor(server) as address:
        recorded.write_tools(declared(address))
        async with recorded.serve(environ={"KEY": KEY}, tools=["book"]) as pipelines, trio.open_nursery() as nursery:
            with pipelines.pin() as snapshot, trio.fail_after(LONG_S):
                async with open_call(snapshot.active, transport, observer=observe) as call:
                    await call.run()
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    (ended,) = [event for event in events if isinstance(event, voicepipe.ToolEnded)]
    assert ended.ok
    assert json.loads(ended.result) == {"you": "Bearer ${KEY}", "day": "monday"}
    assert models[0].requests[-1].trigger == ToolResults({"1": ended.result})
    assert KEY not in repr(events) + repr(models[0].requests)
