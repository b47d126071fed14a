"""The openai language model against a server that speaks both of OpenAI's APIs, in memory and over TCP."""

from __future__ import annotations

import pickle
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve
from vendors.openai_requests import KEY
from vendors.openai_server import OpenAIServer, Says, chunk
from vendors.serving import Fault, open_memory_network

from voicepipe.adapters.openai.llm import llm
from voicepipe.adapters.openai.llm_options import OpenAIOptions
from voicepipe.adapters.openai.reply_parser import AFTERMATH_S
from voicepipe.components.events import ReplyDone, TextDelta, Usage
from voicepipe.components.protocols import Probing
from voicepipe.components.requests import CallStarted, Message, ReplyRequest, Tool, ToolCall, ToolResults, Utterance
from voicepipe.components.trace_context import TraceContext
from voicepipe.components.values import Secret
from voicepipe.errors import ComponentError

OPTIONS = OpenAIOptions(
    model="gpt-4.1-mini", api_key=Secret(KEY, "${OPENAI_API_KEY}"), base_url="http://openai.test:80/v1"
)
HOURS = Tool(
    "opening_hours",
    "Says when the surgery is open.",
    {"type": "object", "properties": {"day": {"type": "string"}}, "required": ["day"]},
)
HELLO = ReplyRequest(Utterance("hello"), (Message("caller", "hello"),), "You are a receptionist.", (HOURS,))
APIS = pytest.mark.parametrize("api", ["chat", "responses"])


@pytest.fixture
async def server(monkeypatch):
    """A server in memory."""
    async with open_memory_network(monkeypatch) as network:
        vendor = OpenAIServer()
        network.listen("openai.test", vendor)
        yield vendor


@asynccontextmanager
async def opened(resources, **options):
    async with llm.open(evolve(OPTIONS, **options), resources) as component:
        yield component


async def drain(stream) -> list:
    events = []
    while (event := await stream.receive()) is not None:
        events.append(event)
    return events


async def ask(resources, request=HELLO, **options) -> list:
    async with opened(resources, **options) as component, component.respond(request) as stream:
        return await drain(stream)


def text_of(events) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def failure_of(resources, **options) -> ComponentError:
    """What `respond` raises, or `receive`: the latter is caught before it meets the stream's nursery."""
    caught = None
    try:
        async with opened(resources, **options) as component, component.respond(HELLO) as stream:
            try:
                await drain(stream)
            except ComponentError as error:
                caught = error
    except ComponentError as error:
        caught = error
    assert caught is not None
    return caught


# --- Replies -------------------------------------------------------------------------------------------------------


@APIS
async def test_a_reply_comes_as_it_is_made(autojump_clock, server, resources, api):
    server.answers.append(Says("Good morning."))
    events = await ask(resources, api=api)
    assert events[:-2] == [TextDelta("Good"), TextDelta(" morning.")]
    assert isinstance(events[-2], Usage)
    assert events[-1] == ReplyDone("complete")


async def test_a_request_for_a_completion_is_what_was_configured_and_no_more(autojump_clock, server, resources):
    await ask(resources)
    (body,) = server.asked
    assert body == {
        "model": "gpt-4.1-mini",
        "messages": [
            {"role": "system", "content": "You are a receptionist."},
            {"role": "user", "content": "hello"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "opening_hours",
                    "description": "Says when the surgery is open.",
                    "parameters": HOURS.parameters,
                },
            }
        ],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_a_request_for_a_response_keeps_nothing_on_the_server(autojump_clock, server, resources):
    await ask(resources, api="responses")
    (body,) = server.asked
    assert body == {
        "model": "gpt-4.1-mini",
        "instructions": "You are a receptionist.",
        "input": [{"role": "user", "content": "hello"}],
        "tools": [
            {
                "type": "function",
                "name": "opening_hours",
                "description": "Says when the surgery is open.",
                "parameters": HOURS.parameters,
                "strict": False,
            }
        ],
        "store": False,
        "stream": True,
    }


