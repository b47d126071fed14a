"""Calls that Asterisk brings by chan_websocket to a running engine: numbers, keys, transfers, ends, refusals."""

from __future__ import annotations

import pytest
from engine_process import QUICK, open_engine
from patience import until

from voicepipe import ComponentError
from voicepipe.testing.asterisk_websocket_caller import open_asterisk_websocket_call
from voicepipe.testing.transport import voice

ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners:
  - {set: main, name: pbx, type: asterisk_websocket, port: 0, path: /media, username: pbx, password: "open sesame"}
admin: {port: 0}
max_calls: 1
"""
KEYS = """\
    keys:
      "1": {transfer: "2001"}
      "2": {hang_up: true}
"""
LONG = "This greeting is long enough to be interrupted, since it has a good many words in it, and then some more."


@pytest.fixture
async def engine(home):
    (home / "ai-agent.yaml").write_text(QUICK.replace('    greeting: "Hello."\n', f'    greeting: "Hello."\n{KEYS}'))
    (home / "engine.yaml").write_text(ENGINE)
    async with open_engine(home, file="engine.yaml") as engine:
        yield engine


def call(engine, **options):
    url = f"ws://127.0.0.1:{engine.port}/media"
    return open_asterisk_websocket_call(url, **{"username": "pbx", "password": "open sesame"} | options)


VARIABLES = {"VP_CALLER": "15551230001", "VP_CALLED": "15559870002", "TENANT": "acme"}


async def test_a_dialplan_learns_who_called_what_to_do_next_and_that_nobody_answers(engine):
    """One after the other, with one engine: a transfer, a goodbye, and calls that are not taken."""
    for key, outcome, detail in ("1", "transfer_requested", "2001"), ("2", "agent_hung_up", ""):
        name = f"1795.{key}"
        async with call(engine, variables={**VARIABLES, "VP_CHAN": name}) as caller:
            assert await caller.agent_spoke(quiet_ms=100)
            started = await engine.logged("call.started", transport_id=name)
            assert (started["caller"], started["called"]) == ("15551230001", "15559870002")
            await caller.dtmf(key)
            await caller.hung_up.wait()
            assert caller.how == "HANGUP"
            assert caller.asterisk.ignored == []
            assert (await engine.ask_admin("GET", f"/calls/{name}?field=outcome")).text == outcome
            assert (await engine.ask_admin("GET", f"/calls/{name}?field=detail")).text == detail

    with pytest.raises(ComponentError, match="password"):
        async with call(engine, password="wrong password"):
            pass
    refused = await engine.logged("connection.refused")
    assert "401" in refused["reason"]
    assert "open sesame" not in str(engine.records)
    async with call(engine, as_json=False) as first:
        assert await first.agent_spoke(quiet_ms=100)
        with pytest.raises(ComponentError, match="503"):  # at once: Asterisk tries again, then says CHANUNAVAIL
            async with call(engine):
                pass
        assert not first.hung_up.is_set()
    await engine.logged("call.ended", outcome="caller_hung_up")


async def test_a_caller_who_interrupts_hears_nothing_more(home):
    (home / "ai-agent.yaml").write_text(QUICK.replace('greeting: "Hello."', f'greeting: "{LONG}"'))
    (home / "engine.yaml").write_text(ENGINE)
    async with (
        open_engine(home, file="engine.yaml") as engine,
        call(engine, format_name="ulaw", as_json=False) as caller,
    ):
        await until(lambda: len(caller.arrivals) >= 25 or caller.hung_up.is_set())
        await caller.say(voice(8000, 600))
        turn = await engine.logged("call.turn", interrupted=True)
        assert LONG.startswith(turn["said"])
        assert len(turn["said"]) < len(LONG)
        assert caller.asterisk.dropped_bytes == 0
