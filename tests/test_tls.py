"""Whom connections by TLS trust, the same for every adapter and for tools, and what is said when they don't."""

from __future__ import annotations

import json
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest
import trio
import trustme
from attrs import fields_dict, frozen
from config_adapters import ENVIRON, REGISTRY
from vendors.deepgram_listen import DeepgramListen
from vendors.deepgram_speak import DeepgramSpeak
from vendors.elevenlabs import ElevenLabs
from vendors.openai_audio import AudioServer
from vendors.openai_server import OpenAIServer
from vendors.serving import VendorServer, open_vendor

from voicepipe.adapters.deepgram import stt as deepgram_stt
from voicepipe.adapters.deepgram import tts as deepgram_tts
from voicepipe.adapters.elevenlabs import tts as elevenlabs
from voicepipe.adapters.openai import llm as openai_llm
from voicepipe.adapters.openai import stt as openai_stt
from voicepipe.adapters.openai import tts as openai_tts
from voicepipe.components import tls
from voicepipe.components.boundary import ComponentRef, as_component_error, await_guarded
from voicepipe.components.protocols import Resources
from voicepipe.components.registry import installed
from voicepipe.components.requests import CallInfo
from voicepipe.components.tls import fault_of_ca_file, tls_context
from voicepipe.components.values import CaFile, Secret
from voicepipe.config.load import load_config
from voicepipe.errors import ComponentError, ConfigError, ToolError
from voicepipe.tools.functions import ToolContext
from voicepipe.tools.http import http_tool, open_client

NOW = datetime.now(UTC)
DAY = timedelta(days=1)


# --- Servers -------------------------------------------------------------------------------------------------------