async def test_options_reach_the_request(autojump_clock, server, resources):
    thinks = {"model": "gpt-5-mini", "reasoning_effort": "minimal", "max_tokens": 200}
    await ask(resources, **thinks, extra_body={"service_tier": "priority"}, include_usage=False)
    await ask(resources, **thinks, api="responses", extra_body={"service_tier": "priority"})
    await ask(resources, temperature=0.3, max_tokens=100)
    chat, response, older = server.asked
    assert (chat["reasoning_effort"], chat["max_completion_tokens"], chat["service_tier"]) == (
        "minimal",
        200,
        "priority",
    )
    assert {"max_tokens", "stream_options", "temperature", "extra_body"}.isdisjoint(chat)
    assert (response["reasoning"], response["max_output_tokens"]) == ({"effort": "minimal"}, 200)
    assert response["service_tier"] == "priority"
    assert (older["temperature"], older["max_tokens"]) == (0.3, 100)


@pytest.mark.parametrize(
    ("model", "base_url", "name"),
    [
        ("gpt-4.1-mini", None, "max_completion_tokens"),
        ("gpt-4.1-mini", "https://eu.api.openai.com/v1", "max_completion_tokens"),
        ("openai/gpt-5-mini", "https://openrouter.ai/api/v1", "max_completion_tokens"),
        ("o4-mini", "http://127.0.0.1:4000/v1", "max_completion_tokens"),
        ("llama3.2", "http://127.0.0.1:11434/v1", "max_tokens"),
        ("openai/gpt-oss-20b", "http://127.0.0.1:11434/v1", "max_tokens"),
        ("orca-mini", "http://api.openai.com.example/v1", "max_tokens"),
    ],
)
def test_the_length_limit_has_the_name_that_the_server_knows(model, base_url, name):
    from voicepipe.adapters.openai.chat_completions import body_for  # noqa: PLC0415 - the only test of it alone

    body = body_for(OpenAIOptions(model=model, base_url=base_url, max_tokens=50), HELLO)
    assert {key: value for key, value in body.items() if key.startswith("max")} == {name: 50}


@APIS
async def test_tools_are_called_and_their_results_given_back(autojump_clock, server, resources, api):
    server.answers.append(
        Says("One moment.", (("opening_hours", '{"day": "Monday"}'), ("opening_hours", '{"day": "Tuesday"}')))
    )
    asked = evolve(HELLO, messages=(Message("caller", "when are you open"),))
    events = await ask(resources, asked, api=api)
    calls = tuple(event for event in events if isinstance(event, ToolCall))
    assert [(call.name, call.arguments) for call in calls] == [
        ("opening_hours", {"day": "Monday"}),
        ("opening_hours", {"day": "Tuesday"}),
    ]
    results = {call.id: f"nine to five on {call.arguments['day']}" for call in calls}
    told = (*asked.messages, Message("agent", "One moment.", tool_calls=calls))
    told += tuple(Message("tool", result, tool_call_id=number) for number, result in results.items())
    events = await ask(resources, evolve(asked, trigger=ToolResults(results), messages=told), api=api)
    assert text_of(events) == "You said: nine to five on Tuesday"


@APIS
async def test_a_model_speaks_first(autojump_clock, server, resources, api):
    server.answers.append(Says("Good morning."))
    assert text_of(await ask(resources, ReplyRequest(CallStarted(), prompt="Greet."), api=api)) == "Good morning."


@APIS
async def test_a_byte_at_a_time_is_as_good(autojump_clock, server, resources, api):
    server.fault = Fault("drip", pause_s=0.001)
    server.answers.append(Says("Guten Morgen, schöne Grüße!"))
    assert text_of(await ask(resources, api=api)) == "Guten Morgen, schöne Grüße!"


