"""Over real sockets: a live AudioSocket call to an engine whose provider goes wrong in the middle of it."""

from __future__ import annotations

import wave
from pathlib import Path

import trio
from engine_process import QUICK, engine_home, open_engine
from patience import LONG_S
from vendors.deepgram_speak import DeepgramSpeak
from vendors.serving import Fault, open_vendor

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

SPEECH = Path(__file__).parents[1] / "data" / "speech"

LIST = """\
    tts:
      - {{type: deepgram, api_key: test-key, base_url: "{url}"}}
      - {{type: espeak, voice: en-us}}
    greeting: "Hello."
  night:"""

SCRIPT = """\
start: talk
states:
  talk:
    say: "Hello there."
    otherwise: {say: "That is fine."}
"""
REFUSED = {"err_code": "INVALID_AUTH", "err_msg": "Invalid credentials."}
FAULTS = (Fault("rubbish", 2), Fault("status", status=401, body=REFUSED))


def recorded(name):
    with wave.open(str(SPEECH / name)) as file:
        return file.readframes(file.getnframes())


async def test_the_caller_hears_another_voice_and_the_record_says_why():
    """One call, a turn for each fault; and when the provider is well again, that is found out."""
    server = DeepgramSpeak()
    async with open_vendor(server) as address:
        default, night = QUICK.split('    tts: {type: espeak, voice: en-us}\n    greeting: "Hello."\n  night:')
        with engine_home(default + LIST.format(url=address.http) + night) as home:
            (home / "scripts/reception.yaml").write_text(SCRIPT)
            async with open_engine(home) as engine, open_audiosocket_call(port=engine.port) as caller:
                await engine.logged("call.turn", turn=1, said="Hello.")
                assert engine.count("component.failed_over") == 0
                for number, fault in enumerate(FAULTS, 2):
                    server.fault = fault
                    await caller.say(recorded("yes-8k.wav"))
                    turn = await engine.logged("call.turn", turn=number)
                    assert (turn["trigger"], turn["interrupted"]) == ("utterance", False)
                    assert turn["said"]
                    with trio.fail_after(LONG_S):
                        assert await caller.agent_spoke(quiet_ms=100)
                assert not caller.hung_up.is_set()
                over = [one for one in engine.records if one["event"] == "component.failed_over"]
                assert {one["call_id"] for one in over} == {await engine.id_of(caller)}
                assert {(one["rung"], one["component"]) for one in over} >= {("alternate", "espeak")}
                assert "apology" not in {one["rung"] for one in over}
                met = [one for one in engine.records if one["event"] == "component.failed" and "call_id" in one]
                assert {(one["role"], one["component"]) for one in met} == {("tts", "deepgram")}
                assert any("Invalid credentials" in one["answered"] for one in met)

                # By now calls leave it alone, and everything says so.
                left_alone = await engine.logged("component.failed", retryable=False)
                (shown,) = (await engine.ask("GET", "/sets")).json()["sets"]
                health = {one["name"]: one for one in shown["components"] if one["role"] == "tts"}
                assert health["espeak"]["state"] == "closed"
                assert health["deepgram"]["state"] in {"open", "half_open"}
                assert "401" in health["deepgram"]["error"]["message"]
                assert health["deepgram"]["failures"] >= 2
                assert left_alone["component"] == "deepgram"
                samples = await engine.samples()
                assert samples['voicepipe_component_state{component="deepgram",role="tts",set="main"}'] > 0
                status = (await engine.command("status")).stdout.decode()
                assert "main: tts deepgram: circuit breaker is open for " in status

                server.fault = None
                await engine.logged("component.recovered", component="deepgram")