@frozen
class Certificates:
    """A CA, another one, and servers' certificates."""

    ca: trustme.CA
    other: trustme.CA
    directory: Path

    def file(self, content: bytes, name: str = "ca.pem") -> CaFile:
        (self.directory / name).write_bytes(content)
        return CaFile(self.directory / name, content, Path(name))

    @property
    def own(self) -> CaFile:
        return self.file(self.ca.cert_pem.bytes())

    @property
    def foreign(self) -> CaFile:
        return self.file(self.other.cert_pem.bytes(), "other.pem")

    def hashed(self) -> Path:
        """A directory as `openssl rehash` makes it, which has what is not trusted in it as well."""
        directory = self.directory / "hashed"
        directory.mkdir(exist_ok=True)
        (directory / "1a2b3c4d.0").write_bytes(self.ca.cert_pem.bytes())
        (directory / "notes.pem").write_bytes(self.other.cert_pem.bytes())
        return directory

    def server(self, kind: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if kind == "self-signed":
            chain, key = self.ca.cert_pem.bytes(), self.ca.private_key_pem.bytes()
        else:
            name = "elsewhere.test" if kind == "other name" else "127.0.0.1"
            times = {
                "expired": {"not_before": NOW - 2 * DAY, "not_after": NOW - DAY},
                "not yet": {"not_before": NOW + DAY, "not_after": NOW + 2 * DAY},
            }
            leaf = self.ca.issue_cert(name, **times.get(kind, {}))
            chain = b"".join(pem.bytes() for pem in leaf.cert_chain_pems)
            if kind == "with its root":
                chain += self.ca.cert_pem.bytes()
            key = leaf.private_key_pem.bytes()
        path = self.directory / f"{kind}.pem"
        path.write_bytes(key + chain)
        context.load_cert_chain(path)
        return context


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    return Certificates(trustme.CA(), trustme.CA(), tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch):
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


# --- Clients -------------------------------------------------------------------------------------------------------

TOOL_FILE = """\
pipelines:
  default: {{stt: {{type: ears, model: {model}}}, llm: {{type: chat, model: m}}, tts: voice, tools: [ask]}}
tools:
  ask: {{description: Asks., http: {http}}}
"""


class Shop(VendorServer):
    async def answer(self, request, response):
        await response.json("open till 5")


def probing(adapter, **options):
    """Opens an adapter, as the engine does, and probes it."""

    async def ask(address, ca_file):
        resources = Resources(component="test", threads=trio.CapacityLimiter(4))
        base_url = f"{address}/v1" if adapter.name == "openai" else address
        given = adapter.options(base_url=base_url, ca_file=ca_file, **options)
        async with adapter.open(given, resources) as component:
            await component.probe()

    return ask


async def ask_by_tool(address, ca_file):
    """Calls a tool; its failure comes as an adapter's would: what the model is told, and what the operator."""
    http = {"url": address} | ({"ca_file": str(ca_file.path)} if ca_file else {})
    with TemporaryDirectory() as directory:
        (model := Path(directory, "model")).mkdir()
        (model / "model.conf").touch()
        (path := Path(directory, "set.yaml")).write_text(TOOL_FILE.format(http=json.dumps(http), model=model))
        settings = load_config(path, registry=REGISTRY, environ=ENVIRON).pipelines["default"]
    declared = settings.declared["ask"]
    client = open_client(tls_context(declared.http.ca_file))
    try:
        await http_tool("ask", declared, settings.secrets, client).function({}, ToolContext("c", CallInfo()))
    except ToolError as error:
        raise ComponentError(str(error), retryable=False, hint=error.hint) from None
    finally:
        await client.aclose()


OPENAI = Secret("sk-test-0123456789", "${KEY}")
KEY = Secret("test-key", "${KEY}")
CLIENTS = {
    "openai llm": (probing(openai_llm.llm, api_key=OPENAI, model="gpt-4.1-mini"), OpenAIServer),
    "openai stt": (probing(openai_stt.stt, api_key=OPENAI), AudioServer),
    "openai tts": (probing(openai_tts.tts, api_key=OPENAI), AudioServer),
    "deepgram stt": (probing(deepgram_stt.stt, api_key=KEY), DeepgramListen),
    "deepgram tts": (probing(deepgram_tts.tts, api_key=KEY, transport="websocket"), DeepgramSpeak),
    "deepgram tts by REST": (probing(deepgram_tts.tts, api_key=KEY, transport="rest"), DeepgramSpeak),
    "elevenlabs tts": (probing(elevenlabs.tts, api_key=KEY), ElevenLabs),
    "a tool": (ask_by_tool, Shop),
}
every_client = pytest.mark.parametrize(("ask", "vendor"), CLIENTS.values(), ids=CLIENTS)


def test_every_adapter_that_can_be_told_its_server_is_here():
    told = {adapter for adapter in installed() if "base_url" in fields_dict(adapter.options)}
    assert {f"{adapter.name} {adapter.role}" for adapter in told} <= set(CLIENTS)
    types = {str(fields_dict(adapter.options)["ca_file"].type).rpartition(".")[2] for adapter in told}
    assert types <= {"CaFile | None", "Optional[CaFile]", "CaFile]"}


async def failure_of(ask, address, ca_file=None):
    with pytest.raises(ComponentError) as caught:
        await ask(address, ca_file)
    return caught.value


# --- Whom they trust -----------------------------------------------------------------------------------------------

TRUSTING = {
    "ca_file": lambda _certificates: {},
    "SSL_CERT_FILE": lambda certificates: {"SSL_CERT_FILE": str(certificates.own.path), "SSL_CERT_DIR": "/nowhere"},
    "SSL_CERT_DIR": lambda certificates: {"SSL_CERT_DIR": f"/nowhere{os.pathsep}{certificates.hashed()}"},
}
"""What stands in the environment."""


@every_client
@pytest.mark.parametrize("by", TRUSTING)
async def test_a_private_ca_is_trusted_where_it_is_named(certificates, monkeypatch, ask, vendor, by):
    for variable, value in TRUSTING[by](certificates).items():
        monkeypatch.setenv(variable, value)
    server = vendor()
    async with open_vendor(server, certificates.server("good")) as address:
        await ask(address.https, certificates.own if by == "ca_file" else None)
    assert server.requests


@every_client
async def test_a_ca_file_is_trusted_instead_of_the_machines_store(certificates, monkeypatch, ask, vendor):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.own.path))
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    async with open_vendor(vendor(), certificates.server("good")) as address:
        failure = await failure_of(ask, address.https, certificates.foreign)
    assert "unknown issuer" in failure.message
    assert "other.pem" in failure.hint


