"""C09: a call's record names set, version, digest, pipeline, components, turns, latencies, outcome."""

from __future__ import annotations

import json

import trio
from engine_process import open_engine

from voicepipe.testing.audiosocket_caller import open_audiosocket_call


async def test_c09_a_calls_record(home):
    engine_yaml = home / "engine.yaml"
    engine_yaml.write_text(engine_yaml.read_text() + "records: calls.jsonl\n")
    async with open_engine(home, file="engine.yaml") as engine:
        serving = (await engine.ask("GET", "/sets")).json()
        digest = next(one for one in serving["sets"] if one["set"] == "main")["digest"]
        async with open_audiosocket_call(port=engine.ports["main"]) as caller:
            await engine.logged("call.turn", call_id=await engine.id_of(caller))
        await engine.logged("call.ended", transport_id=str(caller.call_id))
        started = await engine.logged("call.started", transport_id=str(caller.call_id))

        async def written():
            await trio.lowlevel.checkpoint()
            return (home / "calls.jsonl").stat().st_size > 0

        await engine.comes_true(written)
    (line,) = (home / "calls.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert record["call_id"] == started["call_id"]
    assert record["info"]["transport_id"] == str(caller.call_id)
    assert (record["set"], record["version"], record["digest"]) == ("main", 1, digest)
    assert record["pipeline"] == started["pipeline"]
    assert record["components"] == {role: started[role] for role in ("stt", "llm", "tts")}
    assert (record["outcome"], record["failures"]) == ("caller_hung_up", [])
    (turn,) = record["turns"]
    assert turn["said"]
    assert turn["timings"]["heard_ms"] >= turn["timings"]["first_audio_ms"] >= 0
    assert record["duration_s"] > 0