@APIS
async def test_replies_of_one_model_do_not_mix(autojump_clock, server, resources, api):
    texts = [f"caller {number}" for number in range(8)]
    found = {}

    async def one(component, text) -> None:
        request = ReplyRequest(Utterance(text), (Message("caller", text),))
        async with component.respond(request) as stream:
            found[text] = text_of(await drain(stream))

    async with opened(resources, api=api) as component, trio.open_nursery() as nursery:
        for text in texts:
            nursery.start_soon(one, component, text)
    assert found == {text: f"You said: {text}" for text in texts}


@APIS
async def test_the_next_reply_finds_the_connection_of_the_one_before(autojump_clock, server, resources, api):
    async with opened(resources, api=api) as component:
        await component.probe()
        for _ in range(5):
            async with component.respond(HELLO) as stream:
                await drain(stream)
            await trio.sleep(9)
    assert server.connections == 1


# --- Receiving and leaving -----------------------------------------------------------------------------------------


@APIS
async def test_a_receive_that_is_cancelled_loses_nothing(autojump_clock, server, resources, api):
    server.fault = Fault("drip", pause_s=0.001)
    server.answers.append(Says("Good morning. How can I help you?"))
    async with opened(resources, api=api) as component, component.respond(HELLO) as stream:
        events, cancelled = [], 0
        while not events or events[-1] is not None:
            with trio.move_on_after(0.02) as impatient:
                events.append(await stream.receive())
            cancelled += impatient.cancelled_caught
    assert cancelled > 20
    assert text_of(events) == "Good morning. How can I help you?"


@APIS
@pytest.mark.parametrize("after", [-1, 0, 2, 4])
async def test_leaving_closes_the_connection_at_once(autojump_clock, server, resources, api, after):
    server.fault = Fault("stall", after=after)
    server.answers.append(Says("Good morning. How can I help you?"))
    async with opened(resources, api=api) as component:
        before = trio.current_time()
        with trio.move_on_after(1):
            async with component.respond(HELLO) as stream:
                await drain(stream)
        assert trio.current_time() - before == 1
        await trio.sleep(0.001)
        assert (server.connections, server.open) == (1, 0)


async def test_a_slow_listener_slows_the_server(autojump_clock, server, resources):
    """What nobody receives is not collected."""
    texts = [f"{number:x>1000}" for number in range(2000)]
    server.answers.append([chunk("c", "m", {"content": text}) for text in texts])
    async with opened(resources) as component, component.respond(HELLO) as stream:
        await stream.receive()
        await trio.sleep(60)  # longer than any timeout: it is not the server that is slow
        assert server.open == 1
        for text in texts[1:1500]:
            assert await stream.receive() == TextDelta(text)


# --- What goes wrong -----------------------------------------------------------------------------------------------


@APIS
@pytest.mark.parametrize("after", [-1, 0, 3])
async def test_silence_is_noticed(autojump_clock, server, resources, api, after):
    server.fault = Fault("stall", after=after)
    before = trio.current_time()
    error = await failure_of(resources, api=api, timeout_s=4)
    assert (error.message, error.retryable) == ("nothing came for 4 s", True)
    assert trio.current_time() - before == 4


async def test_a_server_that_says_that_it_works_is_waited_for(autojump_clock, server, resources):
    server.answers.append([": OPENROUTER PROCESSING\n\n"] * 50 + [chunk("c", "m", {"content": "Ten."}, "stop")])
    server.fault = Fault("drip", pause_s=0.01)
    assert text_of(await ask(resources, timeout_s=4)) == "Ten."


async def test_a_line_that_never_ends_is_silence(autojump_clock, server, resources):
    server.answers.append(["data: " + "x" * 1000])
    server.fault = Fault("drip", pause_s=0.1)
    assert (await failure_of(resources, timeout_s=4)).message == "nothing came for 4 s"


