"""The engine's sets side by side, and what asks for their reloads, with components that only note what is done."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial

import pytest
import structlog
import trio
import trio.testing
from attrs import evolve
from patience import LONG_S, until
from recording import RecordedSet, pipeline, raising

from reference_engine.reloads.coalescing import CoalescingQueue
from reference_engine.sets import served_set
from reference_engine.sets import sets as module
from reference_engine.sets.kept_files import keep_version
from reference_engine.sets.served_set import VersionChangedError
from reference_engine.sets.sets import Sets
from reference_engine.settings.settings import CurrentSettings, EngineSettings, ListenerSettings
from reference_engine.upkeep import tasks
from reference_engine.watch.task_switch import TaskSwitch
from voicepipe import (
    Applied,
    ComponentError,
    ConfigFingerprint,
    KeptVersion,
    Plan,
    Rejected,
    load_config,
    open_pipeline_set,
    open_runtime,
)
from voicepipe.pipelines import change_worker
from voicepipe.pipelines.versions import Versions


@pytest.fixture
async def recorded(tmp_path, monkeypatch, nursery):
    """Two recorded sets of one engine: `recorded.sets`, and by name."""
    files = {}
    for name in ("main", "acme"):
        (tmp_path / name).mkdir()
        files[name] = RecordedSet(tmp_path / name)
    one = files["main"]
    monkeypatch.setattr(module, "open_pipeline_set", partial(open_pipeline_set, registry=one.registry))
    current = CurrentSettings(
        EngineSettings(
            pipeline_sets={name: file.path for name, file in files.items()}, listeners=(ListenerSettings(set="main"),)
        )
    )
    one.files, one.settings, one.logging = files, current, {}
    async with open_runtime() as runtime, trio.open_nursery() as keeping:
        one.sets = Sets(
            current,
            env_file=None,
            runtime=runtime,
            nursery=keeping,
            watches=TaskSwitch(False),
            logging=one.logging,
            log=structlog.get_logger(),
        )
        one.sets.add_observers(one.events.append)
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
        assert recorded.sets.by_name["new"].last_attempt is outcomes["new"]
        assert (recorded.sets.by_name["new"].version, outcomes["new"].version) == (None, None)
    assert "new" not in recorded.sets.serving
    new.write(default=pipeline())
    outcomes = await recorded.sets.reload(["new"], trigger="signal")
    assert isinstance(outcomes["new"], Applied)
    assert list(recorded.sets.serving) == list(recorded.sets.by_name) == ["main", "acme", "new"]
    assert [type(event) for event in recorded.events] == [Rejected, Rejected, Applied]


async def test_a_set_that_is_removed_in_the_moment_in_which_it_has_opened(recorded, tmp_path):
    """Its last component has opened, and nothing has run since but who removes it."""
    (tmp_path / "new").mkdir()
    new = RecordedSet(tmp_path / "new")
    new.write(default=pipeline(tts="last"))

    async def remove():
        await trio.testing.wait_all_tasks_blocked()
        recorded.sets.remove("new")

    recorded.opening["tts last"] = remove
    recorded.sets.add("new", new.path)
    assert await recorded.sets.reload(["new"], trigger="signal") == {}
    await until(lambda: recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1})  # which the others share
    assert (recorded.sets.get("new"), recorded.sets.leaving, recorded.events) == (None, [], [])
    assert list(recorded.sets.serving) == ["main", "acme"]


async def test_a_set_that_is_removed_in_the_moment_in_which_it_serves(recorded, tmp_path, monkeypatch):
    """It has its first version, and whoever removes it comes before its observer is told."""
    (tmp_path / "new").mkdir()
    new = RecordedSet(tmp_path / "new")
    serve = Versions.serve

    def serve_and_remove(self, snapshot, *args, **options):
        if snapshot.set == "new":
            recorded.sets.remove("new")
        serve(self, snapshot, *args, **options)

    monkeypatch.setattr(Versions, "serve", serve_and_remove)
    recorded.sets.add("new", new.path)
    assert await recorded.sets.reload(["new"], trigger="signal") == {}
    await trio.testing.wait_all_tasks_blocked()
    assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}
    assert (recorded.sets.get("new"), recorded.sets.leaving, recorded.events) == (None, [], [])
    assert list(recorded.sets.serving) == ["main", "acme"]


async def test_an_observer_that_raises_ends_nothing(recorded):
    recorded.sets.add_observers(lambda _event: 1 / 0, recorded.events.append)
    recorded.files["main"].write(default=pipeline(tts="b"))
    with structlog.testing.capture_logs() as logs:
        outcomes = await recorded.sets.reload(["main", "acme"], trigger="signal")
        recorded.files["main"].write(default=pipeline(tts="c"))
        outcomes |= await recorded.sets.reload(["main"], trigger="signal")
    assert outcomes["main"].version == 3
    assert sum(isinstance(event, Applied) for event in recorded.events) == 4  # two for each that looks on
    failed = [record for record in logs if record["event"] == "observer.failed"]
    assert [bool(record.get("exc_info")) for record in failed][:2] == [True, False]


async def test_an_unexpected_exception_when_it_is_opened_rejects_it(recorded, tmp_path, caplog, monkeypatch):
    (tmp_path / "new").mkdir()
    new = RecordedSet(tmp_path / "new")
    recorded.sets.add("new", new.path)
    with monkeypatch.context() as broken:
        broken.setattr(change_worker, "plan_change", lambda *_args, **_kwargs: 1 / 0)
        outcomes = await recorded.sets.reload(["new"], trigger="signal")
    assert (outcomes["new"].reason, outcomes["new"].version) == ("defect", None)
    assert "ZeroDivisionError" in outcomes["new"].problems[0].message
    assert [record.name for record in caplog.records if record.levelname == "ERROR"] == ["voicepipe"]
    assert isinstance((await recorded.sets.reload(["new"], trigger="signal"))["new"], Applied)


async def test_a_set_that_can_t_be_opened_at_all_is_tried_again(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr(tasks, "FIRST_PAUSE_S", 0.0)
    (tmp_path / "new").mkdir()
    new = RecordedSet(tmp_path / "new")
    real, failures = recorded.sets._open, [ZeroDivisionError(), ZeroDivisionError()]

    def open_or_fail(served):
        if failures:
            raise failures.pop()
        return real(served)

    monkeypatch.setattr(recorded.sets, "_open", open_or_fail)
    with structlog.testing.capture_logs() as logs:
        recorded.sets.add("new", new.path)
        assert isinstance((await recorded.sets.reload(["new"], trigger="signal"))["new"], Applied)
    assert [record["task"] for record in logs if record["event"] == "upkeep.failed"] == ["pipeline set new"] * 2


async def test_a_set_that_is_removed_before_it_was_opened_has_no_outcome(recorded, tmp_path, monkeypatch):
    (tmp_path / "new").mkdir()
    new = RecordedSet(tmp_path / "new")
    monkeypatch.setattr(recorded.sets, "_open", lambda _served: 1 / 0)
    recorded.sets.add("new", new.path)
    outcomes = []

    async def reload():
        outcomes.append(await recorded.sets.reload(["new"], trigger="signal"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload)
        await trio.testing.wait_all_tasks_blocked()
        recorded.sets.remove("new")
    assert outcomes == [{}]


async def test_a_set_whose_providers_are_away_is_tried_again_and_told_once_it_serves(recorded, tmp_path, monkeypatch):
    monkeypatch.setattr(served_set, "FIRST_PAUSE_S", 0.01)
    (tmp_path / "new").mkdir()
    new = RecordedSet(tmp_path / "new")
    new.write(default=pipeline(tts="away"))
    recorded.opening["tts away"] = raising(ComponentError("HTTP 503"))
    recorded.sets.add("new", new.path)
    (outcome,) = (await recorded.sets.reload(["new"], trigger="signal")).values()
    assert (outcome.reason, outcome.version) == ("open", None)
    await until(lambda: recorded.attempts.count("tts away") > 2)
    assert recorded.events == [outcome]
    del recorded.opening["tts away"]
    await until(lambda: "new" in recorded.sets.serving)
    await trio.testing.wait_all_tasks_blocked()
    applied = recorded.events[-1]
    assert (applied.trigger, applied.version, len(recorded.events)) == ("retry", 1, 2)


async def test_a_set_that_serves_the_last_known_good_files_from_a_reload_on(recorded, tmp_path):
    """What it logs by, and what is kept of it, are noted as of any that serves."""
    (tmp_path / "new").mkdir()
    new = RecordedSet(tmp_path / "new")
    config = load_config(new.path, registry=recorded.registry, environ={})
    kept = KeptVersion(
        version=1,
        fingerprint=ConfigFingerprint.of(config),
        path=new.path,
        active_pipeline="default",
        applied_at=datetime.now(UTC),
        trigger="start",
        plan=Plan(),
    )
    keep_version(tmp_path / "kept", "new", kept, config.sources)
    new.path.write_text("pipelines: [")
    recorded.settings.settings = evolve(recorded.settings.settings, last_known_good=tmp_path / "kept")
    recorded.sets.add("new", new.path)
    with structlog.testing.capture_logs() as logs:
        for _ in range(2):
            (outcome,) = (await recorded.sets.reload(["new"], trigger="signal")).values()
            assert (type(outcome), outcome.version, outcome.reason) == (Rejected, 1, "config")
    assert [record["event"] for record in logs] == ["last_known_good.serves"]
    assert recorded.sets.by_name["new"].last_known_good
    assert recorded.logging.keys() == {"main", "acme", "new"}


async def test_a_set_that_fails_while_it_serves_is_opened_anew(recorded, monkeypatch):
    monkeypatch.setattr(served_set, "FIRST_PAUSE_S", 0.0)
    before = recorded.sets.serving["main"]
    with structlog.testing.capture_logs() as logs:
        before._worker._queue.add(None)  # which is none: carrying it out fails
        await until(lambda: recorded.sets.serving.get("main") not in {None, before})
    failed = [record for record in logs if record["event"] == "upkeep.failed"]
    assert [(record["task"], record["set"]) for record in failed] == [("pipeline set", "main")]
    assert [(event.set, event.trigger, event.version) for event in recorded.events] == [("main", "failure", 1)]
    assert recorded.sets.serving["acme"].current.version == 1
    recorded.files["main"].write(default=pipeline(tts="b"))
    assert (await recorded.sets.reload(["main"], trigger="signal"))["main"].version == 2


async def test_who_asks_for_a_run_that_fails_hears_of_it_and_the_next_run_is_another(nursery):
    raises = [ValueError("no")]

    async def run(_trigger):
        await trio.lowlevel.checkpoint()
        if raises:
            raise raises.pop()
        return "done"

    queue = CoalescingQueue(run)
    nursery.start_soon(queue.serve)
    with pytest.raises(ValueError, match="no"):
        await queue.request("first")
    assert await queue.request("second") == "done"


async def test_those_who_ask_during_a_run_share_the_next(autojump_clock, nursery):
    began = []

    async def run(trigger):
        began.append(trigger)
        await trio.sleep(1)
        return len(began)

    queue, answers = CoalescingQueue(run), []
    nursery.start_soon(queue.serve)

    async def ask(trigger):
        answers.append((trigger, await queue.request(trigger)))

    async with trio.open_nursery() as asking:
        asking.start_soon(ask, "first")
        await trio.sleep(0.5)
        for _ in range(50):
            asking.start_soon(ask, "later")
        await trio.sleep(0.1)
        with trio.move_on_after(0.1):
            await queue.request("impatient")
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

    switch = TaskSwitch(False)
    nursery.start_soon(switch.while_on, run)
    for on in (False, True, True, False, False, True):
        switch.set(on)
        await trio.testing.wait_all_tasks_blocked()
    assert said == ["on", "off", "on"]
