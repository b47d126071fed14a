"""Who may place calls over a browser's listener: a table of requests as browsers and programs send them."""

from __future__ import annotations

import tomllib
from base64 import urlsafe_b64encode
from importlib.resources import files
from pathlib import Path

import pytest

from voicepipe.components.values import Secret
from voicepipe.transports.browser.access import why_refused
from voicepipe.transports.browser.listener import BrowserCalls, BrowserOptions, check_options
from voicepipe.transports.browser.page import FILES, HEADERS
from voicepipe.transports.websocket_calls import HttpRequest, Upgrade

TOKEN = "correct horse battery staple"
PROXY = ("https://agent.example.com",)


def upgrade(host="localhost:9080", origin=None, *, authorization=None, protocols=None):
    headers = {"host": host, "origin": origin, "authorization": authorization, "sec-websocket-protocol": protocols}
    given = {name: value for name, value in headers.items() if value is not None}
    return Upgrade(target="/call", path="/call", query={}, headers=given, peer="127.0.0.1:5")


def offering(token):
    """The subprotocols that the page offers with a token."""
    return f"voicepipe, token.{urlsafe_b64encode(token.encode()).decode().rstrip('=')}"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade(origin="http://localhost:9080"), None),
        (upgrade(origin="HTTP://LOCALHOST:9080"), None),
        (upgrade("127.0.0.1:9080", "http://127.0.0.1:9080"), None),
        (upgrade("127.3.2.1:9080", "http://127.3.2.1:9080"), None),
        (upgrade("[::1]:9080", "http://[::1]:9080"), None),
        (upgrade("localhost", "http://localhost"), None),
        (upgrade("localhost:443", "https://localhost:443"), None),
        (upgrade("phone.localhost:9080", "http://phone.localhost:9080"), None),
        (upgrade(), None),  # a program
        # A page of a stranger, which the browser lets connect anywhere.
        (upgrade(origin="http://evil.example"), 403),
        (upgrade(origin="http://localhost:8080"), 403),  # another server of this machine
        (upgrade(origin="http://localhost"), 403),
        (upgrade(origin="http://localhost:9080.evil.example"), 403),
        (upgrade(origin="http://evil.example/localhost:9080"), 403),
        (upgrade(origin="null"), 403),  # a file, or a sandboxed frame
        (upgrade(origin="file://"), 403),
        (upgrade("127.0.0.1:9080", "http://localhost:9080"), 403),
        # A stranger's name that resolves to this machine.
        (upgrade("evil.example:9080", "http://evil.example:9080"), 403),
        (upgrade("127.0.0.1.evil.example:9080", "http://127.0.0.1.evil.example:9080"), 403),
        (upgrade("localhost.evil.example", None), 403),
        (upgrade("192.168.1.5:9080", "http://192.168.1.5:9080"), 403),
        (upgrade("", None), 403),
        (upgrade("[::1:9080", None), 403),
    ],
    ids=lambda value: str(value.headers) if isinstance(value, Upgrade) else str(value),
)
def test_without_a_token_only_the_own_page_on_this_machine_may_call(request_, status):
    refusal = why_refused(request_, None, ())
    assert (refusal and refusal[0]) == status


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade("agent.example.com", "https://agent.example.com"), None),
        (upgrade("localhost:9080", "https://agent.example.com"), None),  # a proxy that names its target
        (upgrade("localhost:9080", "http://localhost:9080"), None),
        (upgrade("agent.example.com", "http://agent.example.com"), None),
        (upgrade("agent.example.com", "https://evil.example"), 403),
        (upgrade("localhost:9080", "http://agent.example.com"), 403),  # not the scheme that is listed
        (upgrade("evil.example", "https://evil.example"), 403),
    ],
    ids=lambda value: str(value.headers) if isinstance(value, Upgrade) else str(value),
)
def test_pages_of_a_proxy_are_listed(request_, status):
    refusal = why_refused(request_, None, PROXY)
    assert (refusal and refusal[0]) == status


