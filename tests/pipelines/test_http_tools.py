"""Tools that the file declares: what is requested of a real server, and what the model is told of its answers."""

import json

import pytest
import trio
from config_adapters import ENVIRON, REGISTRY
from patience import LONG_S
from vendors.serving import Fault, VendorServer, open_vendor

from voicepipe.components.requests import CallInfo
from voicepipe.components.tls import tls_context
from voicepipe.components.trace_context import TraceContext
from voicepipe.config.load import load_config
from voicepipe.errors import ToolError
from voicepipe.tools.functions import ToolContext
from voicepipe.tools.http import MOST_BYTES, http_tool, open_client

CONTEXT = ToolContext("c", CallInfo())
FILE = """\
pipelines:
  default: {{stt: {{type: ears, model: {model}}}, llm: {{type: chat, model: m}}, tts: voice, tools: [ask]}}
tools:
  ask:
    description: Asks.
    parameters:
      type: object
      properties: {{day: {{type: string}}, people: {{}}, notes: {{}}}}
      required: [day]
    http: {http}
"""


class Shop(VendorServer):
    """Answers with `status` and `body`."""

    def __init__(self):
        super().__init__()
        self.status, self.headers, self.pieces = 200, {"content-type": "text/plain; charset=utf-8"}, ["open till 5"]

    async def answer(self, request, response):
        await response.start(self.status, self.headers)
        for piece in self.pieces:
            await response.send(piece)


@pytest.fixture
async def shop():
    server = Shop()
    async with open_vendor(server) as address:
        server.address = address
        yield server


@pytest.fixture
async def ask(shop, tmp_path):
    """Makes the tool that a file declares, and calls it."""
    client = open_client(tls_context())
    model = tmp_path / "model"
    model.mkdir()
    (model / "model.conf").touch()

    async def ask(given, environ=ENVIRON, context=CONTEXT, **http):
        http = {"url": shop.address.http + "/hours"} | http
        http["url"] = http["url"].replace("SHOP", shop.address.http)
        path = tmp_path / "set.yaml"
        path.write_text(FILE.format(http=json.dumps(http), model=model))
        settings = load_config(path, registry=REGISTRY, environ=environ).pipelines["default"]
        tool = http_tool("ask", settings.declared["ask"], settings.secrets, client)
        with trio.fail_after(LONG_S):
            return await tool.function(given, context)

    yield ask
    await client.aclose()


SPAN = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled=True, state="a=1")


@pytest.mark.parametrize(
    ("http", "trace", "parent", "state"),
    [
        ({}, SPAN, SPAN.traceparent, "a=1"),
        ({}, None, None, None),
        ({"trace_context": False}, SPAN, None, None),
        ({"headers": {"TraceParent": "own"}}, SPAN, "own", None),
    ],
)
async def test_a_request_has_the_trace_of_its_tool(shop, ask, http, trace, parent, state):
    await ask({"day": "x"}, context=ToolContext("c", CallInfo(), trace=trace), **http)
    (request,) = shop.requests
    assert (request.headers.get("traceparent"), request.headers.get("tracestate")) == (parent, state)


async def test_a_get_has_its_arguments_in_the_query(shop, ask):
    arguments = {"day": "next monday & more", "people": 2, "notes": ["a", True, None, {"b": "ü"}]}
    assert await ask(arguments) == "open till 5"
    (request,) = shop.requests
    assert (request.method, request.path, request.body) == ("GET", "/hours", b"")
    assert request.query == (
        ("day", "next monday & more"),
        ("people", "2"),
        ("notes", "a"),
        ("notes", "true"),
        ("notes", '{"b": "ü"}'),
    )


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_others_have_them_in_a_json_body(shop, ask, method):
    await ask({"day": "monday", "people": 2}, method=method, query={"v": "1"})
    (request,) = shop.requests
    assert (request.method, request.path, request.query) == (method, "/hours", (("v", "1"),))
    assert request.headers["content-type"] == "application/json"
    assert request.json == {"day": "monday", "people": 2}


