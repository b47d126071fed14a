"""The server that plays OpenAI pleases OpenAI's own SDK, typed objects and all."""

from __future__ import annotations

from contextlib import asynccontextmanager

import openai
import pytest
from vendors.openai_requests import KEY
from vendors.openai_server import OpenAIServer, Says
from vendors.serving import open_vendor

TOOL = {"name": "book", "description": "Books.", "parameters": {"type": "object", "properties": {}}}
HELLO = {"role": "user", "content": "hello"}

# The SDK leaves generators to the collector.
pytestmark = pytest.mark.filterwarnings("ignore:Async generator:ResourceWarning")


@asynccontextmanager
async def client(server, key=KEY):
    async with (
        open_vendor(server) as address,
        openai.AsyncOpenAI(
            api_key=key, base_url=f"{address.http}/v1", max_retries=0, _strict_response_validation=True
        ) as opened,
    ):
        yield opened


async def test_completions_come_in_chunks_and_whole():
    server = OpenAIServer()
    server.reply = lambda _body: Says("Good morning.", (("book", '{"at": "10:00"}'),))
    asked = {"model": "gpt-4.1-mini", "messages": [HELLO], "tools": [{"type": "function", "function": TOOL}]}
    async with client(server) as sdk:
        async with sdk.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            streamed = await stream.get_final_completion()
        whole = await sdk.chat.completions.create(**asked)
    for completion in (streamed, whole):
        message = completion.choices[0].message
        assert message.content == "Good morning."
        assert [(call.function.name, call.function.arguments) for call in message.tool_calls] == [
            ("book", '{"at": "10:00"}')
        ]
        assert completion.choices[0].finish_reason == "tool_calls"
        assert completion.usage.completion_tokens == 12


async def test_responses_come_in_events_and_whole():
    server = OpenAIServer()
    server.reply = lambda _body: Says("Good morning.", (("book", '{"at": "10:00"}'),), thoughts=3)
    asked = {"model": "gpt-5-mini", "input": [HELLO], "tools": [{"type": "function", "strict": False, **TOOL}]}
    async with client(server) as sdk:
        async with sdk.responses.stream(**asked) as stream:
            streamed = await stream.get_final_response()
        whole = await sdk.responses.create(**asked)
    for response in (streamed, whole):
        assert response.output_text == "Good morning."
        assert [item.type for item in response.output] == ["reasoning", "message", "function_call"]
        assert response.output[-1].arguments == '{"at": "10:00"}'
        assert response.usage.output_tokens == 15


async def test_models_are_listed_and_found():
    async with client(OpenAIServer()) as sdk:
        models = [model.id for model in (await sdk.models.list()).data]
        assert (await sdk.models.retrieve(models[0])).id == models[0]
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.models.retrieve("gpt-none")
    assert caught.value.code == "model_not_found"


async def test_strangers_are_told_part_of_what_they_brought():
    async with client(OpenAIServer(), "sk-of-somebody-else") as sdk:
        with pytest.raises(openai.AuthenticationError, match=r"sk-of-so\*+else") as caught:
            await sdk.models.list()
    assert (caught.value.code, caught.value.type) == ("invalid_api_key", "invalid_request_error")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "gpt-none"}, "does not exist"),
        ({"extra_body": {"max_token": 3}}, "Unknown parameter: 'max_token'"),
        ({"messages": []}, "empty array"),
        ({"messages": [{"role": "caller", "content": "hi"}]}, "Invalid value: 'caller'"),
        ({"messages": [{"role": "user", "content": None}]}, "got null"),
        ({"messages": [HELLO, {"role": "tool", "tool_call_id": "1", "content": ""}]}, "preceeding message"),
        ({"model": "gpt-5-mini", "max_tokens": 3}, "Use 'max_completion_tokens'"),
        ({"model": "gpt-5-mini", "temperature": 0.3}, "Only the default"),
        ({"stream_options": {"include_usage": True}}, "only allowed when 'stream'"),
        ({"tools": [{"type": "function", "function": {"name": "a b", "parameters": {}}}]}, "does not match pattern"),
    ],
)
async def test_what_the_api_refuses_is_refused(asked, said):
    async with client(OpenAIServer()) as sdk:
        with pytest.raises(openai.APIStatusError, match=said):
            await sdk.chat.completions.create(**({"model": "gpt-4.1-mini", "messages": [HELLO]} | asked))