REFUSED = {
    "good": ("unknown issuer", "unable to get local issuer certificate"),
    "with its root": ("unknown issuer", "self-signed certificate in certificate chain"),
    "self-signed": ("a self-signed certificate", "not trusted"),
}
"""What a server has that is not trusted, and what is said of it."""

WRONG = {
    "other name": ("another host name", "not valid for '127.0.0.1'"),
    "expired": ("expired",),
    "not yet": ("not yet valid",),
}
"""The same where trusting its CA does not help."""


@every_client
@pytest.mark.parametrize("kind", REFUSED)
async def test_whoever_is_not_trusted_is_told_why_and_what_to_do(certificates, ask, vendor, kind):
    server = vendor()
    async with open_vendor(server, certificates.server(kind)) as address:
        failure = await failure_of(ask, address.https)
    assert all(words in failure.message for words in REFUSED[kind]), failure.message
    assert "ca_file" in failure.hint
    assert "SSL_CERT_FILE" in failure.hint
    assert not failure.retryable
    assert not server.requests


@every_client
@pytest.mark.parametrize("kind", WRONG)
async def test_a_trusted_ca_makes_no_wrong_certificate_good(certificates, ask, vendor, kind):
    server = vendor()
    async with open_vendor(server, certificates.server(kind)) as address:
        failure = await failure_of(ask, address.https, certificates.own)
    assert all(words in failure.message for words in WRONG[kind]), failure.message
    assert "ca_file" in failure.hint
    assert not failure.retryable
    assert not server.requests


async def say_bad_request(stream):
    """What web servers answer to the beginning of a TLS handshake."""
    await stream.receive_some()
    await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")


@every_client
async def test_a_server_without_tls_is_called_that(ask, vendor):
    async with open_vendor(say_bad_request) as address:
        failure = await failure_of(ask, address.https)
    assert "does not speak TLS" in failure.message
    assert "http://" in failure.hint
    assert not failure.retryable


async def test_a_self_signed_certificate_may_be_its_own_ca_file(certificates):
    ca = certificates.own
    async with open_vendor(OpenAIServer(), certificates.server("self-signed")) as address:
        failure = await failure_of(CLIENTS["openai llm"][0], address.https, ca)
    assert "another host name" in failure.message  # it is trusted: only its name is that of a CA


async def test_a_ca_below_another_may_stand_in_a_file_by_itself(certificates):
    below = certificates.ca.create_child_ca()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    below.issue_cert("127.0.0.1").configure_cert(server)
    async with open_vendor(OpenAIServer(), server) as address:
        await CLIENTS["openai llm"][0](address.https, certificates.file(below.cert_pem.bytes(), "below.pem"))


@pytest.mark.parametrize(("variable", "value"), [("SSL_CERT_FILE", "/no/such.pem"), ("SSL_CERT_DIR", "/no/such")])
async def test_a_variable_that_leads_nowhere_is_named(certificates, monkeypatch, variable, value):
    monkeypatch.setenv(variable, value)
    async with open_vendor(OpenAIServer(), certificates.server("good")) as address:
        failure = await failure_of(CLIENTS["openai llm"][0], address.https)
    assert f"{variable} names {value}, which does not exist" in failure.hint


async def test_an_adapter_that_knows_nothing_of_this_is_understood_too(certificates):
    """Third parties' adapters raise what their library does, or call it a broken connection."""

    async def plain(url):
        async with httpx.AsyncClient(verify=tls_context(), trust_env=False) as client:
            await client.get(url)

    async def wrapped(url):
        try:
            await plain(url)
        except httpx.HTTPError as error:
            raise ComponentError("can't be reached", answered=str(error)) from error

    who = ComponentRef("llm", "theirs")
    async with open_vendor(OpenAIServer(), certificates.server("good")) as address:
        for ask in (plain, wrapped):
            with pytest.raises(ComponentError, match="unknown issuer") as caught:
                await await_guarded(who, ask, address.https)
            assert "ca_file" in caught.value.hint
            assert not caught.value.retryable
            said = str(caught.value)
            assert str(as_component_error(caught.value, who)) == said  # once


# --- One context ---------------------------------------------------------------------------------------------------


