"""The shell of pages through its ASGI application: who sees what, signing in, headers, static files, errors."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, Router

from reference_engine.pages.access import HEADERS
from reference_engine.pages.shell import PageLink, Shell
from reference_engine.pages.sign_ins import ATTEMPTS_S, MAX_ATTEMPTS, MAX_SIGN_INS, SIGNED_IN_S
from reference_engine.settings.settings import AdminSettings, CurrentSettings, EngineSettings, ListenerSettings
from voicepipe import Secret

TOKEN = "a-token-of-sixteen"
TCP = ("127.0.0.1", 4711)
HERE = "http://127.0.0.1:9093"


def settings_with(token):
    admin = AdminSettings(token=Secret(token, "${TOKEN}") if token else None)
    return EngineSettings(pipeline_sets={"main": "a.yaml"}, listeners=(ListenerSettings(set="main"),), admin=admin)


class Site:
    """The pages of an engine whose token may be changed, and clients that ask for them."""

    def __init__(self, token):
        self.current = CurrentSettings(settings_with(token))
        self.shell = Shell(self.current)
        self.pressed = []

        async def show(request):
            return await self.shell.page(request, "error.html", code=httpx.codes.OK, detail="<b>words</b>")

        async def press(request):
            self.pressed.append(await self.shell.form_of(request))
            return PlainTextResponse("pressed")

        async def fail(_request):
            raise RuntimeError("a defect")

        self.shell.add(PageLink("Things", "/things"), Route("/things", show), Route("/press", press, methods=["POST"]))
        self.shell.add(None, Route("/fail", fail))
        self.app = Router([Mount("/pages", app=self.shell.app())])

    def client(self, came_from=TCP, base_url=HERE):
        transport = httpx.ASGITransport(self.app, client=came_from, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url=base_url)

    async def signed_in(self, came_from=TCP):
        client = self.client(came_from)
        answer = await client.post("/pages/sign-in", data={"token": TOKEN})
        assert answer.status_code == 303
        return client


async def form_token_of(client):
    return re.search(r'name="form_token" value="([^"]+)"', (await client.get("/pages/things")).text)[1]


async def test_without_a_token_pages_are_shown_on_this_machine_and_buttons_refuse():
    site = Site(None)
    client = site.client()
    assert (await client.get("/pages/things")).status_code == 200
    refused = await client.post("/pages/press", data={"form_token": ""})
    assert refused.status_code == 403
    assert "admin: {token: ...}" in refused.text
    assert site.pressed == []
    for host in ("rebound.example.com", "rebound.example.com:9093", "[", ""):
        assert (await client.get("/pages/things", headers={"host": host})).status_code == 403
    assert (await client.post("/pages/sign-in", data={"token": "x"})).status_code == 403


async def test_with_a_token_pages_want_a_sign_in():
    site = Site(TOKEN)
    client = site.client()
    asked = await client.get("/pages/things")
    assert (asked.status_code, asked.headers["location"]) == (303, "/pages/sign-in?then=/pages/things")
    assert (await client.get("/pages/things", headers={"hx-request": "true"})).headers["hx-redirect"]
    assert (await client.get("/pages/things", headers={"accept": "text/event-stream"})).status_code == 401
    assert (await client.post("/pages/press", data={})).status_code == 303
    form = await client.get("/pages/sign-in?then=/pages/things")
    assert 'value="/pages/things"' in form.text
    assert "<nav" not in form.text

    answer = await client.post("/pages/sign-in", data={"token": TOKEN, "then": "/pages/things"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/pages/things")
    cookie = answer.headers["set-cookie"]
    assert re.fullmatch(r"voicepipe_9093=[\w-]{43}; Path=/pages; HttpOnly; SameSite=Strict", cookie)
    assert (await client.get("/pages/things")).status_code == 200
    assert TOKEN not in (await client.get("/pages/things")).text

    token = await form_token_of(client)
    assert (await client.post("/pages/press", data={"form_token": token, "x": "1"})).text == "pressed"
    assert (await client.post("/pages/sign-out", data={"form_token": token})).status_code == 303
    assert (await client.get("/pages/things")).status_code == 303
    assert len(site.pressed) == 1


@pytest.mark.parametrize(
    "then", ["//elsewhere.example.com", "https://elsewhere.example.com/", "/sets", "/pages\\..", "/pages/\r\nx: y"]
)
async def test_a_sign_in_leads_to_our_own_pages_only(then):
    answer = await Site(TOKEN).client().post("/pages/sign-in", data={"token": TOKEN, "then": then})
    assert answer.headers["location"] == "/pages/"


async def test_forms_of_pages_from_elsewhere_are_refused():
    site = Site(TOKEN)
    client = await site.signed_in()
    token = await form_token_of(client)
    right = {"form_token": token}
    for data, headers in (
        (right, {"origin": "https://elsewhere.example.com"}),
        (right, {"origin": "null"}),
        (right, {"sec-fetch-site": "cross-site"}),
        (right, {"sec-fetch-site": "same-site"}),
        ({"form_token": "x"}, {}),
        ({}, {"origin": HERE}),
    ):
        assert (await client.post("/pages/press", data=data, headers=headers)).status_code == 403
    other = await site.signed_in()
    assert (await other.post("/pages/press", data=right)).status_code == 403, "the form of another sign-in"
    assert site.pressed == []
    same = {"origin": HERE, "sec-fetch-site": "same-origin"}
    assert (await client.post("/pages/press", data=right, headers=same)).status_code == 200
    elsewhere = {"origin": "https://elsewhere.example.com"}
    assert (await client.post("/pages/sign-in", data={"token": TOKEN}, headers=elsewhere)).status_code == 403


async def test_the_owner_of_the_unix_socket_needs_no_token_but_a_form_of_ours():
    site = Site(TOKEN)
    client = site.client(None, "http://localhost:8080")  # as `ssh -L 8080:/run/.../control.sock` has it
    token = await form_token_of(client) if "form_token" in (await client.get("/pages/things")).text else None
    assert token is None, "there is nothing to press on that page"
    assert (await client.get("/pages/things")).status_code == 200
    assert (await client.post("/pages/press", data={})).status_code == 403
    assert (await client.get("/pages/things", headers={"host": "rebound.example.com"})).status_code == 403
    assert "asks for no token" in (await client.get("/pages/sign-in")).text


async def test_wrong_tokens_are_limited_by_address(autojump_clock):
    site = Site(TOKEN)
    mallory, operator = site.client(("192.0.2.1", 1)), site.client(("192.0.2.2", 1))
    for _ in range(MAX_ATTEMPTS):
        assert (await mallory.post("/pages/sign-in", data={"token": "wrong"})).status_code == 403
    refused = await mallory.post("/pages/sign-in", data={"token": TOKEN})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) <= ATTEMPTS_S
    assert (await operator.post("/pages/sign-in", data={"token": TOKEN})).status_code == 303
    autojump_clock.jump(ATTEMPTS_S + 1)
    assert (await mallory.post("/pages/sign-in", data={"token": TOKEN})).status_code == 303


async def test_a_sign_in_ends_by_time_by_another_token_and_by_too_many_others(autojump_clock):
    site = Site(TOKEN)
    client = await site.signed_in()
    site.current.settings = settings_with(f"{TOKEN}-and-more")
    assert (await client.get("/pages/things")).status_code == 303
    site.current.settings = settings_with(TOKEN)
    assert (await client.get("/pages/things")).status_code == 303, "it was ended, not suspended"

    client = await site.signed_in()
    autojump_clock.jump(SIGNED_IN_S - 1)
    assert (await client.get("/pages/things")).status_code == 200
    autojump_clock.jump(2)
    assert (await client.get("/pages/things")).status_code == 303

    client = await site.signed_in()
    for _ in range(MAX_SIGN_INS):
        await site.signed_in()
    assert (await client.get("/pages/things")).status_code == 303


async def test_static_files_are_cached_for_ever_by_an_address_that_their_content_changes():
    client = Site(TOKEN).client()
    page = (await client.get("/pages/sign-in")).text
    addresses = re.findall(r'(?:href|src)="(/pages/static/[^"]+)"', page)
    assert {address.rpartition("/")[2].partition("?")[0] for address in addresses} >= {"style.css", "htmx.min.js"}
    for address in addresses:
        answer = await client.get(address)
        assert "immutable" in answer.headers["cache-control"]
        old = await client.get(f"{address.partition('?')[0]}?v=0")
        assert old.headers["cache-control"] == "no-cache"
        again = await client.get(address, headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    for name in ("none.css", "..%2Fshell.py", "%2E%2E/shell.py"):
        assert (await client.get(f"/pages/static/{name}")).status_code == 404


async def test_every_answer_has_the_headers_and_no_text_is_taken_for_html():
    client = Site(None).client()
    for path in ("things", "none", "fail", "static/style.css", "sign-in"):
        answer = await client.get(f"/pages/{path}")
        assert {name: answer.headers[name] for name in HEADERS} == HEADERS
        assert "a defect" not in answer.text
        assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", answer.text)
    assert (await client.get("/pages/fail")).status_code == 500
    assert "&lt;b&gt;words&lt;/b&gt;" in (await client.get("/pages/things")).text
    assert (await client.get("/pages/things")).headers["cache-control"] == "no-store"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpx leaves what is not read
async def test_forms_are_limited():
    client = await Site(TOKEN).signed_in()
    assert (await client.post("/pages/press", data={"x": "x" * 9000})).status_code == 413
    assert (await client.post("/pages/press", content=b"\xff=%")).status_code == 400
