"""F05: past capacity a call is refused at once, in the transport's own way; those that are up notice nothing."""

from __future__ import annotations

from contextlib import AsyncExitStack, suppress

import numpy as np
import pytest
import trio
from engine_process import open_engine
from patience import LONG_S, until

from voicepipe.testing.audiosocket_caller import open_audiosocket_call

ENGINE = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0, when_full: WAY}]
max_calls: 3
"""
TOLD = {"close_listener": {"nobody listens"}, "error": {"0xff"}, "reset": {"reset"}, "hang_up": {"0x00"}}
"""What a call is told that comes while there is no room, by `when_full`."""
AT_ONCE = {**TOLD, "close_listener": {"nobody listens", "0xff", "reset"}}
"""The same of calls that may have connected before the last place was taken."""
GREETING = "Good morning. " * 2
LOUD, FRAME = 300, 160


@pytest.fixture(params=list(TOLD))
def way(request):
    return request.param


@pytest.fixture
async def engine(home, way):
    """One that takes three calls at once."""
    file = home / "ai-agent.yaml"
    file.write_text(file.read_text().replace("Hello.", GREETING))
    (home / "engine.yaml").write_text(ENGINE.replace("WAY", way))
    async with open_engine(home, file="engine.yaml") as engine:
        yield engine


async def refused(engine):
    """How a call that is not taken is told so."""
    try:
        async with open_audiosocket_call(port=engine.port) as caller:
            with trio.fail_after(LONG_S):
                await caller.hung_up.wait()
            assert caller.arrivals == []
            return caller.how
    except trio.BrokenResourceError:
        return "reset"
    except OSError:
        return "nobody listens"


async def greeting(engine):
    """How much a caller hears of it, in samples that are loud: espeak's noises are others each time, its vowels not.

    Rings again if it is refused: a call that has ended counts until all that it held is closed.
    """
    while True:
        with suppress(OSError, trio.BrokenResourceError):
            async with open_audiosocket_call(port=engine.port) as caller:
                if await caller.agent_spoke():
                    samples = np.frombuffer(caller.recording()[1], "<i2")
                    return np.count_nonzero(np.abs(samples) > LOUD)
        await trio.sleep(0.01)


async def test_f05_calls_that_are_up_lose_nothing_while_others_are_refused(engine, way):
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
        full = await engine.logged("engine.full")
        assert (full["calls"], full["max_calls"]) == (3, 3)
        assert (await engine.samples())["voicepipe_full"] == 1
        told = set()

        async def ring():
            while True:
                told.add(await refused(engine))

        async with trio.open_nursery() as ringing:
            ringing.start_soon(ring)
            await up.wait()  # the next to ring may be taken by now
            ringing.cancel_scope.cancel()
        assert told == TOLD[way]
    assert len(heard) == 3
    assert all(abs(samples - whole) < FRAME / 2 for samples in heard)
    await engine.logged("engine.has_room")
    assert await greeting(engine) > 25 * FRAME
    assert (await engine.samples())["voicepipe_full"] == 0
    if way != "close_listener":  # else nobody is there to count them
        no_call = (await engine.samples())['voicepipe_calls_refused_total{reason="full",set="main"}']
        assert no_call
        await until(lambda: engine.count("call.refused") >= no_call)  # the log comes through a pipe
        assert (await engine.logged("call.refused"))["reason"] == "3 calls are up already, as many as max_calls allows"


async def test_f05_of_many_that_come_at_once_no_more_are_taken_than_may_be(engine, way):
    told, taken = [], 0
    async with trio.open_nursery() as calls:

        async def ring():
            told.append(await refused(engine))

        for _ in range(20):
            calls.start_soon(ring)
        await until(lambda: len(told) == 17)
        assert set(told) <= AT_ONCE[way]
        await until(lambda: engine.count("call.started") >= 3)  # the log comes through a pipe
        taken = engine.count("call.started")
        calls.cancel_scope.cancel()
    assert taken == 3
    assert await greeting(engine)  # there is room again


@pytest.mark.parametrize("way", ["close_listener", "error"])
async def test_f05_a_raised_limit_makes_room_at_once(engine, way):
    async with AsyncExitStack() as up:
        for _ in range(3):
            await up.enter_async_context(open_audiosocket_call(port=engine.port))
        await engine.logged("engine.full")
        assert await refused(engine) in TOLD[way]
        engine.edit("max_calls: 3", "max_calls: 4", file="engine.yaml")
        assert (await engine.command("reload")).returncode == 0
        await engine.logged("engine.has_room")
        await up.enter_async_context(open_audiosocket_call(port=engine.port))
        await until(lambda: engine.count("call.started") == 4)
        assert await refused(engine) in TOLD[way]
        engine.process.terminate()  # an engine that stops refuses in the same way as one that is not there
        await engine.logged("engine.draining")
        assert await refused(engine) == "nobody listens"
