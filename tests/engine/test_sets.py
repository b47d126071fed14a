"""The engine's sets side by side, and what asks for their reloads, with components that only note what is done."""

from __future__ import annotations

from functools import partial

import pytest
import structlog
import trio
import trio.testing
from patience import LONG_S, until
from recording import RecordedSet, pipeline

from reference_engine import sets as module
from reference_engine.coalescing import Coalesced
from reference_engine.served_set import VersionChangedError
from reference_engine.sets import Sets
from reference_engine.settings import EngineSettings, InForce, ListenerSettings
from reference_engine.switch import Switch
from voicepipe import Applied, Rejected, open_pipeline_set, open_runtime


@pytest.fixture
async def recorded(tmp_path, monkeypatch, nursery):
    """Two recorded sets of one engine: `recorded.sets`, and by name."""
    files = {}
    for name in ("main", "acme"):
        (tmp_path / name).mkdir()
        files[name] = RecordedSet(tmp_path / name)
    one = files["main"]
    monkeypatch.setattr(module, "open_pipeline_set", partial(open_pipeline_set, registry=one.registry))
    in_force = InForce(
        EngineSettings(
            pipeline_sets={name: file.path for name, file in files.items()}, listeners=(ListenerSettings(set="main"),)
        )
    )
    one.files = files
    async with open_runtime() as runtime, trio.open_nursery() as keeping:
        one.sets = Sets(
            in_force,
            env_file=None,
            runtime=runtime,
            nursery=keeping,
            watches=Switch(False),
            levels={},
            log=structlog.get_logger(),
        )
        one.sets.tell(one.events.append)
        await one.sets.start()
        yield one
        keeping.cancel_scope.cancel()


async def test_one_that_is_slow_to_open_holds_no_other_back(recorded):
    asked, free = trio.Event(), trio.Event()

    async def slow():
        asked.set()
        await free.wait()

    recorded.opening["tts slow"] = slow
    recorded.files["acme"].write(default=pipeline(tts="slow"))
    recorded.files["main"].write(default=pipeline(tts="quick"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(recorded.sets.reload, ["main", "acme"], trigger="signal"))
        with trio.fail_after(LONG_S):
            await asked.wait()
            await until(lambda: recorded.sets.serving["main"].current.version == 2)
            assert recorded.sets.serving["acme"].current.version == 1
            recorded.files["main"].write(default=pipeline(tts="quicker"))
            outcomes = await recorded.sets.reload(["main"], trigger="control")
            assert outcomes["main"].version == 3
        free.set()
    assert recorded.sets.serving["acme"].current.version == 2


async def test_a_change_that_is_meant_for_a_version_waits_for_those_under_way(recorded):
    asked, free = trio.Event(), trio.Event()

    async def slow():
        asked.set()
        await free.wait()

    recorded.opening["tts slow"] = slow
    recorded.files["main"].write(default=pipeline(tts="slow"))
    main, raced = recorded.sets.get("main"), []

    async def meant_for_1():
        with pytest.raises(VersionChangedError, match="version 2 serves, not version 1") as caught:
            await main.rollback(1, trigger="control", if_version=1)
        raced.append(caught.value.serving)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(main.reload, trigger="watch"))
        await asked.wait()
        nursery.start_soon(meant_for_1)
        await trio.testing.wait_all_tasks_blocked()
        assert raced == []
        free.set()
    assert raced == [2]
    assert (await main.rollback(1, trigger="control", if_version=2)).version == 3


async def test_a_set_that_is_removed_while_it_is_opened(recorded, tmp_path):
    asked = trio.Event()

    async def for_ever():
        asked.set()
        await trio.sleep_forever()

    recorded.opening["tts stuck"] = for_ever
    (tmp_path / "new").mkdir()
    new = RecordedSet(tmp_path / "new")
    new.write(default=pipeline(tts="stuck"))
    recorded.sets.add("new", new.path)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(asked.wait)
        nursery.start_soon(partial(recorded.sets.reload, ["new"], trigger="signal"))
        await asked.wait()
        recorded.sets.remove("new")
    assert recorded.sets.get("new") is None
    assert recorded.events == []


async def test_a_set_that_is_not_fit_is_tried_again_and_told_each_time(recorded, tmp_path):
    (tmp_path / "new").mkdir()
    new = RecordedSet(tmp_path / "new")
    new.path.write_text("")
    recorded.sets.add("new", new.path)
    for _ in range(2):
        outcomes = await recorded.sets.reload(["new"], trigger="signal")
        assert isinstance(outcomes["new"], Rejected)
        assert recorded.sets.unfit == outcomes
    assert "new" not in recorded.sets.serving
    new.write(default=pipeline())
    outcomes = await recorded.sets.reload(["new"], trigger="signal")
    assert isinstance(outcomes["new"], Applied)
    assert (list(recorded.sets.serving), recorded.sets.unfit) == (["main", "acme", "new"], {})
    assert [type(event) for event in recorded.events] == [Rejected, Rejected, Applied]


async def test_those_who_ask_during_a_run_share_the_next(autojump_clock, nursery):
    began = []

    async def run(trigger):
        began.append(trigger)
        await trio.sleep(1)
        return len(began)

    coalesced, answers = Coalesced(run), []
    nursery.start_soon(coalesced.serve)

    async def ask(trigger):
        answers.append((trigger, await coalesced.ask(trigger)))

    async with trio.open_nursery() as asking:
        asking.start_soon(ask, "first")
        await trio.sleep(0.5)
        for _ in range(50):
            asking.start_soon(ask, "later")
        await trio.sleep(0.1)
        with trio.move_on_after(0.1):
            await coalesced.ask("impatient")
    assert began == ["first", "later"]
    assert answers == [("first", 1), *[("later", 2)] * 50]


async def test_what_goes_on_while_a_switch_is_on(autojump_clock, nursery):
    said = []

    async def run():
        said.append("on")
        try:
            await trio.sleep_forever()
        finally:
            said.append("off")

    switch = Switch(False)
    nursery.start_soon(switch.while_on, run)
    for on in (False, True, True, False, False, True):
        switch.turn(on)
        await trio.testing.wait_all_tasks_blocked()
    assert said == ["on", "off", "on"]
