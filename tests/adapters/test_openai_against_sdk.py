"""The language model's requests and answers against OpenAI's SDK, which is not on a call's path.

The adapter sends its requests by itself and reads the answers by itself. What holds it to the API as OpenAI publishes
it is here: each body is one by the SDK's own types, and byte for byte what the SDK sends for the same arguments; each
answer comes to the same text, tool calls and usage as the SDK makes of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import httpx2
import openai
import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.chat.completion_create_params import CompletionCreateParamsStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsStreaming
from openai_reply_requests import REQUESTS
from pydantic import TypeAdapter
from vendors.openai_requests import KEY
from vendors.openai_server import OpenAIServer, Says, chunks, response_events
from vendors.serving import open_memory_network

from voicepipe.adapters.openai import chat_completions as openai_chat
from voicepipe.adapters.openai import responses as openai_responses
from voicepipe.adapters.openai.chat_completions import ChatReplyBuilder
from voicepipe.adapters.openai.client import encoded
from voicepipe.adapters.openai.llm import llm
from voicepipe.adapters.openai.llm_options import OpenAIOptions
from voicepipe.adapters.openai.reply_parser import ReplyParser
from voicepipe.adapters.openai.responses import ResponsesReplyBuilder
from voicepipe.adapters.openai.sdk_client import open_sdk_client
from voicepipe.components.distribution import DISTRIBUTION
from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.requests import Message, ReplyRequest, Tool, ToolCall, Utterance
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError

PINNED = next(
    line.partition("==")[2].strip()
    for line in (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    if line.startswith("openai==")
)
BASE_URL = "http://openai.test:80/v1"
OPTIONS = OpenAIOptions(model="gpt-4.1-mini", api_key=Secret(KEY, "${OPENAI_API_KEY}"), base_url=BASE_URL)
SETTINGS = st.builds(
    OpenAIOptions,
    model=st.sampled_from(["gpt-4.1-mini", "gpt-5-mini"]),
    base_url=st.sampled_from([None, BASE_URL]),
    temperature=st.sampled_from([None, 0.0, 0.7, 1]),
    max_tokens=st.sampled_from([None, 200]),
    reasoning_effort=st.sampled_from([None, "minimal", "high"]),
    include_usage=st.booleans(),
    extra_body=st.sampled_from([{}, {"service_tier": "priority", "metadata": {"über": "ü\u2028"}}, {"top_k": None}]),
)
BODIES = {"chat": openai_chat.body_for, "responses": openai_responses.body_for}
PARAMS = {
    "chat": TypeAdapter(CompletionCreateParamsStreaming),
    "responses": TypeAdapter(ResponseCreateParamsStreaming),
}
APIS = pytest.mark.parametrize("api", ["chat", "responses"])

# The SDK leaves generators to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


def test_the_sdk_is_the_one_that_is_pinned():
    assert metadata.version("openai") == PINNED == "3.54.0"


# --- Requests ------------------------------------------------------------------------------------------------------


def whole(value):
    """A value with the items that pydantic checks only when they are iterated."""
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    return list(map(whole, value)) if isinstance(value, list | Iterator) else value


def sdk(answer: bytes = b"", sent: list | None = None) -> openai.OpenAI:
    """The SDK with a server that gives one answer to everything and keeps what it was sent."""

    def serve(request: httpx2.Request) -> httpx2.Response:
        if sent is not None:
            sent.append(request.read())
        return httpx2.Response(200, content=answer, headers={"content-type": "text/event-stream"})

    http = httpx2.Client(transport=httpx2.MockTransport(serve), trust_env=False)
    return openai.OpenAI(api_key=KEY, base_url=BASE_URL, max_retries=0, http_client=http)


def resource(client, api):
    return client.responses if api == "responses" else client.chat.completions


SENT: list[bytes] = []
SENDS = sdk(b"data: [DONE]\n\n", SENT)


@APIS
@given(request=REQUESTS, options=SETTINGS)
@settings(max_examples=40, deadline=None)
def test_a_body_is_what_the_sdk_types_say_and_what_the_sdk_sends(api, request, options):
    body = BODIES[api](options, request)
    assert whole(PARAMS[api].validate_python(body)) == body  # what is not in the type would be missing
    SENT.clear()
    resource(SENDS, api).create(**body, extra_body=dict(options.extra_body) or None)
    assert [encoded({**body, **options.extra_body})] == SENT


@pytest.mark.parametrize(
    ("api", "wrong"),
    [
        ("chat", {"messages": [{"role": "caller", "content": "hello"}]}),
        ("chat", {"messages": [{"role": "user", "content": "hello", "mood": "glad"}]}),
        ("chat", {"tool_choice": "perhaps"}),
        ("chat", {"max_token": 3}),
        ("responses", {"input": [{"role": "caller", "content": "hello"}]}),
        ("responses", {"instruction": "Be brief."}),
    ],
    ids=str,
)
def test_the_types_find_what_is_wrong(api, wrong):
    body = BODIES[api](OPTIONS, ReplyRequest(Utterance("hello"), (Message("caller", "hello"),))) | wrong
    try:
        read = whole(PARAMS[api].validate_python(body))
    except ValueError:
        return
    assert read != body


@APIS
@pytest.mark.parametrize("path", ["/v1", "/v1/", "", "/openai/v1", "/a b/\u00fc"])
async def test_a_request_is_the_sdks_but_for_what_it_tells_of_itself(autojump_clock, monkeypatch, resources, api, path):
    """Method, address, headers and body, as they come to a server; whether it has such an address does not matter."""
    options = evolve(OPTIONS, base_url=f"http://openai.test:80{path}", api=api, extra_body={"service_tier": "ü"})
    hello = ReplyRequest(Utterance("hello"), (Message("caller", "hello"),), "Be brief.", (Tool("book", "Books."),))
    async with open_memory_network(monkeypatch) as network:
        network.listen("openai.test", vendor := OpenAIServer())
        async with llm.open(options, resources) as component:
            with suppress(ComponentError):
                async with component.respond(hello):
                    pass
        async with open_sdk_client(options, resources) as client:
            create = resource(client.sdk, api).with_streaming_response.create
            with suppress(openai.APIStatusError):
                async with create(**BODIES[api](options, hello), extra_body=options.extra_body):
                    pass
    ours, sdks = vendor.requests
    assert (ours.method, ours.path, ours.query, ours.body) == (sdks.method, sdks.path, sdks.query, sdks.body)
    told = {name for name in sdks.headers if name.startswith("x-stainless")}
    agent = {"user-agent": f"voicepipe/{metadata.version(DISTRIBUTION)}"}
    assert ours.headers == {name: value for name, value in sdks.headers.items() if name not in told} | agent


# --- Answers -------------------------------------------------------------------------------------------------------

HOURS = {"type": "object", "properties": {"day": {"type": "string"}}}
OFFERED = [("opening_hours", HOURS), ("book", {"type": "object", "properties": {}})]
ANSWERS = {
    "words": Says("Good morning. How can I help?"),
    "words in other letters": Says("Grüße, “schön” dass Sie anrufen: 你好 🙂"),
    "a tool": Says("", (("opening_hours", '{"day": "Monday"}'),)),
    "words and two tools": Says("One moment.", (("opening_hours", '{"day": "Monday"}'), ("book", '{"at": [10, 30]}'))),
    "thoughts": Says("Yes.", thoughts=30),
    "a refusal": Says(refusal="I can't help with that."),
}
ASKED = {
    "chat": {"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "two words"}]},
    "responses": {"model": "gpt-4.1-mini", "input": [{"role": "user", "content": "two words"}]},
}
RECORDED = Path(__file__).parents[1] / "data/openai"
"""Streams of Chat Completions as the API's reference and its users show them."""