@APIS
@pytest.mark.parametrize("kind", ["close", "half_close", "reset"])
async def test_a_connection_that_ends_before_the_reply_is_noticed(autojump_clock, server, resources, api, kind):
    server.fault = Fault(kind, after=3)
    server.answers.append(Says("Good morning. How can I help you?"))
    error = await failure_of(resources, api=api)
    assert "the connection broke" in error.message
    assert error.retryable


@APIS
async def test_an_answer_that_ends_in_good_order_before_the_reply_is_noticed(autojump_clock, server, resources, api):
    """A proxy that gave up: for HTTP all is well."""
    text = (
        {"type": "response.output_text.delta", "delta": "Good"}
        if api == "responses"
        else chunk("c", "m", {"content": "Good"})
    )
    server.answers.append([text])
    error = await failure_of(resources, api=api)
    assert (error.message, error.retryable) == ("ended before its reply did", True)


@APIS
async def test_success_with_nothing_is_a_failure(autojump_clock, server, resources, api):
    server.answers.append([])
    error = await failure_of(resources, api=api)
    assert (error.message, error.retryable) == ("answered with nothing", True)


@APIS
@pytest.mark.parametrize(
    ("rubbish", "message"),
    [
        ("<html>Bad Gateway</html>\n", "something that is no reply"),
        ("data: <html>\n\n", "no JSON object"),
        (b"data: \xff\xfe\n\n", "no JSON object"),
        ('data: {"choices": 3, "type": "response.completed", "response": 3}\n\n', "something that is no reply"),
    ],
)
async def test_rubbish_is_quoted(autojump_clock, server, resources, api, rubbish, message):
    server.answers.append([rubbish])
    error = await failure_of(resources, api=api)
    assert message in error.message
    assert error.answered


MID_STREAM = {
    "openai": ({"error": {"message": "The server had an error", "type": "server_error", "code": None}}, True),
    "vllm": ({"error": {"message": "too long", "type": "BadRequestError", "code": 400}}, False),
    "ollama": ({"error": "model runner has unexpectedly stopped"}, True),
    "invalid": ({"error": {"message": "no", "type": "invalid_request_error", "code": None}}, False),
    "responses": ({"type": "error", "code": "server_error", "message": "The server had an error", "param": None}, True),
    "failed": (
        {"type": "response.failed", "response": {"error": {"code": "server_error", "message": "an error"}}},
        True,
    ),
    "prompt": ({"type": "response.failed", "response": {"error": {"code": "invalid_prompt", "message": "no"}}}, False),
}


@pytest.mark.parametrize(("said", "retryable"), MID_STREAM.values(), ids=MID_STREAM)
@APIS
async def test_an_error_in_mid_reply_fails_it(autojump_clock, server, resources, api, said, retryable):
    text = (
        {"type": "response.output_text.delta", "delta": "Good"}
        if api == "responses"
        else chunk("c", "m", {"content": "Good"})
    )
    server.answers.append([text, {"type": "error", **said} if api == "responses" else said])
    async with opened(resources, api=api) as component, component.respond(HELLO) as stream:
        assert await stream.receive() == TextDelta("Good")
        for _ in range(2):  # and it stays failed
            with pytest.raises(ComponentError, match="failed in mid-answer") as caught:
                await stream.receive()
            assert caught.value.retryable is retryable
            assert caught.value.answered


async def test_a_server_that_hangs_after_the_end_costs_little(autojump_clock, server, resources):
    """The reply is complete; only its cost, and the connection, are lost."""
    server.answers.append(Says("Ten."))
    server.fault = Fault("stall", after=3)
    before = trio.current_time()
    events = await ask(resources)
    assert (text_of(events), events[-1]) == ("Ten.", ReplyDone("complete"))
    assert trio.current_time() - before == AFTERMATH_S


@pytest.mark.parametrize("more", ["data: <rubbish>\n\n", {"error": {"message": "too late"}}])
async def test_nothing_after_the_end_undoes_it(autojump_clock, server, resources, more):
    server.answers.append([chunk("c", "m", {"content": "Ten."}, "stop"), more])
    assert await ask(resources) == [TextDelta("Ten."), ReplyDone("complete")]