async def test_what_the_url_names_goes_there_encoded(shop, ask):
    await ask(
        {"day": "a/b?c#d e", "people": 2},
        url="SHOP/days/{day}/x?only={day}",
        method="DELETE",
        query={"k": "${API_KEY}"},
    )
    (request,) = shop.requests
    assert request.method == "DELETE"
    assert request.path in {"/days/a%2Fb%3Fc%23d%20e/x", "/days/a/b?c#d e/x"}
    assert request.query == (("only", "a/b?c#d e"), ("k", ENVIRON["API_KEY"]), ("people", "2"))


@pytest.mark.parametrize("day", ["", ".", ".."])
async def test_arguments_lead_nowhere_else(shop, ask, day):
    with pytest.raises(ToolError, match="day"):
        await ask({"day": day}, url="SHOP/days/{day}/x")
    assert shop.requests == []


async def test_headers_bring_secrets(shop, ask):
    await ask({"day": "x"}, headers={"Authorization": "Bearer ${API_KEY}", "X-Shop": "7"})
    (request,) = shop.requests
    assert request.headers["authorization"] == f"Bearer {ENVIRON['API_KEY']}"
    assert request.headers["x-shop"] == "7"


VALUES = {
    "caller": "+49 30/1",
    "called": "100",
    "call_id": "c-1",
    "date": "today",
    "variables.customer": "Z\u00f6e & co",
    "variables.X-Id": "7?x=1#y",
    "variables.odd": "100% {caller}",
}
CALL = ToolContext("c", CallInfo(), VALUES)


async def test_values_of_the_call_go_into_headers_and_end_none(shop, ask):
    headers = {
        "X-Caller": "{caller}",
        "X-Customer": "{variables.customer}; id={variables.X-Id}",
        "X-Odd": "{variables.odd}{variables.none|-}{variables.none}",
        "X-Text": "{{caller}}",
        "X-Secret": "${BRACED}",
        "Authorization": "Bearer ${API_KEY}",
    }
    await ask({"day": "x"}, ENVIRON | {"BRACED": "key{caller}key"}, CALL, headers=headers)
    (request,) = shop.requests
    sent = {name: value for name, value in request.headers.items() if name.startswith("x-")}
    assert sent == {
        "x-caller": "+49 30/1",
        "x-customer": "Z%C3%B6e & co; id=7?x=1#y",
        "x-odd": "100%25 {caller}-",
        "x-text": "{caller}",
        "x-secret": "key{caller}key",  # what the environment has in braces is no name
    }
    assert request.headers["authorization"] == f"Bearer {ENVIRON['API_KEY']}"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\n\nbody", "a\0b", "\u2028", "\x7f", " "])
async def test_no_value_begins_another_header(shop, ask, value):
    """Also not one that never went through `CallInfo`."""
    await ask(
        {"day": "x"}, context=ToolContext("c", CallInfo(), {"variables.v": value}), headers={"X-V": "{variables.v}"}
    )
    (request,) = shop.requests
    assert "x-evil" not in request.headers
    assert request.headers["x-v"].isascii()
    assert request.headers["x-v"].isprintable()
    assert request.body == b""


async def test_values_of_the_call_go_into_the_url_encoded(shop, ask):
    await ask(
        {"day": "x"},
        context=CALL,
        url="SHOP/{variables.X-Id}/{call_id}?who={variables.customer}",
        query={"n": "{caller}"},
    )
    (request,) = shop.requests
    assert request.path in {"/7%3Fx%3D1%23y/c-1", "/7?x=1#y/c-1"}
    assert request.query == (("who", "Z\u00f6e & co"), ("n", "+49 30/1"), ("day", "x"))


