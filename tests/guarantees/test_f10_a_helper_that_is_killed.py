"""F10, live: `kill -9` on a component's helper process in the middle of a call that has nothing else to speak with."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from engine_process import QUICK, engine_home, open_engine
from patience import until

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

SENTENCES = ("This is the first sentence of a greeting.", "The second one is the last.")
# However slow the machine is, the helper is waited for.
PATIENT = QUICK + "budgets: {tts: {connect_ms: 60000, first_audio_ms: 60000, gap_ms: 60000}}\n"
LONG_GREETING = PATIENT.replace('greeting: "Hello."', f'greeting: "{" ".join(SENTENCES)}"')


def helpers_of(pid: int) -> list[int]:
    """The espeak helpers among a process's children."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return [child for child in children if b"espeak/worker.py" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.fixture
def home():
    with engine_home(LONG_GREETING) as directory:
        yield directory


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="helpers are found in /proc")
async def test_the_reply_goes_on_and_so_does_the_call(home):
    async with open_engine(home) as engine, open_audiosocket_call(port=engine.port) as caller:
        await engine.logged("call.started")
        await until(lambda: len(caller.arrivals) >= 25)  # half a second of it
        (helper,) = helpers_of(engine.process.pid)
        os.kill(helper, signal.SIGKILL)

        turn = await engine.logged("call.turn", turn=1)
        assert turn["said"].split() == " ".join(SENTENCES).split()
        assert not caller.hung_up.is_set()
        assert engine.count("call.ended") == 0
        (other,) = helpers_of(engine.process.pid)
        assert other != helper

        met = await engine.logged("component.failed", call_id=await engine.id_of(caller))
        assert (met["role"], met["component"]) == ("tts", "espeak")
        over = await engine.logged("component.failed_over", call_id=await engine.id_of(caller))
        assert (over["role"], over["rung"], over["component"]) == ("tts", "retry", "espeak")
        (shared,) = [one for one in engine.records if one["event"] == "component.failed" and "call_id" not in one]
        assert (shared["role"], shared["component"], shared["adapter"]) == ("tts", "espeak", "espeak")
        assert "killed by signal 9" in shared["message"]
        assert shared["retry_s"] > 0
        await engine.logged("component.recovered", component="espeak")
        shown = (await engine.ask("GET", "/sets")).json()["sets"][0]
        assert [one["state"] for one in shown["components"]] == ["closed"] * 3
        assert shown["version"] == 1
        samples = await engine.samples()
        assert samples['voicepipe_component_state{component="espeak",role="tts",set="main"}'] == 0
        assert samples['voicepipe_failovers_total{role="tts",rung="retry",set="main"}'] >= 1
