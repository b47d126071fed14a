"""Starts of a pipeline set, and sets that share a runtime.

The clock is real where a file is read: reading is in a thread.
"""

from __future__ import annotations

import pytest
import trio
from attrs.exceptions import FrozenInstanceError
from patience import until
from recording import RecordedSet, pipeline, raising
from trio.testing import wait_all_tasks_blocked

from voicepipe.components.requests import CallInfo
from voicepipe.errors import ComponentError, ConfigError
from voicepipe.pipelines.opening import open_pipeline_set
from voicepipe.pipelines.runtime import open_runtime


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


# --- Starting ------------------------------------------------------------------------------------------------------


async def test_it_serves_what_the_file_says(recorded):
    recorded.write("sales", default=pipeline(), sales=pipeline(stt="b"), night=pipeline(tts="n", selectable=True))
    async with recorded.serve(name="acme") as pipelines:
        snapshot = pipelines.current
        assert (snapshot.set, snapshot.version, pipelines.name, pipelines.path) == ("acme", 1, "acme", recorded.path)
        assert list(snapshot.pipelines) == ["sales", "night"]
        assert snapshot.choose(CallInfo("1")) is snapshot.active is snapshot.pipelines["sales"]
        sales = snapshot.active
        assert (sales.name, sales.set, sales.version, sales.digest) == ("sales", "acme", 1, snapshot.digest)
        assert sales.settings is snapshot.config.pipelines["sales"]
        label = sales.stt[0].label
        assert (label.name, label.adapter, label.model) == ("recorded", "recorded", "b")
        assert (sales.stt[0].ref.role, sales.stt[0].ref.name) == ("stt", "recorded")
        assert recorded.open == {"stt a": 1, "stt b": 1, "llm a": 1, "tts a": 1, "tts n": 1}
        (record,) = pipelines.history
        assert (record.version, record.digest, record.active_pipeline) == (1, snapshot.digest, "sales")
        assert (record.trigger, record.calls, record.state) == ("start", 0, "serving")
        assert record.plan.added == ("sales", "night")
        assert pipelines.last_attempt is None
    assert recorded.open == {}
    assert recorded.events == []


async def test_a_snapshot_can_not_be_changed(recorded):
    async with recorded.serve() as pipelines:
        snapshot = pipelines.current
        with pytest.raises(FrozenInstanceError):
            snapshot.version = 2
        with pytest.raises(FrozenInstanceError):
            snapshot.active.stt = ()
        with pytest.raises(TypeError):
            snapshot.pipelines["x"] = snapshot.active


@pytest.mark.parametrize("own_runtime", [False, True])
async def test_a_bad_file_does_not_start(recorded, own_runtime):
    recorded.write(default=pipeline(typo=1))
    async with open_runtime() as runtime:
        with pytest.raises(ConfigError) as caught:
            async with recorded.serve(runtime=None if own_runtime else runtime):
                pytest.fail("it serves")
    (problem,) = caught.value.problems
    assert problem.path == "pipelines.default.typo"
    assert recorded.attempts == []


@pytest.mark.parametrize("own_runtime", [False, True])
async def test_a_component_that_does_not_open_is_a_problem_with_its_place(recorded, own_runtime):
    refused = ComponentError("refused", answered="401 Unauthorized", hint="is the key right?")
    recorded.opening["llm a"] = raising(refused)
    recorded.opening["tts a"] = raising(SystemExit(3))
    async with open_runtime() as runtime:
        with pytest.raises(ConfigError) as caught:
            async with recorded.serve(runtime=None if own_runtime else runtime):
                pytest.fail("it serves")
        await wait_all_tasks_blocked()
        assert recorded.open == {}
    first, second = caught.value.problems
    assert first.where.file == recorded.path
    assert first.path == "pipelines.default.llm"
    assert first.message == "llm recorded can't be opened: refused; answered: 401 Unauthorized"
    assert first.hint == "is the key right?"
    assert second.message == "tts recorded can't be opened: SystemExit: 3"
    assert recorded.path.read_text().splitlines()[first.where.line - 1].lstrip().startswith('"llm"')


async def test_a_component_that_hangs_while_opening_is_given_up(recorded):
    recorded.opening["stt a"] = trio.sleep_forever
    with pytest.raises(ConfigError, match=r"did not open within 0\.05 s"):
        async with recorded.serve(open_s=0.05):
            pytest.fail("it serves")
    assert recorded.open == {}


async def test_cancelling_the_start_leaves_nothing_open(recorded):
    recorded.opening["stt a"] = trio.sleep_forever
    async with open_runtime() as runtime, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:

            async def cancel():
                await until(lambda: len(recorded.opened) == 2)
                scope.cancel()

            nursery.start_soon(cancel)
            async with recorded.serve(runtime=runtime):
                pytest.fail("it serves")
        await wait_all_tasks_blocked()
        assert scope.cancelled_caught
        assert sorted(recorded.opened) == ["llm a", "tts a"]
        assert recorded.open == {}


# --- Several sets --------------------------------------------------------------------------------------------------


async def test_sets_share_equal_components_of_one_runtime(recorded, tmp_path):
    (tmp_path / "acme").mkdir()
    other = RecordedSet(tmp_path / "acme")
    other.write(default=pipeline(stt="b"))
    async with open_runtime() as runtime, recorded.serve(runtime=runtime) as ours:
        async with open_pipeline_set(
            other.path, name="acme", runtime=runtime, registry=recorded.registry, environ={}
        ) as theirs:
            assert theirs.current.active.tts[0].component is ours.current.active.tts[0].component
            assert theirs.current.active.clock is ours.current.active.clock is runtime.clock
            assert recorded.open == {"stt a": 1, "stt b": 1, "llm a": 1, "tts a": 1}
        await wait_all_tasks_blocked()
        assert recorded.closed == ["stt b"]
