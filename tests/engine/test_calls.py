"""Real calls to a running engine, and what it tells about them."""

from __future__ import annotations

import wave
from pathlib import Path

import trio
from engine_process import open_engine

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

SPEECH = Path(__file__).parents[1] / "data" / "speech"


def recorded(name):
    """A recording's PCM, at 8 kHz."""
    with wave.open(str(SPEECH / name)) as file:
        assert file.getframerate() == 8000
        return file.readframes(file.getnframes())


async def test_a_call_keeps_its_version_and_the_next_one_gets_the_new(engine):
    async with open_audiosocket_call(port=engine.port) as first:
        started = await engine.logged("call.started")
        assert started["transport_id"] == str(first.call_id) != started["call_id"]
        assert (started["set"], started["version"], started["pipeline"]) == ("main", 1, "default")
        assert (started["caller"], started["called"]) == ("", "")
        assert started["stt"] == {"name": "vosk", "adapter": "vosk", "model": "tiny-en"}
        assert (started["llm"]["adapter"], started["tts"]["adapter"]) == ("scripted", "espeak")
        assert started["tts"]["model"] == "en-us"

        engine.edit("active_pipeline: default", "active_pipeline: night")
        assert (await engine.command("reload")).returncode == 0
        async with open_audiosocket_call(port=engine.port) as second:
            later = await engine.logged("call.started", transport_id=str(second.call_id))
            assert (later["version"], later["pipeline"], later["tts"]["model"]) == (2, "night", "en-gb")

            (shown,) = (await engine.ask("GET", "/sets")).json()["sets"]
            held = [(version["version"], version["state"], version["calls"]) for version in shown["versions"]]
            assert held == [(1, "draining", 1), (2, "serving", 1)]
            calls = (await engine.ask("GET", "/calls")).json()["calls"]
            assert {(call["transport_id"], call["version"]) for call in calls} == {
                (str(first.call_id), 1),
                (str(second.call_id), 2),
            }
            status = (await engine.command("status")).stdout.decode().splitlines()
            assert [line.split()[:4] for line in status[1:3]] == [
                ["main", "1", "draining", "1"],
                ["main", "2", "serving", "1"],
            ]
        ended = await engine.logged("call.ended", transport_id=str(second.call_id))
        assert ended["outcome"] == "caller_hung_up"
        assert await first.agent_spoke(quiet_ms=100)
        assert engine.count("version.retired") == 0
    await engine.logged("version.retired", version=1)
    assert (await engine.ask("GET", "/calls")).json() == {"calls": []}


async def test_a_turn_says_what_was_heard_and_said_and_how_fast(engine):
    async with open_audiosocket_call(port=engine.port) as caller:
        greeting = await engine.logged("call.turn", turn=1)
        assert (greeting["trigger"], greeting["heard"], greeting["said"]) == ("announcement", "", "Hello.")
        assert greeting["response_ms"] is None
        await caller.say(recorded("yes-8k.wav"))
        turn = await engine.logged("call.turn", turn=2)
        assert turn["call_id"] == await engine.id_of(caller)
        assert turn["trigger"] == "utterance"
        assert "yes" in turn["heard"]
        assert turn["said"]
        assert turn["interrupted"] is False
        assert turn["response_ms"] > 0
    ended = await engine.logged("call.ended")
    assert (ended["outcome"], ended["turns"], ended["set"]) == ("caller_hung_up", 2, "main")
    assert ended["duration_s"] > 1


async def test_a_connection_that_is_no_call_is_refused_by_name(engine):
    stream = await trio.open_tcp_stream("127.0.0.1", engine.port)
    async with stream:
        host, port = stream.socket.getsockname()
        await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
        refused = await engine.logged("connection.refused")
    assert refused["peer"] == f"{host}:{port}"
    assert "Asterisk" in refused["reason"]
    assert engine.count("call.started") == 0


async def test_calls_outlive_the_log(home):
    async with open_engine(home) as engine:
        await engine.process.stderr.aclose()
        async with open_audiosocket_call(port=engine.port) as caller:
            assert await caller.agent_spoke(quiet_ms=100)

            async def listens():
                (call,) = (await engine.ask("GET", "/calls")).json()["calls"]
                return (call["state"], call["turns"]) == ("listening", 1)

            await engine.comes_true(listens)
            assert not caller.hung_up.is_set()
