"""What the openai adapters share: a client that knows only what it was told, probes, and failures in our words."""

from __future__ import annotations

import errno
from contextlib import asynccontextmanager
from email.utils import formatdate
from time import time

import pytest
import trio
from attrs import field, frozen
from vendors.openai_requests import KEY
from vendors.openai_server import OpenAIServer
from vendors.serving import Fault, open_memory_network

from voicepipe.adapters.openai.client import check_client, open_client
from voicepipe.adapters.openai.errors import broken_off, refused, retry_after_s
from voicepipe.adapters.openai.sdk_client import open_sdk_client
from voicepipe.components.quoting import quoted
from voicepipe.components.values import CaFile, Secret
from voicepipe.errors import ComponentError

NAME = "${OPENAI_API_KEY}"


@frozen
class Account:
    api_key: Secret | None = field(default=Secret(KEY, NAME))
    base_url: str | None = "http://openai.test:80/v1"
    ca_file: CaFile | None = None
    connect_timeout_s: float = 5.0
    timeout_s: float = 10.0


@pytest.fixture
async def network(monkeypatch):
    async with open_memory_network(monkeypatch) as opened:
        yield opened


@pytest.fixture
async def server(network):
    vendor = OpenAIServer()
    network.listen("openai.test", vendor)
    return vendor


BOTH = pytest.mark.parametrize("opener", [open_client, open_sdk_client])
"""The client of language models, and the SDK's of speech."""


async def probe(resources, model=None, opener=open_client, **account) -> None:
    async with opener(Account(**account), resources) as client:
        await client.probe(model)


async def failure_of(resources, model=None, opener=open_client, **account) -> ComponentError:
    with pytest.raises(ComponentError) as caught:
        await probe(resources, model, opener, **account)
    return caught.value


# --- The client ----------------------------------------------------------------------------------------------------


@BOTH
async def test_nothing_is_taken_from_the_environment(autojump_clock, monkeypatch, server, resources, opener):
    """Not where it is, nor who asks, nor what to tell."""
    for name, value in {
        "OPENAI_API_KEY": "sk-from-the-environment",
        "OPENAI_ADMIN_KEY": "sk-admin",
        "OPENAI_BASE_URL": "http://elsewhere.test/v1",
        "OPENAI_ORG_ID": "org-1",
        "OPENAI_PROJECT_ID": "proj-1",
        "OPENAI_CUSTOM_HEADERS": "X-Tenant: 7\nAuthorization: Bearer sk-custom",
        "HTTP_PROXY": "http://proxy.test:3128",
        "ALL_PROXY": "http://proxy.test:3128",
    }.items():
        monkeypatch.setenv(name, value)
    await probe(resources, opener=opener)
    (request,) = server.requests
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert {"openai-organization", "openai-project", "x-tenant"}.isdisjoint(request.headers)
    async with opener(Account(base_url=None), resources) as client:
        assert client.base_url == "https://api.openai.com/v1/"


@BOTH
async def test_no_key_is_no_key(autojump_clock, monkeypatch, server, resources, opener):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    server.api_key = None
    await probe(resources, "gpt-4.1-mini", opener, api_key=None)
    assert "authorization" not in server.requests[0].headers


async def test_the_server_of_a_client_that_is_closed_is_left(autojump_clock, server, resources):
    async with open_client(Account(), resources) as client:
        await client.probe()
        assert server.open == 1
    await trio.sleep(0.001)
    assert server.open == 0


def problems_of(**account):
    return [(problem.path, problem.message, problem.hint) for problem in check_client(Account(**account))]


@pytest.mark.parametrize(
    "base_url", ["openai.test/v1", "ftp://openai.test", "http://", "http://h:99999/v1", "http://[/v1"]
)
def test_an_address_is_http(base_url):
    ((path, message, hint),) = problems_of(base_url=base_url)
    assert (path, message) == ("base_url", "is not an http:// or https:// address")
    assert hint


