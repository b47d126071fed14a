"""F05: past capacity a call is refused at once, in the transport's own way; those that are up notice nothing."""

from __future__ import annotations

import numpy as np
import pytest
import trio
from engine_process import open_engine
from patience import LONG_S, until

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0}]
max_calls: 3
"""
GREETING = "Good morning. " * 2
LOUD, FRAME = 300, 160


@pytest.fixture
async def engine(home):
    """One that takes three calls at once."""
    file = home / "ai-agent.yaml"
    file.write_text(file.read_text().replace("Hello.", GREETING))
    (home / "engine.yaml").write_text(ENGINE)
    async with open_engine(home, file="engine.yaml") as engine:
        yield engine


async def refused(engine):
    """How a call that is not taken is told so."""
    async with open_audiosocket_call(port=engine.port) as caller:
        with trio.fail_after(LONG_S):
            await caller.hung_up.wait()
        assert caller.arrivals == []
        return caller.how


async def greeting(engine):
    """How much a caller hears of it, in samples that are loud: espeak's noises are others each time, its vowels not.

    Rings again if it is refused: a call that has ended counts until all that it held is closed.
    """
    while True:
        async with open_audiosocket_call(port=engine.port) as caller:
            if await caller.agent_spoke():
                samples = np.frombuffer(caller.recording()[1], "<i2")
                return np.count_nonzero(np.abs(samples) > LOUD)


async def test_f05_calls_that_are_up_lose_nothing_while_others_are_refused(engine):
    whole = await greeting(engine)
    assert whole > 25 * FRAME

    heard, up = [], trio.Event()

    async def be_up():
        heard.append(await greeting(engine))
        up.set()

    async with trio.open_nursery() as calls:
        for _ in range(3):
            calls.start_soon(be_up)
        await until(lambda: engine.count("call.started") == 4)
        while not up.is_set():
            assert await refused(engine) == "0x00"
    assert len(heard) == 3
    assert all(abs(samples - whole) < FRAME / 2 for samples in heard)
    no_call = (await engine.samples())['voicepipe_calls_refused_total{set="main"}']
    assert no_call
    await until(lambda: engine.count("call.refused") == no_call)  # the log comes through a pipe
    assert (await engine.logged("call.refused"))["reason"] == "3 calls are up already, as many as max_calls allows"


async def test_f05_of_many_that_come_at_once_no_more_are_taken_than_may_be(engine):
    async with trio.open_nursery() as calls:

        async def ring():
            async with open_audiosocket_call(port=engine.port) as caller:
                await caller.hung_up.wait()
                assert caller.how == "0x00"

        for _ in range(20):
            calls.start_soon(ring)
        await until(lambda: engine.count("call.started") + engine.count("call.refused") == 20)
        assert (engine.count("call.started"), engine.count("call.refused")) == (3, 17)
        calls.cancel_scope.cancel()
    assert await greeting(engine)  # there is room again
