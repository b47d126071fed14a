"""Calls' records: a line of JSON each, whole, when the call has ended."""

from __future__ import annotations

import json

import trio
from engine_process import open_engine

from voicepipe.testing.audiosocket_caller import open_audiosocket_call


async def test_each_call_leaves_a_line(home):
    engine_yaml = home / "engine.yaml"
    engine_yaml.write_text(engine_yaml.read_text() + "records: records/calls.jsonl\n")
    async with open_engine(home, file="engine.yaml") as engine:
        ids = []
        for _ in range(2):
            async with open_audiosocket_call(port=engine.ports["main"]) as caller:
                ids.append(await engine.id_of(caller))
                await engine.logged("call.turn", call_id=ids[-1])
            await engine.logged("call.ended", call_id=ids[-1])

        async def written():
            await trio.lowlevel.checkpoint()
            return (home / "records/calls.jsonl").read_text().count("\n") == len(ids)

        await engine.comes_true(written)
    records = [json.loads(line) for line in (home / "records/calls.jsonl").read_text().splitlines()]
    assert sorted(record["call_id"] for record in records) == sorted(ids)
    for record in records:
        assert (record["set"], record["version"]) == ("main", 1)
        assert record["outcome"] == "caller_hung_up"
        assert record["turns"][0]["said"]
        assert record["components"]["tts"]["adapter"] == "espeak"
    assert (home / "records/calls.jsonl").stat().st_mode & 0o077 == 0