@pytest.mark.parametrize("value", ["", ".", ".."])
async def test_values_lead_nowhere_else(shop, ask, value):
    context = ToolContext("c", CallInfo(), {"variables.v": value})
    with pytest.raises(ToolError, match=r"variables\.v"):
        await ask({"day": "x"}, context=context, url="SHOP/{variables.v}/x")
    assert shop.requests == []


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_arguments_that_the_model_does_not_give(shop, ask, method):
    arguments = {"who": "{variables.customer}", "caller": "{caller}", "kind": "agent"}
    await ask({"day": "x", "who": "the model's own"}, context=CALL, method=method, arguments=arguments)
    (request,) = shop.requests
    sent = dict(request.query) if method == "GET" else request.json
    assert sent == {"day": "x", "who": "Z\u00f6e & co", "caller": "+49 30/1", "kind": "agent"}


async def test_an_argument_comes_before_a_value_of_its_name(shop, ask):
    await ask({"day": "x"}, context=ToolContext("c", CallInfo(), {"variables.v": "1", "day": "no"}), url="SHOP/{day}")
    assert shop.requests[0].path == "/x"


async def test_no_secret_comes_back(shop, ask):
    """A server that echoes what it was sent, in its answer or in its refusal."""
    shop.pieces = [f"to the main office you sent {ENVIRON['API_KEY']}, Basic YWRhOmh1bnRlcg=="]
    headers = {"Authorization": "Bearer ${API_KEY}", "x-shop": "main", "x-auth-token": "Basic YWRhOmh1bnRlcg=="}
    concealed = "to the main office you sent ${API_KEY}, Basic ***"
    assert await ask({"day": "x"}, headers=headers) == concealed
    shop.status = 400
    with pytest.raises(ToolError) as refused:
        await ask({"day": "x"}, headers=headers)
    assert str(refused.value) == f"HTTP 400: {concealed}"


@pytest.mark.parametrize(
    ("status", "pieces", "said"),
    [
        (404, ["no such day"], "HTTP 404: no such day"),
        (500, [], "HTTP 500"),
        (302, ["elsewhere"], "HTTP 302: elsewhere"),
        (400, ["x" * 10_000], "HTTP 400: " + "x" * 500),
    ],
)
async def test_what_is_no_success_is_an_error_with_what_was_said(shop, ask, status, pieces, said):
    shop.status, shop.pieces = status, pieces
    shop.headers = {"location": "/other"}
    with pytest.raises(ToolError) as refused:
        await ask({"day": "x"})
    assert str(refused.value) == said
    assert len(shop.requests) == 1


async def test_a_long_answer_is_cut(shop, ask):
    shop.pieces = ["ü" * 10_000] * 20
    text = await ask({"day": "x"})
    assert text.startswith("ü" * (MOST_BYTES // 2))
    assert text.endswith("… (and more)")
    assert len(text.encode()) < MOST_BYTES + 30
    assert await ask({"day": "x"}) == text


async def test_an_empty_answer_is_nothing(shop, ask):
    shop.status, shop.pieces = 204, []
    assert await ask({"day": "x"}) is None


@pytest.mark.parametrize("kind", ["refuse", "close", "reset", "rubbish"])
async def test_a_server_that_fails_is_an_error_and_asked_once(shop, ask, kind):
    shop.fault = Fault(kind)
    with pytest.raises(ToolError, match="the request failed"):
        await ask({"day": "x"})
    assert shop.connections <= 1
    assert len(shop.requests) <= 1


async def test_nobody_there(ask):
    with pytest.raises(ToolError, match="the request failed"):
        await ask({"day": "x"}, url="http://127.0.0.1:1/x")


async def test_cookies_do_not_go_from_one_caller_to_the_next(shop, ask):
    shop.headers = {"set-cookie": "caller=ada; Path=/"}
    await ask({"day": "x"})
    await ask({"day": "x"})
    assert all("cookie" not in request.headers for request in shop.requests)


async def test_connections_are_kept(shop, ask):
    for _ in range(3):
        await ask({"day": "x"})
    assert (len(shop.requests), shop.connections) == (3, 1)


async def test_a_slow_answer_can_be_given_up(shop, ask):
    shop.fault = Fault("stall")
    with trio.move_on_after(0.3) as scope:
        await ask({"day": "x"})
    assert scope.cancelled_caught
    shop.fault = None
    assert await ask({"day": "x"}) == "open till 5"
