"""Servers that speak OpenAI's API in their own ways, as they stream: the adapter is content with each of them.

Their answers are as their own documentation and their users' reports show them.
"""

from __future__ import annotations

import pytest
from vendors.openai_server import OpenAIServer
from vendors.serving import Fault, open_memory_network

from voicepipe.adapters.openai.llm import llm
from voicepipe.adapters.openai.llm_options import OpenAIOptions
from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.requests import Message, ReplyRequest, Tool, ToolCall, Utterance
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError

DONE = "data: [DONE]\n\n"
HELLO = ReplyRequest(
    Utterance("hello"), (Message("caller", "hello"),), "Be brief.", (Tool("open", "Opens."), Tool("close", "Closes."))
)
HEAD = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1794000000, "model": "m"}
USAGE = {"prompt_tokens": 26, "completion_tokens": 5, "total_tokens": 31}


def ollama(delta, finish=None):
    choice = {"index": 0, "delta": {"role": "assistant", "content": "", **delta}, "finish_reason": finish}
    return HEAD | {"system_fingerprint": "fp_ollama", "choices": [choice]}


def ollama_call(number, name):
    return {"id": number, "index": 0, "type": "function", "function": {"name": name, "arguments": '{"door":1}'}}


OLLAMA = [
    ollama({"content": "One"}),
    ollama({"content": " moment."}),
    ollama({"tool_calls": [ollama_call("call_a1", "open")]}),
    ollama({"tool_calls": [ollama_call("call_b2", "close")]}),
    ollama({}, "tool_calls"),
    HEAD | {"system_fingerprint": "fp_ollama", "choices": [], "usage": USAGE},
    DONE,
]


def vllm(delta, finish=None, **more):
    return HEAD | {"choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **more}]}


def vllm_call(index, **more):
    return {"tool_calls": [{"index": index, **more}]}


VLLM = [
    vllm({"role": "assistant", "content": ""}),
    vllm({"reasoning_content": "The door", "reasoning": "The door"}),
    vllm({"content": "One moment."}),
    vllm(vllm_call(0, id="chatcmpl-tool-1", type="function", function={"name": "open"})),
    vllm(vllm_call(0, function={"arguments": '{"door"'})),
    vllm(vllm_call(0, function={"arguments": ": 1}"})),
    vllm(vllm_call(1, id="chatcmpl-tool-2", type="function", function={"name": "close", "arguments": ""})),
    vllm(vllm_call(1, function={"arguments": '{"door": 1}'})),
    vllm({"content": ""}, "tool_calls", stop_reason=None),
    HEAD | {"choices": [], "usage": USAGE},
    DONE,
]


def llama_cpp(delta, finish=None, **more):
    return HEAD | {"choices": [{"finish_reason": finish, "index": 0, "delta": delta}], **more}


LLAMA_CPP = [
    llama_cpp({"role": "assistant", "content": None}),
    llama_cpp({"content": "One moment."}),
    llama_cpp(vllm_call(0, id="aB3", type="function", function={"name": "open", "arguments": "{"})),
    llama_cpp(vllm_call(0, function={"arguments": '"door":1}'})),
    llama_cpp(vllm_call(1, id="cD4", type="function", function={"name": "close", "arguments": '{"door":1}'})),
    llama_cpp({}, "tool_calls", system_fingerprint="b5000-1234567"),
    HEAD | {"choices": [], "usage": USAGE, "timings": {"prompt_n": 26, "prompt_ms": 11.2, "predicted_n": 5}},
    DONE,
]
GROQ = [
    HEAD | {"x_groq": {"id": "req_1", "seed": 7}, **vllm({"role": "assistant", "content": "One moment."})},
    vllm(
        {
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "open", "arguments": '{"door":1}'}, "index": 0},
                {"id": "b", "type": "function", "function": {"name": "close", "arguments": '{"door":1}'}, "index": 1},
            ]
        }
    ),
    vllm({}, "tool_calls") | {"x_groq": {"id": "req_1", "usage": USAGE | {"queue_time": 0.02}}},
    HEAD | {"choices": [], "usage": USAGE | {"total_time": 0.1}, "service_tier": "on_demand"},
    DONE,
]
QUIET = [*(event | {"usage": None} for event in VLLM[:-2]), DONE]
"""A server that is not to be asked what it costs, and does not say."""

