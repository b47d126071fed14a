"""The conformance kit on the openai language model, over both of its APIs."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial

from vendors.openai_requests import KEY
from vendors.openai_server import OpenAIServer, Says, echo
from vendors.serving import Fault, open_vendor, patience_s

from voicepipe.adapters.openai.llm import llm
from voicepipe.adapters.openai.llm_options import OpenAIOptions
from voicepipe.components.values import Secret
from voicepipe.testing import conformance

THROTTLED = {
    "error": {"message": "Rate limit reached", "type": "requests", "param": None, "code": "rate_limit_exceeded"}
}
OVERLOADED = {"error": {"message": "The server is overloaded", "type": "server_error", "param": None, "code": None}}


def reply(body):
    """Calls the tool of the kit's question, and says everything else again."""
    says = echo(body)
    if body.get("tools") and says.text.endswith(conformance.TOOL_REQUEST.trigger.text):
        return Says(calls=((name_of(body["tools"][0]), '{"day": "Monday"}'),))
    return says


def name_of(tool):
    return tool.get("function", tool)["name"]


@asynccontextmanager
async def served(api, fault=None, key=KEY, model="gpt-4.1-mini"):
    """A server while it is used."""
    server = OpenAIServer()
    server.fault, server.reply = fault, reply
    async with open_vendor(server) as address:
        yield OpenAIOptions(
            model=model,
            api_key=Secret(key, "${OPENAI_API_KEY}"),
            base_url=f"{address.http}/v1",
            api=api,
            timeout_s=patience_s(fault),
            connect_timeout_s=patience_s(fault),
        )


def faults(api):
    return {
        name: partial(served, api, fault)
        for name, fault in {
            "throttled": Fault("status", status=429, headers={"retry-after": "2"}, body=THROTTLED),
            "server_error": Fault("status", status=503, body=OVERLOADED),
            "server_error: of a proxy": Fault("status", status=502, body="<html>Bad Gateway</html>"),
            "refuse": Fault("refuse"),
            "stall: before the head": Fault("stall"),
            "stall: before the first event": Fault("stall", after=0),
            "stall: after some": Fault("stall", after=3),
            "half_close: before the head": Fault("half_close"),
            "half_close: after some": Fault("half_close", after=3),
            "half_close: closed": Fault("close", after=2),
            "half_close: reset": Fault("reset", after=2),
            "empty": Fault("empty"),
            "rubbish: before the head": Fault("rubbish"),
            "rubbish: after some": Fault("rubbish", after=2),
        }.items()
    } | {
        "unauthorised": partial(served, api, key="sk-of-somebody-else"),
        "broken": partial(served, api, model="gpt-none"),
        "deaf": None,  # requests are short
    }


def kit(api):
    return conformance.language_model(
        llm,
        partial(served, api),
        tool_request=conformance.TOOL_REQUEST,
        faults=faults(api),
        limits=conformance.Limits(deadline_s=5, streams=40),
    )


test_openai_chat = kit("chat")
test_openai_responses = kit("responses")
