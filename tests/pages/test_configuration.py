"""The page Configuration of a real engine: settings with their places, the file against what serves, and buttons."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager, suppress
from html import unescape

import httpx
from engine_process import open_engine
from patience import LONG_S

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

TOKEN = "a-token-of-sixteen"
PART = {"hx-request": "true"}


@asynccontextmanager
async def signed_in(engine):
    """A client that has signed in, and the token of its forms."""
    async with httpx.AsyncClient(base_url=engine.admin, timeout=LONG_S, trust_env=False) as client:
        answer = await client.post("/pages/sign-in", data={"token": TOKEN})
        assert answer.status_code == 303
        page = (await client.get("/pages/configuration")).text
        yield client, {"form_token": re.search(r'name="form_token" value="([^"]+)"', page)[1], "set": "main"}


async def test_what_serves_and_what_its_buttons_do(home):
    text = (home / "engine.yaml").read_text()
    (home / "engine.yaml").write_text(text.replace("{port: 0}\n", f"{{port: 0, token: {TOKEN}}}\n"))
    async with open_engine(home, file="engine.yaml") as engine, signed_in(engine) as (client, form):

        async def part(path, **parameters):
            answer = await client.get(f"/pages/configuration{path}", params=parameters, headers=PART)
            return answer.status_code, unescape(answer.text)

        async def press(button, status=200, **more):
            answer = await client.post(f"/pages/configuration/{button}", data={**form, **more}, headers=PART)
            assert answer.status_code == status
            assert (answer.headers.get("hx-trigger") == "versions-changed") == (status == 200)
            return unescape(answer.text)

        status, settings = await part("/settings", set="main")
        assert status == 200
        assert re.search(r"stt vosk <span[^>]*>ai-agent.yaml:5<", settings)
        assert re.search(r">model<.*\n.*models/tiny-en.*\n.*>ai-agent.yaml:5<", settings)
        assert "all by default" not in settings
        assert ">default<" not in settings
        assert ">default<" in (await part("/settings", set="main", defaults="true"))[1]
        assert (await part("/settings", set="main", pipeline="none"))[0] == 404
        assert (await part("/settings", set="main", version="9"))[0] == 404
        assert (await part("/settings", set="none"))[0] == 404

        engine.edit("active_pipeline: default", "active_pipeline: night")
        difference = (await part("/difference", set="main"))[1]
        assert "adds     night" in difference
        assert "opens   tts espeak (en-gb)" in difference
        assert engine.count("reload.applied") == 0, "comparing changes nothing"

        async with open_audiosocket_call(port=engine.ports["main"]) as caller:
            await engine.id_of(caller)
            applied = await press("reload")
            assert "main: version 2 serves, from the next call on" in applied
            assert (await engine.logged("reload.applied"))["trigger"] == "page"
            versions = (await part("/versions", set="main"))[1]
            assert 'aria-label="Drain version 1"' in versions
            assert "serves: reload or roll back first" in await press("drain", 409, version="2")
            assert "1 call was asked to say goodbye" in await press("drain", version="1")
            assert (await engine.logged("call.ended"))["outcome"] in {"drained", "said_goodbye"}

        engine.edit("voice: en-us", "voyce: en-us")
        rejected = await press("reload")
        assert "main: rejected (" in rejected
        assert re.search(r"ai-agent.yaml:7:\d+: .*voyce", rejected)
        assert re.search(r"\n +\^</span>", rejected), "the line has a caret below, in one piece that is not wrapped"
        assert "would be rejected: 1 problem" in (await part("/difference", set="main"))[1]

        back = await press("rollback", version="1", serving="2")
        assert "version 3 serves as 1 did" in back
        assert "version 3 serves, not version 2" in await press("rollback", 412, version="1", serving="2")
        assert "active_pipeline: " in (await part("/difference", set="main", version="2"))[1]

        page = (await client.get("/pages/configuration/difference?set=main&version=2")).text
        assert page.startswith("<!doctype html>"), "without scripts the outcome is a page"
        async with httpx.AsyncClient(base_url=engine.admin, timeout=LONG_S, trust_env=False) as other:
            for button in ("reload", "rollback", "drain"):
                assert (await other.post(f"/pages/configuration/{button}", data=form)).status_code == 303
        assert engine.count("engine.reload.applied") == 0
        drained = await engine.ask("POST", "/sets/main/versions/3/drain")
        assert drained.status_code == 409
        drained = await engine.ask("POST", "/sets/main/versions/2/drain")
        assert drained.json() == {"set": "main", "version": 2, "calls": 0}
        assert (await engine.ask("POST", "/sets/main/versions/77/drain")).status_code == 404


async def test_live_updates_over_http_do_not_hold_up_the_stop(home):
    async with open_engine(home, file="engine.yaml") as engine:
        client = httpx.AsyncClient(base_url=engine.admin, timeout=LONG_S, trust_env=False)
        async with client, client.stream("GET", "/pages/now/events") as events:
            assert events.headers["content-type"].startswith("text/event-stream")
            texts, got = events.aiter_text(), ""
            while "event: reloads" not in got:
                got += await anext(texts)
            async with open_audiosocket_call(port=engine.ports["main"]) as caller:
                call_id = await engine.id_of(caller)
                while f'id="call-{call_id}"' not in got:
                    got += await anext(texts)
                await caller.hang_up()
            await engine.logged("call.ended")
            engine.process.terminate()
            assert await engine.ended() == 0
            with suppress(httpx.HTTPError):
                async for _text in texts:
                    pass