def chat_stream(says: Says) -> bytes:
    events = chunks("chatcmpl-1", ASKED["chat"] | {"stream_options": {"include_usage": True}}, says)
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events).encode() + b"data: [DONE]\n\n"


def response_stream(says: Says) -> bytes:
    events = response_events("resp_1", ASKED["responses"], says)
    numbered = [event | {"sequence_number": at} for at, event in enumerate(events)]
    return "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in numbered).encode()


STREAMS = {
    **{f"chat: {name}": ("chat", chat_stream(says)) for name, says in ANSWERS.items()},
    **{f"responses: {name}": ("responses", response_stream(says)) for name, says in ANSWERS.items()},
    **{f"chat: {path.name}": ("chat", path.read_bytes()) for path in sorted(RECORDED.glob("*.sse"))},
}


def read_by_us(api: str, pieces):
    offered = [name for name, _ in OFFERED]
    parser = ReplyParser(
        ResponsesReplyBuilder(offered) if api == "responses" else ChatReplyBuilder(offered), ComponentError
    )
    events = [event for data in pieces for event in parser.feed(data)]
    assert parser.over
    events += parser.finish()
    assert events[-1] == ReplyDone("complete")
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    calls = [(event.id, event.name, dict(event.arguments)) for event in events if isinstance(event, ToolCall)]
    usage = [(event.input_tokens, event.output_tokens) for event in events if isinstance(event, Usage)]
    return text, calls, usage


def read_by_the_sdk(api: str, stream: bytes):
    if api == "responses":
        tools = [{"type": "function", "name": n, "parameters": p, "strict": False} for n, p in OFFERED]
        with sdk(stream).responses.stream(**ASKED[api], tools=tools) as events:
            response = events.get_final_response()
        parts = [part for item in response.output if item.type == "message" for part in item.content]
        text = "".join(part.text if part.type == "output_text" else part.refusal for part in parts)
        made = [(c.call_id, c.name, json.loads(c.arguments)) for c in response.output if c.type == "function_call"]
        return text, made, [(response.usage.input_tokens, response.usage.output_tokens)]
    tools = [{"type": "function", "function": {"name": name, "parameters": schema}} for name, schema in OFFERED]
    with sdk(stream).chat.completions.stream(**ASKED[api], tools=tools) as events:
        done = events.get_final_completion()
    message, usage = done.choices[0].message, done.usage
    made = [(call.id, call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()]
    counted = [(usage.prompt_tokens, usage.completion_tokens)] if usage else []
    return (message.content or "") + (message.refusal or ""), made, counted


@pytest.mark.parametrize(("api", "stream"), STREAMS.values(), ids=STREAMS)
def test_an_answer_comes_to_what_the_sdk_makes_of_it(api, stream):
    """However its bytes are cut: into events, into single bytes, and not at all."""
    expected = read_by_the_sdk(api, stream)
    assert expected[0] or expected[1]
    for pieces in ([stream], stream.splitlines(keepends=True), [bytes([byte]) for byte in stream]):
        assert read_by_us(api, pieces) == expected