FAR = ("phone.example.com:9443", "https://phone.example.com:9443")


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (upgrade(*FAR, protocols=offering(TOKEN)), None),
        (upgrade(*FAR, protocols=offering(TOKEN).partition(", ")[2]), None),
        (upgrade(*FAR, authorization=f"Bearer {TOKEN}"), None),
        (upgrade(*FAR, authorization=f"bearer  {TOKEN}"), None),
        (upgrade("192.0.2.1:9443", None, authorization=f"Bearer {TOKEN}"), None),
        (upgrade(*FAR), 401),
        (upgrade(*FAR, protocols=offering("")), 401),
        (upgrade(*FAR, protocols=offering(TOKEN[:-1])), 401),
        (upgrade(*FAR, protocols=offering(TOKEN + "x")), 401),
        (upgrade(*FAR, protocols=offering(TOKEN.upper())), 401),
        (upgrade(*FAR, protocols=offering("ключ")), 401),
        (upgrade(*FAR, protocols="token"), 401),
        (upgrade(*FAR, protocols="token.A"), 401),
        (upgrade(*FAR, protocols="token.ключ"), 401),
        (upgrade(*FAR, protocols=TOKEN), 401),
        (upgrade(*FAR, authorization="Bearer ключ"), 401),
        (upgrade(*FAR, authorization=f"Basic {TOKEN}"), 401),
        (upgrade(*FAR, protocols=offering(TOKEN), authorization="Bearer wrong"), 401),
        (upgrade("localhost:9080", "http://localhost:9080"), 401),  # this machine has other users
        (upgrade(FAR[0], "https://evil.example", protocols=offering(TOKEN)), 403),
    ],
    ids=str,
)
def test_with_a_token_whoever_has_it_may_call(request_, status):
    refusal = why_refused(request_, TOKEN, ())
    assert (refusal and refusal[0]) == status
    if refusal:
        assert TOKEN not in refusal[1]


def test_a_token_may_be_of_any_characters():
    token = "ключ+a&b=c/d %41"
    assert why_refused(upgrade(*FAR, protocols=offering(token)), token, ()) is None
    as_sent = f"Bearer {token.encode().decode('latin-1')}"
    assert why_refused(upgrade(*FAR, authorization=as_sent), token, ()) is None


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, []),
        ({"host": "localhost"}, []),
        ({"host": "::1"}, []),
        ({"host": "0.0.0.0"}, ["token"]),
        ({"host": "::"}, ["token"]),
        ({"host": "192.168.1.5"}, ["token"]),
        ({"host": "phone.example.com"}, ["token"]),
        ({"host": "0.0.0.0", "token": Secret(TOKEN)}, []),
        ({"origins": PROXY}, []),
        ({"origins": ("https://agent.example.com:8443/",)}, []),
        ({"origins": ("agent.example.com",)}, ["origins"]),
        ({"origins": ("https://agent.example.com/phone", "*")}, ["origins", "origins"]),
        ({"origins": ("https://",)}, ["origins"]),
    ],
    ids=str,
)
def test_options_are_checked(options, wrong):
    assert [problem.path for problem in check_options(BrowserOptions(**options))] == wrong


def test_a_token_is_long():
    with pytest.raises(ValueError, match="16"):
        BrowserOptions(token=Secret("short"))


def get(path, method="GET", **headers):
    return HttpRequest(
        target=path, path=path, query={}, headers={"host": "localhost:9080"} | headers, peer="p", method=method
    )


@pytest.mark.parametrize("path", FILES)
def test_the_page_is_served_to_all_and_may_load_nothing_but_its_own_files(path):
    calls = BrowserCalls(BrowserOptions(host="0.0.0.0", token=Secret(TOKEN)), "web")
    assert calls.authorise(get(path)) is None
    answer = calls.respond(get(path))
    assert answer.status == 200
    assert len(answer.body) > 100
    assert answer.headers == HEADERS
    policy = dict(entry.strip().split(" ", 1) for entry in answer.headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert not any("unsafe" in sources or "http" in sources or "*" in sources for sources in policy.values())
    text = answer.body.decode()
    assert "http:" not in text.replace("http://localhost", "").replace("http://www.w3.org/2000/svg", "")
    assert "https:" not in text.replace('"https:"', "")
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "style=", "onclick"):
        assert word not in text


@pytest.mark.parametrize(
    "path", ["/index.html", "/page/softphone.js", "/../listener.py", "/softphone.js/", "//", "/call"]
)
def test_there_is_nothing_else(path):
    calls = BrowserCalls(BrowserOptions(), "web")
    assert calls.respond(get(path)).status == 404
    assert calls.respond(get("/", "POST")).status == 404


def test_a_session_says_in_words_why_it_is_refused():
    calls = BrowserCalls(BrowserOptions(host="0.0.0.0", token=Secret(TOKEN)), "web")
    refused = calls.authorise(get("/session"))
    assert refused.status == 401
    assert b"#token=" in refused.body
    assert calls.authorise(get("/session", authorization=f"Bearer {TOKEN}")) is None
    assert calls.respond(get("/session")).body == b'{"protocol": 1, "rate": 16000, "transcript": true}'


def test_every_file_of_the_page_is_served_and_packaged():
    names = {entry.name for entry in files("voicepipe.transports.browser").joinpath("page").iterdir()}
    assert names == {name for name, _ in FILES.values()}
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert "transports/browser/page/*" in project["tool"]["setuptools"]["package-data"]["voicepipe"]