@pytest.mark.parametrize(
    ("base_url", "needed"),
    [
        (None, True),
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("http://127.0.0.1:11434/v1", False),
        ("https://api.groq.com/openai/v1", False),
    ],
)
def test_openai_itself_wants_a_key(base_url, needed):
    problems = problems_of(base_url=base_url, api_key=None)
    assert problems == ([("api_key", "OpenAI requires a key", f"api_key: {NAME}")] if needed else [])
    assert problems_of(base_url=base_url) == []


def test_a_key_that_no_header_can_hold_is_told():
    ((path, _, _),) = problems_of(api_key=Secret("sk-1\nsk-2", NAME))
    assert path == "api_key"


# --- Probes --------------------------------------------------------------------------------------------------------


async def test_a_model_is_looked_for_where_that_is_possible(autojump_clock, server, resources):
    await probe(resources, "gpt-4.1-mini")
    error = await failure_of(resources, "gpt-none")
    assert (error.message, error.retryable) == ("HTTP 404", False)
    assert "gpt-none" in error.answered
    assert NAME in error.hint
    assert {request.path for request in server.requests} == {"/v1/models/gpt-4.1-mini", "/v1/models/gpt-none"}


async def test_a_server_that_lists_its_models_only_will_do(autojump_clock, server, resources):
    """As vLLM; whether it takes other names than those it lists is not ours to know."""
    server.retrieves = False
    await probe(resources, "meta-llama/Llama-3.2")
    assert [request.path for request in server.requests] == ["/v1/models/meta-llama%2FLlama-3.2", "/v1/models"]


@pytest.mark.parametrize(
    "answer",
    [
        Fault("status", status=404, body={"detail": "Not Found"}),
        Fault("status", status=405, body={"detail": "Method Not Allowed"}),
        Fault("status", status=404, body="404 page not found"),
        Fault("status", status=501),
        Fault(
            "status",
            status=403,
            body={"error": {"message": "You have insufficient permissions. Missing scopes: api.model.read."}},
        ),
    ],
    ids=lambda answer: f"{answer.status} {answer.body}",
)
async def test_a_server_that_tells_nothing_of_its_models_is_alive(autojump_clock, server, resources, answer):
    server.fault = answer
    await probe(resources)
    await probe(resources, "llama3.2")


async def test_a_wrong_key_is_told_by_its_name(autojump_clock, server, resources):
    error = await failure_of(resources, api_key=Secret("sk-wrong-0123456789", NAME))
    assert (error.message, error.retryable) == ("HTTP 401", False)
    assert error.answered.startswith("Incorrect API key provided: sk-wrong")
    assert error.hint == f"is {NAME} set for this account?"
    error = await failure_of(resources, api_key=Secret("sk-wrong-0123456789"))
    assert error.hint == "is api_key set for this account?"
    error = await failure_of(resources, api_key=None)
    assert error.hint == "the server requires a key: set api_key"


@BOTH
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault("refuse"), f"no connection to openai.test:80: [Errno {errno.ECONNREFUSED}] Connection refused"),
        (Fault("stall"), "nothing came for 10 s"),
        (Fault("close"), "the connection broke: Server disconnected without sending a response."),
        (Fault("half_close"), "the connection broke: Server disconnected without sending a response."),
        (Fault("reset"), "the connection broke"),
        (Fault("rubbish"), "the connection broke: "),
    ],
    ids=lambda fault: getattr(fault, "kind", ""),
)
async def test_a_server_that_can_not_be_asked_is_told(autojump_clock, server, resources, fault, message, opener):
    server.fault = fault
    error = await failure_of(resources, opener=opener)
    assert error.message.startswith(message)
    assert error.retryable


async def test_connecting_takes_no_longer_than_it_may(autojump_clock, network, server, resources):
    network.latency_s = 100
    before = trio.current_time()
    error = await failure_of(resources, connect_timeout_s=3)
    assert (error.message, error.retryable) == ("no connection to openai.test:80 within 3 s", True)
    assert trio.current_time() - before == 3


