"""What a load balancer is told, a line for each state, and that an engine takes no calls while it is paused."""

from __future__ import annotations

import pytest
import trio
from engine_process import open_engine
from patience import LONG_S

from reference_engine.control.agent_check import agent_answer
from voicepipe.testing.audiosocket_caller import open_audiosocket_call


@pytest.mark.parametrize(
    ("state", "calls", "max_calls", "line"),
    [
        ("starting", 0, 100, "down"),
        ("ready", 0, 100, "ready up 100%"),
        ("ready", 60, 100, "ready up 40%"),
        ("ready", 99, 100, "ready up 1%"),
        ("ready", 199, 201, "ready up 1%"),
        ("ready", 999, 1000, "ready up 1%"),  # 0 % would say that it is full
        ("ready", 100, 100, "ready up 0%"),
        ("ready", 120, 100, "ready up 0%"),  # max_calls was lowered
        ("ready", 500, None, "ready up 100%"),
        ("paused", 3, 100, "ready drain"),
        ("paused", 0, 100, "maint"),
        ("draining", 3, 100, "ready drain"),
        ("draining", 0, None, "ready drain"),
    ],
)
def test_the_line_of_each_state(state, calls, max_calls, line):
    assert agent_answer(state, calls, max_calls) == f"{line}\n".encode()


ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0}]
agent_check: {port: 0}
max_calls: 2
"""


async def asked(engine):
    """What the agent says on a connection."""
    address = (await engine.logged("engine.ready"))["agent_check"]
    with trio.fail_after(LONG_S):
        async with await trio.open_tcp_stream(address["host"], address["port"]) as stream:
            return b"".join([data async for data in stream]).decode()


async def test_a_paused_engine_keeps_its_calls_and_takes_no_more(home):
    (home / "engine.yaml").write_text(ENGINE)
    async with open_engine(home, file="engine.yaml") as engine:
        assert await asked(engine) == "ready up 100%\n"
        assert (await engine.command("resume")).stdout == b"ready: calls are taken; 0 calls are up\n"
        async with open_audiosocket_call(port=engine.port) as caller:
            await engine.logged("call.started")
            assert await asked(engine) == "ready up 50%\n"
            assert (await engine.command("pause")).stdout == b"paused: no new call is taken; 1 call is up\n"
            assert await asked(engine) == "ready drain\n"
            answer = await engine.ask("GET", "/readyz")
            assert (answer.status_code, answer.json()) == (503, {"status": "paused"})
            with pytest.raises(OSError, match="all attempts to connect"):
                await trio.open_tcp_stream("127.0.0.1", engine.port)
            assert await caller.agent_spoke()
            assert (await engine.command("pause", "--wait", "0")).returncode == 75  # somebody is still talking
            await caller.hang_up()
        assert (await engine.command("pause", "--wait")).returncode == 0
        assert await asked(engine) == "maint\n"
        assert (await engine.ask("POST", "/-/resume")).json() == {"status": "ready", "calls": 0}
        assert await asked(engine) == "ready up 100%\n"
        async with open_audiosocket_call(port=engine.port) as caller:
            assert await caller.agent_spoke()
        assert engine.count("engine.paused") == engine.count("engine.resumed") == 1
        engine.process.terminate()
        await engine.ended()
