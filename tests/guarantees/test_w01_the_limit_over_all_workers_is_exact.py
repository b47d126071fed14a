"""W01: a new call goes to the worker with the fewest; the limit over all is exact."""

from __future__ import annotations

from collections import Counter

import trio
from hypothesis import given
from hypothesis import strategies as st
from worker_engines import open_workers, send, worker_of

from reference_engine.supervisor.slots import SlotCount
from voicepipe.testing.audiosocket_caller import open_audiosocket_call

FULL = """\
pipeline_sets: {main: ai-agent.yaml}
listeners: [{set: main, port: 0, when_full: error}]
max_calls: 20
control: c.sock
"""
"""Calls beyond the limit connect, and are refused one by one: so each of them asks for a place."""


async def test_sixty_callers_at_once_and_twenty_places(home):
    (home / "engine.yaml").write_text(FULL)
    async with open_workers(home, file="engine.yaml") as engine, trio.open_nursery() as callers:
        hang_up, ends = trio.Event(), Counter()

        async def call():
            async with open_audiosocket_call(port=engine.port) as caller:
                async with trio.open_nursery() as waiting:

                    async def until_asked():
                        await hang_up.wait()
                        waiting.cancel_scope.cancel()

                    waiting.start_soon(until_asked)
                    await caller.hung_up.wait()
                    waiting.cancel_scope.cancel()
                ends[caller.hung_up.is_set()] += 1

        for _ in range(60):
            callers.start_soon(call)

        async def all_are_answered():
            return engine.count("call.started") + engine.count("call.refused") == 60

        await engine.comes_true(all_are_answered)
        assert engine.count("call.started") == 20
        by_worker = Counter(record["worker"] for record in engine.records if record["event"] == "call.started")
        assert min(by_worker.values()) > 0
        hang_up.set()
        await engine.logged("engine.has_room")
        async with open_audiosocket_call(port=engine.port) as late:
            assert await worker_of(engine, late) in {1, 2}
    assert ends == {True: 40, False: 20}


async def test_calls_go_to_the_worker_with_the_fewest_and_a_dead_ones_places_are_free(home):
    (home / "engine.yaml").write_text(FULL.replace("20", "3"))
    async with (
        open_workers(home, file="engine.yaml") as engine,
        open_audiosocket_call(port=engine.port) as first,
        open_audiosocket_call(port=engine.port) as second,
    ):
        assert {await worker_of(engine, first), await worker_of(engine, second)} == {1, 2}
        async with open_audiosocket_call(port=engine.port) as third:
            crowded = await worker_of(engine, third)
            await engine.logged("engine.full")
            send(engine, crowded)
            await third.hung_up.wait()
            ended = await engine.logged("worker.ended", worker=crowded)
            assert ended["calls_lost"] == 2
            await engine.logged("engine.has_room")


@given(
    st.lists(st.tuples(st.sampled_from(["take", "free", "die"]), st.integers(1, 3), st.integers(1, 9))),
    st.integers(1, 6),
)
def test_no_order_of_events_gives_more_places_than_there_are(events, limit):
    slots, held = SlotCount(limit), set()
    for what, worker, number in events:
        slot = (worker, number)
        if what == "take" and slot not in held:
            granted = slots.take(slot)
            assert granted == (len(held) < limit)
            held |= {slot} if granted else set()
        elif what == "free":
            slots.free(slot)
            held.discard(slot)
        elif what == "die":
            gone = {each for each in held if each[0] == worker}
            assert slots.free_all_of(worker) == len(gone)
            held -= gone
        assert slots.taken == len(held) <= limit
        assert slots.is_full == (len(held) == limit)


def test_a_lower_limit_ends_no_call():
    slots = SlotCount(None)
    assert all(slots.take((1, number)) for number in range(9))
    slots.limit = 3
    assert slots.taken == 9
    assert not slots.take((2, 1))
