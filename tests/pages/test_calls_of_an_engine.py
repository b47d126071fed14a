"""The page of a call that a real engine has answered, recorded and stored."""

from __future__ import annotations

import httpx
from engine_process import QUICK, engine_home, open_engine
from patience import LONG_S

from voicepipe.testing.audiosocket_caller import open_audiosocket_call


async def test_a_call_is_on_its_page_while_it_is_up_and_when_it_is_over():
    recorded = QUICK.replace('greeting: "Hello."', 'greeting: "Hello."\n    recording: {directory: recordings}')
    with engine_home(recorded) as home:
        engine_yaml = home / "engine.yaml"
        engine_yaml.write_text(engine_yaml.read_text() + "records: sqlite:calls.db\n")
        async with (
            open_engine(home, file="engine.yaml") as engine,
            httpx.AsyncClient(base_url=engine.admin, timeout=LONG_S, trust_env=False) as client,
        ):

            async def page_says(*words):
                page = await client.get(f"/pages/calls/{call_id}")
                return page.status_code == 200 and all(text in page.text for text in words)

            async with open_audiosocket_call(port=engine.ports["main"]) as caller:
                call_id = await engine.id_of(caller)
                await engine.comes_true(lambda: page_says("The call is up.", "sse-connect"))
                await engine.logged("call.turn", call_id=call_id)
            await engine.logged("call.ended", call_id=call_id)
            await engine.comes_true(lambda: page_says("The caller hung up after", "Hello.", "<audio", "is-agent"))
            configuration = await client.get(f"/pages/calls/{call_id}/configuration")
            assert configuration.status_code == 200
            assert "greeting: Hello." in configuration.text
            difference = (await client.get(f"/pages/calls/{call_id}/difference")).text
            assert "this call (main, version 1)" in difference
            assert "Hello." not in difference, "nothing has changed yet"
            engine.edit('greeting: "Hello."', 'greeting: "Good day."')
            assert (await engine.ask("POST", "/-/reload")).status_code == 200
            difference = (await client.get(f"/pages/calls/{call_id}/difference")).text
            assert "what serves now (main, version 2)" in difference
            assert "greeting: &#34;Hello.&#34; -&gt; &#34;Good day.&#34;" in difference
            recording = await client.get(f"/pages/calls/{call_id}/recording", headers={"range": "bytes=0-3"})
            assert (recording.status_code, recording.content) == (206, b"RIFF")
            assert str(caller.call_id) in (await client.get(f"/pages/calls/{caller.call_id}")).text
            assert call_id in (await client.get("/pages/calls?state=ended")).text
            for file in (home / "recordings").iterdir():
                file.unlink()
            assert await page_says("The recording was deleted.")
            assert (await client.get(f"/pages/calls/{call_id}/recording")).status_code == 404
            assert ">1</dd>" in (await client.get("/pages/figures")).text