SERVERS = {"Ollama": OLLAMA, "vLLM": VLLM, "llama.cpp": LLAMA_CPP, "Groq": GROQ, "one without usage": QUIET}


@pytest.fixture
async def server(monkeypatch):
    async with open_memory_network(monkeypatch) as network:
        vendor = OpenAIServer(api_key=None)
        vendor.strict = False
        network.listen("gpu.test", vendor, 8000)
        yield vendor


async def ask(resources, **options) -> list:
    options = {"model": "llama3.2", "base_url": "http://gpu.test:8000/v1"} | options
    events = []
    async with llm.open(OpenAIOptions(**options), resources) as component:
        await component.probe()
        async with component.respond(HELLO) as stream:
            while (event := await stream.receive()) is not None:
                events.append(event)
    return events


@pytest.mark.parametrize("name", SERVERS)
async def test_its_reply_is_understood(autojump_clock, server, resources, name):
    server.retrieves = name != "vLLM"
    server.models = ["llama3.2"]
    server.answers.append(SERVERS[name])
    *said, done = await ask(resources)
    assert "".join(event.text for event in said if isinstance(event, TextDelta)) == "One moment."
    calls = [event for event in said if isinstance(event, ToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [("open", {"door": 1}), ("close", {"door": 1})]
    assert [event for event in said if isinstance(event, Usage)] == (
        [] if name == "one without usage" else [Usage(26, 5)]
    )
    assert done == ReplyDone("complete")


async def test_a_server_that_refuses_to_say_what_it_costs_is_not_asked(autojump_clock, server, resources):
    server.models = ["llama3.2"]
    server.answers.append(QUIET)
    await ask(resources, include_usage=False, max_tokens=60, extra_body={"chat_template_kwargs": {"thinking": False}})
    (body,) = server.asked
    assert "stream_options" not in body
    assert (body["max_tokens"], body["chat_template_kwargs"]) == (60, {"thinking": False})


@pytest.mark.parametrize(
    ("status", "body", "retryable", "answered"),
    [
        (
            404,
            {"error": {"message": 'model "llama3.2" not found, try pulling it first', "type": "api_error"}},
            False,
            'model "llama3.2" not found, try pulling it first',
        ),
        (
            400,
            {"error": {"message": "Conversation roles must alternate", "type": "BadRequestError", "code": 400}},
            False,
            "Conversation roles must alternate",
        ),
        (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, True, "Loading model"),
        (
            400,
            {
                "error": {
                    "message": "Failed to call a function.",
                    "type": "invalid_request_error",
                    "code": "tool_use_failed",
                }
            },
            True,
            "Failed to call a function.",
        ),
    ],
    ids=["Ollama", "vLLM", "llama.cpp", "Groq"],
)
async def test_its_refusal_is_understood(autojump_clock, server, resources, status, body, retryable, answered):
    server.models = ["llama3.2"]
    server.faults.extend([None, Fault("status", status=status, body=body)])
    with pytest.raises(ComponentError, match=f"HTTP {status}") as caught:
        await ask(resources)
    assert (caught.value.retryable, caught.value.answered) == (retryable, answered)


async def test_a_server_with_keys_is_given_the_one_that_was_set(autojump_clock, server, resources):
    server.api_key, server.models = "gsk_0123", ["llama3.2"]
    server.answers.append(GROQ)
    assert (await ask(resources, api_key=Secret("gsk_0123")))[-1] == ReplyDone("complete")
