"""R12: a call keeps its version, in every task and setting, until it hangs up, however many reloads pass."""

from __future__ import annotations

import trio
import trio.testing
from recording import RecordedSet, pipeline

from voicepipe import AudioFormat, Listen


async def test_however_many_reloads_pass(tmp_path):
    recorded = RecordedSet(tmp_path)
    first = {"greeting": "First.", "prompt": "One.", "tools": [], "turns": {"end_of_turn_ms": 700}}
    recorded.write(default=pipeline(**first), sections={"limits": {"idle_prompts": 7}, "streaming": {"lead_ms": 60}})
    seen = []

    async def task_of_the_call(snapshot, reloaded):
        pipeline = snapshot.active
        while True:
            settings = pipeline.settings
            seen.append(
                (
                    pipeline.version,
                    settings.greeting,
                    settings.prompt,
                    settings.tools,
                    settings.turns.end_of_turn_ms,
                    settings.limits.idle_prompts,
                    settings.streaming.lead_ms,
                )
            )
            stt = pipeline.stt[0].component
            async with stt.open_stream(stt.input_for(AudioFormat(8000)), Listen()) as stream:
                await stream.send(bytes(320))
            await reloaded.wait()
            reloaded = trio.Event()

    async with recorded.serve() as pipelines:
        with pipelines.pin() as snapshot:
            async with trio.open_nursery() as nursery:
                events = [trio.Event() for _ in range(3)]
                for event in events:
                    nursery.start_soon(task_of_the_call, snapshot, event)
                for number in range(60):
                    await recorded.rewrite(pipelines, default=pipeline(stt=f"b{number}", llm=f"b{number}"))
                for event in events:
                    event.set()
                await trio.testing.wait_all_tasks_blocked()
                nursery.cancel_scope.cancel()
            assert pipelines.current.version == 61
            assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1, "stt b59": 1, "llm b59": 1}
            assert [record.calls for record in pipelines.history if record.version == 1] == [1]
    assert seen == [(1, "First.", "One.", (), 700, 7, 60)] * 6


async def test_each_call_its_own(tmp_path):
    recorded = RecordedSet(tmp_path)
    async with recorded.serve() as pipelines:
        pins = []
        for number in range(5):
            await recorded.rewrite(pipelines, default=pipeline(tts=str(number)))
            pin = pipelines.pin()
            pins.append((pin, pin.__enter__()))
        assert [snapshot.version for _pin, snapshot in pins] == [2, 3, 4, 5, 6]
        assert [snapshot.active.tts[0].settings.options.id for _pin, snapshot in pins] == list("01234")
        for number in (3, 0, 4, 1, 2):
            pins[number][0].__exit__(None, None, None)
        await trio.testing.wait_all_tasks_blocked()
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts 4": 1}
