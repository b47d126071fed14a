"""CA files over time: a changed one is a new version; a server that is not trusted is a located problem."""

from __future__ import annotations

import ssl

import pytest
import trio
import trio.testing
import trustme
from recording import RecordedSet, pipeline
from vendors.openai_server import OpenAIServer
from vendors.serving import VendorServer, open_vendor

from voicepipe import Applied, CallInfo, Rejected, ToolContext, Unchanged
from voicepipe.adapters.openai.llm import llm
from voicepipe.components.tls import tls_context
from voicepipe.pipelines.runtime import open_runtime


@pytest.fixture
def ca():
    return trustme.CA()


@pytest.fixture
def server_tls(ca):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ca.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    recorded = RecordedSet(tmp_path)
    recorded.registry.add(llm)
    return recorded


def with_model(address, **options):
    wanted = {"type": "openai", "model": "gpt-4.1-mini", "api_key": "sk-test-0123456789"}
    return pipeline() | {"llm": wanted | {"base_url": f"{address.https}/v1"} | options}


async def test_a_changed_ca_file_is_a_new_version_of_what_uses_it(recorded, ca, server_tls, tmp_path):
    file = tmp_path / "ca.pem"
    ca.cert_pem.write_to_path(str(file))
    async with open_vendor(OpenAIServer(), server_tls) as address:
        recorded.write(default=with_model(address, ca_file="ca.pem"))
        async with recorded.serve() as pipelines:
            assert file in pipelines.current.config.files
            assert isinstance(await pipelines.reload(), Unchanged)
            file.write_bytes(file.read_bytes() + trustme.CA().cert_pem.bytes())  # the old one and the next
            outcome = await pipelines.reload()
            assert isinstance(outcome, Applied)
            assert [one.split()[:2] for one in outcome.plan.opened] == [["llm", "openai"]]
            file.write_bytes(trustme.CA().cert_pem.bytes())
            outcome = await pipelines.reload()
            assert isinstance(outcome, Rejected)
            (problem,) = outcome.problems
            assert problem.path == "pipelines.default.llm"
            assert problem.where.file == recorded.path
            assert f"127.0.0.1:{address.port} has a certificate of an unknown issuer" in problem.message
            assert "ca.pem" in problem.hint
            assert pipelines.current.version == 2


async def test_a_server_that_nobody_vouches_for_is_a_located_problem(recorded, server_tls):
    async with open_vendor(OpenAIServer(), server_tls) as address, recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=with_model(address))
        assert isinstance(outcome, Rejected)
        (problem,) = outcome.problems
        assert "unknown issuer" in problem.message
        assert "ca_file" in problem.hint
        assert "SSL_CERT_FILE" in problem.hint


class Shop(VendorServer):
    async def answer(self, request, response):
        await response.json("open till 5")


async def test_a_tool_asks_with_its_own_ca_file(recorded, ca, server_tls, tmp_path):
    ca.cert_pem.write_to_path(str(tmp_path / "ca.pem"))

    def tools(address, **http):
        return {"ask": {"description": "Asks.", "http": {"url": address.https} | http}}

    async def ask(snapshot):
        (tool,) = snapshot.pipelines["default"].tools
        return await tool.function({}, ToolContext("c", CallInfo()))

    async with open_vendor(Shop(), server_tls) as address:
        sections = {"tools": tools(address, ca_file="ca.pem")}
        recorded.write(sections=sections, default=pipeline(tools=["ask"]))
        async with recorded.serve() as pipelines:
            with pipelines.pin() as before:
                assert await ask(before) == '"open till 5"'
                (tmp_path / "ca.pem").write_bytes(trustme.CA().cert_pem.bytes())
                assert isinstance(await pipelines.reload(), Applied)
                # A call keeps what its version trusts, as long as it holds it.
                assert await ask(before) == '"open till 5"'
                with pytest.raises(Exception, match="unknown issuer") as caught:
                    await ask(pipelines.current)
                assert "ca.pem" in caught.value.hint


async def test_tools_share_a_client_until_no_version_has_it(ca, monkeypatch):
    async with open_runtime() as runtime:
        clients = runtime.http_clients
        first, second = await clients.acquire(None), await clients.acquire(None)
        assert first is second
        assert first.context is tls_context()
        clients.release(first)
        await trio.testing.wait_all_tasks_blocked()
        assert not first.http.is_closed
        clients.release(second)
        await trio.testing.wait_all_tasks_blocked()
        assert first.http.is_closed
        left = await clients.acquire(None)
        assert left is not first
    assert left.http.is_closed
