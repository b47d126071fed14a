"""Calls whose dialplan gives them one and the same UUID: one warning, and nothing of theirs is mixed up."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from engine_process import QUICK, open_engine

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

SAME = UUID(int=0x00010203_04050607_08090A0B_0C0D0E0F)
ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0}]
records: calls.jsonl
"""


@pytest.fixture
def home(home):
    (home / "ai-agent.yaml").write_text(QUICK + "recording: {directory: recordings}\n")
    (home / "engine.yaml").write_text(ENGINE)
    return home


async def sessions(engine):
    """The calls that are up, by the engine's own ID."""
    calls = (await engine.ask("GET", "/calls")).json()["calls"]
    return {call["call_id"]: call["transport_id"] for call in calls}


async def test_two_calls_with_one_uuid_are_two(home):
    async with open_engine(home, file="engine.yaml") as engine:
        async with open_audiosocket_call(port=engine.port, call_id=SAME) as first:
            assert await first.agent_spoke(quiet_ms=100)
            assert engine.count("call.id_repeated") == 0
            async with open_audiosocket_call(port=engine.port, call_id=SAME) as second:
                assert await second.agent_spoke(quiet_ms=100)
                warned = await engine.logged("call.id_repeated")
                assert (warned["level"], warned["transport_id"]) == ("warning", str(SAME))
                assert "${UUID()}" in warned["hint"]
                up = await sessions(engine)
                assert set(up.values()) == {str(SAME)}
                assert len(up) == 2
                assert (await engine.samples())['voicepipe_active_calls{set="main",version="1"}'] == 2
                await first.hang_up()
                ended = await engine.logged("call.ended")
                assert list(await sessions(engine)) == [call_id for call_id in up if call_id != ended["call_id"]]
                engine.process.terminate()
                assert (await engine.logged("engine.draining"))["calls"] == 1
                engine.process.terminate()
                assert (await engine.logged("engine.stopped"))["calls_cut_short"] == 1
                assert await engine.ended() == 1
        assert {one["transport_id"] for one in engine.records if one["event"] == "call.ended"} == {str(SAME)}
    records = [json.loads(line) for line in (home / "calls.jsonl").read_text().splitlines()]
    assert {record["call_id"] for record in records} == set(up)
    assert {record["info"]["transport_id"] for record in records} == {str(SAME)}
    assert {home / record["recording"] for record in records} == set((home / "recordings").iterdir())
    assert len({record["recording"] for record in records}) == 2


async def test_one_after_the_other_is_told_apart_too_and_nobody_is_warned(home):
    async with open_engine(home, file="engine.yaml") as engine:
        for number in 1, 2:
            async with open_audiosocket_call(port=engine.port, call_id=SAME) as caller:
                assert await caller.agent_spoke(quiet_ms=100)
            await engine.comes_true(lambda at_least=number: counted(engine, at_least))
        assert engine.count("call.id_repeated") == 0
        engine.process.terminate()
        await engine.ended()
    assert len(list((home / "recordings").iterdir())) == 2
    assert len({one["call_id"] for one in engine.records if one["event"] == "call.started"}) == 2


async def counted(engine, at_least):
    """Whether so many calls have ended, and all that they held is closed."""
    samples = await engine.samples()
    ended = sum(value for name, value in samples.items() if name.startswith("voicepipe_calls_total{"))
    return ended >= at_least and samples['voicepipe_active_calls{set="main",version="1"}'] == 0


async def test_a_uuid_that_was_never_set_is_warned_of(home):
    async with (
        open_engine(home, file="engine.yaml") as engine,
        open_audiosocket_call(port=engine.port, call_id=UUID(int=0)),
    ):
        warned = await engine.logged("call.id_repeated")
        assert warned["reason"] == "the UUID is all zeros"
        assert "${UUID()}" in warned["hint"]
