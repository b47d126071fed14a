"""R01: a rejected file leaves version N serving; nothing of N is stopped before N+1 is wholly built."""

from __future__ import annotations

import json

import pytest
import trio
import trio.testing
from patience import until
from recording import RecordedSet, pipeline, raising

from voicepipe import Applied, ComponentError, Rejected

SERVED = {"stt a": 1, "llm a": 1, "tts a": 1}
BROKEN = {
    "not YAML": "pipelines: [",
    "empty": "",
    "a typo": "active_pipelin: default",
    "no pipelines": "pipelines: {}",
    "an unknown adapter": json.dumps({"pipelines": {"default": pipeline() | {"stt": "nobody"}}}),
    "a pipeline that isn't there": json.dumps({"active_pipeline": "sales", "pipelines": {"default": pipeline()}}),
    "a component that won't open": json.dumps({"pipelines": {"default": pipeline(stt="b", llm="b", tts="broken")}}),
    "a missing file": None,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
async def test_calls_go_on_and_new_ones_are_taken(tmp_path, text):
    recorded = RecordedSet(tmp_path)
    recorded.opening["tts broken"] = raising(ComponentError("refused"))
    async with recorded.serve() as pipelines:
        with pipelines.pin() as up:
            if text is None:
                recorded.path.unlink()
            else:
                recorded.path.write_text(text)
            outcome = await pipelines.reload()
            await trio.testing.wait_all_tasks_blocked()
            assert isinstance(outcome, Rejected)
            assert outcome.version == 1
            assert all(problem.where.file == recorded.path for problem in outcome.problems)
            with pipelines.pin() as new:
                assert new is up is pipelines.current
            assert recorded.open == SERVED
        recorded.write(default=pipeline(stt="c"))
        assert isinstance(await pipelines.reload(), Applied)
        assert pipelines.current.version == 2


async def test_nothing_is_stopped_before_all_is_built(tmp_path):
    recorded = RecordedSet(tmp_path)
    built = trio.Event()
    recorded.opening["tts b"] = built.wait
    async with recorded.serve() as pipelines, trio.open_nursery() as nursery:
        recorded.write(default=pipeline(stt="b", llm="b", tts="b"))
        nursery.start_soon(pipelines.reload)
        await until(lambda: recorded.open == {**SERVED, "stt b": 1, "llm b": 1})
        assert pipelines.current.version == 1
        assert recorded.closed == []
        built.set()
        await until(lambda: recorded.open == {"stt b": 1, "llm b": 1, "tts b": 1})
        assert pipelines.current.version == 2


async def test_what_was_opened_for_a_rejected_version_is_closed(tmp_path):
    recorded = RecordedSet(tmp_path)
    recorded.opening["tts b"] = raising(ComponentError("refused"))
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b", llm="b", tts="b"))
        assert isinstance(outcome, Rejected)
        assert {"stt b", "llm b"} == set(recorded.closed)
        assert recorded.open == SERVED