def test_all_who_trust_the_same_share_a_context(certificates, monkeypatch):
    assert tls_context() is tls_context()
    own = tls_context(certificates.own)
    assert own is tls_context(certificates.file(certificates.own.content, "copy.pem"))
    assert len({tls_context(), own, tls_context(certificates.foreign)}) == 3
    assert own.verify_mode == ssl.CERT_REQUIRED
    assert own.check_hostname


def test_a_store_that_changed_counts_for_whoever_asks_afterwards(certificates, monkeypatch):
    store = certificates.file(certificates.other.cert_pem.bytes(), "store.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(store.path))
    monkeypatch.setenv("SSL_CERT_DIR", "/nowhere")
    before = tls_context()
    assert len(before.get_ca_certs()) == 1
    store.path.write_bytes(certificates.other.cert_pem.bytes() + certificates.ca.cert_pem.bytes())
    assert len(tls_context().get_ca_certs()) == 2
    assert len(before.get_ca_certs()) == 1


def test_no_certificate_is_looked_up_in_a_handshake(certificates, monkeypatch):
    """A directory given to OpenSSL is read while it shakes hands, on the loop; what is here is in memory."""
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    monkeypatch.setenv("SSL_CERT_DIR", str(certificates.hashed()))
    assert tls_context().cert_store_stats()["x509_ca"] == 1


def test_a_machine_whose_python_finds_no_store_has_another(monkeypatch, tmp_path):
    paths = ssl.get_default_verify_paths()._replace(openssl_cafile="/nowhere.pem", openssl_capath="/nowhere")
    monkeypatch.setattr(tls.ssl, "get_default_verify_paths", lambda: paths)
    monkeypatch.setattr(tls, "KNOWN_STORES", ())
    assert len(tls_context().get_ca_certs()) > 100  # certifi's


# --- Files of certificates -----------------------------------------------------------------------------------------

BLOCK = trustme.CA().cert_pem.bytes()
COMMENTED = "# Autorität, Zürich\n".encode() + BLOCK + "Größe\n".encode() + trustme.CA().cert_pem.bytes()
CRLF = BLOCK.replace(b"\n", b"\r\n")
FAULTS = {
    "der": (ssl.PEM_cert_to_DER_cert(BLOCK.decode()), "is not a PEM file"),
    "text": (b"see https://ca.example\n", "is not a PEM file"),
    "a key": (trustme.CA().private_key_pem.bytes(), "contains no certificate, but a "),
    "cut off": (BLOCK + BLOCK[:200], f"line {BLOCK.count(10) + 1} that can't be read"),
    "cut off before another": (BLOCK[:200] + b"\n" + BLOCK, "line 1 that can't be read"),
    "not base64": (BLOCK.replace(b"MII", b"M!I", 1), "line 1 that can't be read"),
    "other bytes": (BLOCK + b"\n# the second\n" + BLOCK.replace(b"MII", b"AAA", 1), "that can't be read"),
    "empty": (b"-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n", "line 1 that can't be read"),
}


@pytest.mark.parametrize(("content", "fault"), FAULTS.values(), ids=FAULTS)
def test_a_file_that_holds_no_certificate_is_refused_where_it_is_named(tmp_path, content, fault):
    (tmp_path / "ca.pem").write_bytes(content)
    http = '{url: "https://shop.test", ca_file: ca.pem}'
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.conf").touch()
    (tmp_path / "set.yaml").write_text(TOOL_FILE.format(http=http, model="model"))
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "set.yaml", registry=REGISTRY, environ=ENVIRON)
    (problem,) = caught.value.problems
    assert problem.path == "tools.ask.http.ca_file"
    assert (problem.where.line, problem.where.column) == (4, 71)
    assert fault in problem.message
    assert problem.hint


@pytest.mark.parametrize("content", [BLOCK, COMMENTED, CRLF], ids=["plain", "with comments", "with CRLF"])
def test_what_stands_between_certificates_does_not_matter(certificates, content):
    assert fault_of_ca_file(content) is None
    trusted = tls_context(certificates.file(content, "bundle.pem"))
    assert len(trusted.get_ca_certs()) == content.count(b"BEGIN")
