"""What became of a call: for a dialplan, the moment its caller comes back to it, and for a while afterwards."""

from __future__ import annotations

from uuid import uuid4

import pytest
import trio
from engine_process import QUICK, open_engine

from reference_engine.reports.ended_calls import KEEP_S, MAX_CALLS, EndedCall, EndedCalls
from voicepipe import CallInfo
from voicepipe.testing.audiosocket_caller import open_audiosocket_call

ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0, when_full: hang_up}]
admin: {port: 0}
max_calls: 1
"""
KEYS = """\
    keys:
      "1": {transfer: "2001"}
      "2": {hang_up: true}
"""


@pytest.fixture
async def engine(home):
    (home / "ai-agent.yaml").write_text(QUICK.replace('    greeting: "Hello."\n', f'    greeting: "Hello."\n{KEYS}'))
    (home / "engine.yaml").write_text(ENGINE)
    async with open_engine(home, file="engine.yaml") as engine:
        yield engine


async def word(engine, name, field):
    """What `CURL()` gets."""
    answer = await engine.ask_admin("GET", f"/calls/{name}?field={field}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return answer.text


@pytest.mark.parametrize(
    ("key", "outcome", "detail"), [("1", "transfer_requested", "2001"), ("2", "agent_hung_up", "")]
)
async def test_a_dialplan_learns_what_to_do_next(engine, key, outcome, detail):
    async with open_audiosocket_call(port=engine.port) as caller:
        assert await caller.agent_spoke(quiet_ms=100)
        assert await word(engine, caller.call_id, "outcome") == ""
        up = (await engine.ask_admin("GET", f"/calls/{caller.call_id}")).json()
        assert (up["state"], up["outcome"], up["ended"]) == ("listening", None, None)
        await caller.dtmf(key)
        await caller.hung_up.wait()
        assert caller.how == "0x00"
        # At once, as a dialplan does it
        assert await word(engine, caller.call_id, "outcome") == outcome
        assert await word(engine, caller.call_id, "detail") == detail
    ended = await engine.logged("call.ended")
    body = (await engine.ask("GET", f"/calls/{ended['call_id']}")).json()
    assert (body["transport_id"], body["state"], body["outcome"]) == (str(caller.call_id), "ended", outcome)
    assert (await engine.ask("GET", "/calls")).json() == {"calls": []}


async def test_a_call_that_was_refused_is_told_from_a_conversation(engine):
    async with open_audiosocket_call(port=engine.port) as first:
        assert await first.agent_spoke(quiet_ms=100)
        async with open_audiosocket_call(port=engine.port) as second:
            await second.hung_up.wait()
            assert second.how == "0x00", "by itself that says nothing"
            assert await word(engine, second.call_id, "outcome") == "refused"
            assert "max_calls" in await word(engine, second.call_id, "detail")
        assert (await engine.ask("GET", f"/calls/{uuid4()}")).status_code == 404
        nothing = await engine.ask("GET", f"/calls/{uuid4()}?field=outcome")
        assert (nothing.status_code, nothing.text) == (404, ""), "no word that a dialplan could take for an outcome"
        assert (await engine.ask("GET", f"/calls/{first.call_id}?field=secret")).status_code == 400
        assert (await engine.ask("GET", f"/calls/{first.call_id}?filed=outcome")).status_code == 400


async def test_they_are_bounded_in_number_and_in_time(autojump_clock):
    calls = EndedCalls()
    for number in range(MAX_CALLS + 100):
        calls.add(EndedCall(f"c{number}", f"t{number}", "main", "failed", ""))
    assert len(calls) == MAX_CALLS
    assert calls.find("c99") is None
    assert calls.find("c100") is calls.find("t100") is not None
    await trio.sleep(KEEP_S + 1)
    assert calls.find(f"c{MAX_CALLS}") is None
    assert len(calls) == 0


async def test_the_latest_call_of_a_name_is_found():
    calls = EndedCalls()
    calls.refuse(CallInfo(transport_id="t"), "main", "full")
    assert (calls.find("t").outcome, calls.find("t").detail, calls.find("t").call_id) == ("refused", "full", "")
    for number in 1, 2:
        calls.add(EndedCall(f"c{number}", "t", "main", "failed", str(number)))
    assert calls.find("t").detail == "2"
    assert calls.find("c1").detail == "1"
    assert calls.find("") is None
