"""C01: INFO at call start names set, version, pipeline, and each component's adapter and model."""

from __future__ import annotations

from engine_process import open_engine

from voicepipe.testing.audiosocket_caller import open_audiosocket_call


async def test_c01_a_call_says_what_it_runs_on(home):
    async with (
        open_engine(home, file="engine.yaml") as engine,
        open_audiosocket_call(port=engine.ports["main"]) as caller,
    ):
        started = await engine.logged("call.started", transport_id=str(caller.call_id))
    assert started["level"] == "info"
    assert (started["set"], started["version"], started["pipeline"]) == ("main", 1, "default")
    said = {role: (started[role]["adapter"], started[role]["model"]) for role in ("stt", "llm", "tts")}
    assert said["tts"] == ("espeak", "en-us")
    assert said["llm"][0] == "scripted"
    assert all(adapter for adapter, _ in said.values())
