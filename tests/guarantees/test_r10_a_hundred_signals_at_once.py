"""R10: a hundred signals at once make at most one running reload and one pending."""

from __future__ import annotations

import trio
from recording import RecordedSet, pipeline

from voicepipe import Applied, Unchanged


async def test_a_hundred_requests_make_two_readings_at_most(tmp_path):
    recorded = RecordedSet(tmp_path)
    readings, outcomes = [], []

    def note(options):
        readings.append(options.id)
        return ()

    async with recorded.serve() as pipelines:
        recorded.check = note

        async def ask():
            outcomes.append(await pipelines.reload(trigger="signal"))

        recorded.write(default=pipeline(stt="b", llm="b", tts="b"))
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(ask)
    assert len(readings) <= 2 * 3
    assert len(outcomes) == 100
    assert {type(outcome) for outcome in outcomes} <= {Applied, Unchanged}
    assert len({id(outcome) for outcome in outcomes}) <= 2
    assert recorded.opened.count("stt b") == 1


async def test_never_do_two_run_at_once(tmp_path):
    recorded = RecordedSet(tmp_path)
    running = most = 0

    async def note():
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.sleep(0.005)
        running -= 1

    async with recorded.serve() as pipelines, trio.open_nursery() as nursery:
        for number in range(20):
            recorded.opening[f"stt {number}"] = note
            recorded.write(default=pipeline(stt=str(number)))
            nursery.start_soon(pipelines.reload)
            await trio.sleep(0.003)
    assert most == 1
    assert pipelines.current.active.stt[0].settings.options.id == "19"
