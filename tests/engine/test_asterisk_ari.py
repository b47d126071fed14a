"""Calls that come by ARI to a running engine: a transfer that fails, one that is taken, and a goodbye."""

from __future__ import annotations

import trio
from ari_engine import CALLER, until
from engine_process import QUICK, open_engine
from vendors.asterisk_ari import PASSWORD, USER, open_asterisk

ENGINE = f"""\
pipeline_sets: {{main: ai-agent.yaml}}
listeners:
  - set: main
    name: pbx
    type: asterisk_ari
    url: "URL"
    username: {USER}
    password: {PASSWORD}
    media: audiosocket
    format: slin
    port: 0
admin: {{port: 0}}
"""
KEYS = """\
    keys:
      "1": {transfer: "200"}
      "2": {hang_up: true}
"""
OFFICE = "Local/200@transfers/n"


async def test_an_engine_answers_transfers_and_lets_go(home):
    (home / "ai-agent.yaml").write_text(QUICK.replace('    greeting: "Hello."\n', f'    greeting: "Hello."\n{KEYS}'))
    async with open_asterisk() as asterisk:
        (home / "engine.yaml").write_text(ENGINE.replace("URL", asterisk.url))
        async with open_engine(home, file="engine.yaml") as engine:
            await asterisk.app_connected.wait()
            assert await asterisk.caller_comes(number="15551230001", exten="15559870002")
            started = await engine.logged("call.started", transport_id=CALLER)
            assert (started["caller"], started["called"]) == ("15551230001", "15559870002")
            await until(lambda: any(other.media and other.media.heard for other in asterisk.channels.values()))
            asterisk.telephones[OFFICE] = "busy"
            await asterisk.press(CALLER, "1")
            failed = await engine.logged("transfer.ended", target="200")
            assert failed["failure"] == "busy"
            asterisk.telephones[OFFICE] = "answer"
            await asterisk.press(CALLER, "1")
            await engine.logged("call.ended", outcome="transferred", detail="200")
            await until(lambda: asterisk.talkers(CALLER) == {asterisk.called(OFFICE).id})
            await asterisk.hang_up(CALLER)
            await until(lambda: not asterisk.channels)

            assert await asterisk.caller_comes("2.2")
            await engine.logged("call.started", transport_id="2.2")
            caller = asterisk.channels["2.2"]
            await asterisk.press("2.2", "2")
            with trio.fail_after(30):
                await caller.ended.wait()
            await engine.logged("call.ended", outcome="agent_hung_up")
            await until(lambda: not asterisk.channels and not asterisk.bridges)

            asterisk.telephones |= {"PJSIP/300": "answer", "Local/400@outbound/n": "busy"}
            asked = {"listener": "pbx", "caller": "+49301", "variables": {"case": "7"}}
            answer = await engine.ask_admin("POST", "/calls", json={**asked, "target": "PJSIP/300"})
            assert answer.status_code == 200, answer.text
            dialled = asterisk.called("PJSIP/300")
            assert answer.json()["transport_id"] == dialled.id
            started = await engine.logged("call.started", transport_id=dialled.id)
            assert answer.json()["call_id"] == started["call_id"]
            assert (started["caller"], started["called"]) == ("+49301", "PJSIP/300")
            await asterisk.hang_up(dialled.id)
            await engine.logged("call.ended", outcome="caller_hung_up")
            refused = await engine.ask_admin("POST", "/calls", json={**asked, "target": "400"})
            assert (refused.status_code, refused.json()["outcome"]) == (409, "busy")
            await until(lambda: not asterisk.channels and not asterisk.bridges)
            assert PASSWORD not in str(engine.records)