async def test_the_caller_of_failures_keeps_its_own(resources):
    @asynccontextmanager
    async def opened():
        async with open_client(Account(), resources) as client:
            with client.failures():
                yield

    with pytest.raises(ZeroDivisionError):
        async with opened():
            raise ZeroDivisionError


# --- Refusals ------------------------------------------------------------------------------------------------------

PASSING = [408, 409, 425, 429, 500, 502, 503, 529]
LASTING = [400, 401, 402, 403, 404, 413, 422]


@pytest.mark.parametrize(
    ("status", "retryable"), [*((status, True) for status in PASSING), *((status, False) for status in LASTING)]
)
def test_a_status_says_whether_to_try_again(status, retryable):
    error = refused(status, {}, "", NAME)
    assert (error.message, error.retryable, error.answered) == (f"HTTP {status}", retryable, "")


@pytest.mark.parametrize(
    ("body", "answered"),
    [
        ('{"error": {"message": "No.", "type": "x", "param": "tools", "code": null}}', "No. (tools)"),
        ('{"error": {"message": "tools: no.", "param": "tools"}}', "tools: no."),
        ('{"error": {"code": "overloaded", "message": null}}', '{"code": "overloaded", "message": null}'),
        ('{"error": "model \\"x\\" not found, try pulling it first"}', 'model "x" not found, try pulling it first'),
        ('{"object": "error", "message": "No.", "type": "BadRequestError", "code": 400}', "No."),
        ('{"detail": "Not Found"}', "Not Found"),
        ('{"detail": [{"loc": ["body"], "msg": "no"}]}', '[{"loc": ["body"], "msg": "no"}]'),
        ("<html>\n<b>Bad Gateway</b>", "<html> <b>Bad Gateway</b>"),
        ("[]", "[]"),
        ("x" * 500, "x" * 199 + "…"),
    ],
)
def test_what_was_answered_is_quoted_whatever_its_form(body, answered):
    assert quoted(refused(500, {}, body, NAME).answered) == answered


def test_an_account_without_credit_stays_so(resources):
    body = '{"error": {"message": "You exceeded your current quota", "code": "insufficient_quota", "type": "x"}}'
    error = refused(429, {}, body, NAME)
    assert (error.retryable, error.hint) == (False, f"the account of {NAME} has no credit left")
    assert refused(429, {}, '{"error": {"code": "rate_limit_exceeded"}}', NAME).retryable


@pytest.mark.parametrize("code", ["content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"])
def test_a_refusal_by_a_filter_blames_no_setting(code):
    body = f'{{"error": {{"message": "The response was filtered.", "code": "{code}", "param": "prompt"}}}}'
    error = refused(400, {}, body, NAME)
    assert error.fault == "request"
    assert "content filter" in error.hint


def test_openais_word_on_trying_again_counts():
    assert not refused(500, {"x-should-retry": "false"}, "", NAME).retryable
    assert refused(400, {"x-should-retry": "true"}, "", NAME).retryable


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "2", "retry-after-ms": "1500"}, 1.5),
        ({"retry-after": "2", "retry-after-ms": "soon"}, 2.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "-1"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_how_long_to_wait_is_told(headers, seconds):
    assert retry_after_s(headers) == seconds
    assert refused(429, headers, "", NAME).retry_after_s == seconds


def test_a_date_to_wait_for_is_some_seconds_away():
    assert 3000 < (retry_after_s({"retry-after": formatdate(time() + 3600, usegmt=True)}) or 0) <= 3600


@pytest.mark.parametrize("error", ["stopped", {"message": "stopped"}, {"type": "server_error"}, ["stopped"], 3, {}])
def test_an_error_of_any_form_in_mid_answer_can_be_told(error):
    failure = broken_off(error, NAME)
    assert failure.retryable
    assert failure.answered