async def test_a_reply_ends_with_done_if_nothing_else_says_so(autojump_clock, server, resources):
    server.answers.append([chunk("c", "m", {"content": "Ten."}), "data: [DONE]\n\n"])
    assert (await ask(resources))[-1] == ReplyDone("complete")


async def test_an_end_without_done_is_an_end(autojump_clock, server, resources):
    server.answers.append([chunk("c", "m", {"content": "Ten."}), chunk("c", "m", {}, "stop")])
    assert (await ask(resources))[-1] == ReplyDone("complete")


class AtOnce(OpenAIServer):
    """A server that knows no streaming."""

    async def answer(self, request, response) -> None:
        if request.path.endswith("s") and request.body:
            body = request.body.replace(b'"stream":true', b'"stream":false').replace(
                b',"stream_options":{"include_usage":true}', b""
            )
            request = evolve(request, body=body)
        await super().answer(request, response)


@APIS
async def test_a_reply_may_come_at_once(monkeypatch, autojump_clock, resources, api):
    async with open_memory_network(monkeypatch) as network:
        server = AtOnce()
        network.listen("openai.test", server)
        server.answers.append(Says("Ten.", (("opening_hours", '{"day": "Monday"}'),)))
        events = await ask(resources, api=api)
    assert text_of(events) == "Ten."
    assert [event.arguments for event in events if isinstance(event, ToolCall)] == [{"day": "Monday"}]
    assert events[-1] == ReplyDone("complete")


async def test_an_error_may_pass_for_success(monkeypatch, autojump_clock, resources):
    """As servers behind RunPod's proxy tell it."""
    said = {"code": 404, "message": "The model `x` does not exist.", "object": "error", "type": "NotFoundError"}

    class Proxy(OpenAIServer):
        async def answer(self, request, response) -> None:
            await response.json(said)

    async with open_memory_network(monkeypatch) as network:
        network.listen("openai.test", Proxy())
        error = await failure_of(resources)
    assert (error.retryable, error.answered) == (False, "The model `x` does not exist.")


# --- The adapter ---------------------------------------------------------------------------------------------------


async def test_it_can_be_probed(autojump_clock, server, resources):
    async with opened(resources) as component:
        assert isinstance(component, Probing)
        await component.probe()
    assert [(request.method, request.path) for request in server.requests] == [("GET", "/v1/models/gpt-4.1-mini")]
    async with opened(resources, model="gpt-none") as component:
        with pytest.raises(ComponentError, match="HTTP 404") as caught:
            await component.probe()
    assert (caught.value.retryable, "gpt-none" in caught.value.answered) == (False, True)


def problems_of(**options):
    return [(problem.path, problem.message) for problem in llm.check(evolve(OPTIONS, **options))]


def test_what_is_wrong_with_options_is_said():
    assert problems_of() == []
    assert problems_of(base_url=None) == []
    assert problems_of(api_key=None) == []
    assert problems_of(extra_body={"messages": []}) == [("extra_body", "messages is not for extra_body")]


def test_options_survive_the_way_to_another_process():
    options = evolve(OPTIONS, extra_body={"service_tier": "priority"})
    copied = pickle.loads(pickle.dumps(options))
    assert copied == options
    assert KEY not in repr(copied)
    assert llm.label(options) == "gpt-4.1-mini"


@APIS
@pytest.mark.parametrize("given", [True, False])
async def test_a_request_has_the_trace_of_the_call(autojump_clock, server, resources, api, given):
    trace = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True, state="a=1")
    await ask(resources, evolve(HELLO, trace=trace), api=api, trace_context=given)
    headers = server.requests[-1].headers
    sent = {name: headers[name] for name in ("traceparent", "tracestate") if name in headers}
    assert sent == (trace.headers if given else {})
