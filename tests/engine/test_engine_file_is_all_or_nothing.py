"""A changed engine.yaml that can't be put in force as a whole leaves everything as it was."""

from __future__ import annotations

from functools import partial
from unittest.mock import patch

import pytest
import structlog
import trio
from patience import until
from recording import RecordedSet, pipeline

from reference_engine.reloads import reloading as module
from reference_engine.reloads.reloading import Reloader
from reference_engine.sets import sets as sets_module
from reference_engine.sets.sets import Sets
from reference_engine.settings.loading import load_engine_settings
from reference_engine.settings.run_options import RunOptions
from reference_engine.settings.settings import CurrentSettings
from reference_engine.watch.task_switch import TaskSwitch
from voicepipe import Applied, open_pipeline_set, open_runtime


class Engine:
    """An engine's file with listeners `phone` and `desk`, its sets, and what reloads them; no listener is open."""

    def __init__(self, directory):
        self.directory = directory
        self.recorded = {}
        for name in ("main", "bad", "good", "better"):
            (directory / name).mkdir()
            self.recorded[name] = RecordedSet(directory / name)
        self.recorded["bad"].path.write_text("nonsense: true\n")
        self.recorded["main"].write(default=pipeline(tts="main"))
        self.file = directory / "engine.yaml"
        self.told = []

    def write(self, *, sets, phone="main", desk="main", **other):
        """Writes the engine's file; `sets` are directories by names of sets."""
        lines = [f"{key}: {value}" for key, value in other.items()]
        named = ", ".join(f"{name}: {directory}/ai-agent.yaml" for name, directory in sets.items())
        lines += [f"pipeline_sets: {{{named}}}", "listeners:"]
        lines += [f"  - {{name: {name}, set: {of}, port: 0}}" for name, of in (("phone", phone), ("desk", desk))]
        self.file.write_text("\n".join([*lines, f"control: {self.directory}/c.sock", ""]))

    async def reload(self, **what):
        self.write(**what)
        return (await self.reloading.reload(trigger="signal")).engine

    @property
    def paths(self):
        """The directory of each set's file: of what is in force, and of what the sets read."""
        current = {name: path.parent.name for name, path in self.current.settings.pipeline_sets.items()}
        return current, {served.name: served.path.parent.name for served in self.sets}


def without_a_version(sets):
    return [name for name in sets.by_name if name not in sets.serving]


@pytest.fixture
async def engine(tmp_path, monkeypatch):
    engine = Engine(tmp_path)
    engine.write(sets={"main": "main", "acme": "bad"})
    registry = engine.recorded["main"].registry
    monkeypatch.setattr(sets_module, "open_pipeline_set", partial(open_pipeline_set, registry=registry))
    engine.current = CurrentSettings(load_engine_settings(engine.file))
    with structlog.testing.capture_logs() as engine.logs:
        log = structlog.get_logger()
        async with open_runtime() as runtime, trio.open_nursery() as nursery:
            watches = TaskSwitch(False)
            engine.sets = Sets(
                engine.current,
                env_file=None,
                runtime=runtime,
                nursery=nursery,
                watches=watches,
                logging={},
                log=log,
            )
            engine.sets.add_observers(engine.told.append)
            for name, path in engine.current.settings.pipeline_sets.items():
                engine.sets.add(name, path)
            engine.reloading = Reloader(
                RunOptions(engine.file),
                {},
                engine.current,
                sets=engine.sets,
                listeners={},
                watches=watches,
                observers=[engine.told.append],
                log=log,
            )
            nursery.start_soon(engine.reloading.serve)
            await engine.sets.reload(["main", "acme"], trigger="signal")
            assert (list(engine.sets.serving), without_a_version(engine.sets)) == (["main"], ["acme"])
            engine.told.clear()
            yield engine
            nursery.cancel_scope.cancel()


async def test_an_unfit_set_keeps_its_path(engine):
    (engine.directory / "worse").mkdir()
    (engine.directory / "worse/ai-agent.yaml").write_text("more: nonsense\n")
    before = engine.paths
    outcome = await engine.reload(sets={"main": "main", "acme": "worse"}, phone="acme")
    assert outcome.outcome == "rejected"
    assert "more" in str([problem.message for problem in outcome.problems])
    assert engine.paths == before == ({"main": "main", "acme": "bad"},) * 2
    assert "nonsense" in str(engine.sets.by_name["acme"].last_attempt.problems)
    engine.recorded["good"].path.replace(engine.recorded["bad"].path)  # the path in force is the one that is read
    outcomes = await engine.sets.reload(["acme"], trigger="signal")
    assert isinstance(outcomes["acme"], Applied)


async def test_what_could_be_served_is_not_when_something_else_can_t(engine):
    """Of three sets that listeners need two are fit, one new and one with another file; the third is not."""
    before = engine.paths
    outcome = await engine.reload(
        sets={"main": "main", "acme": "good", "new": "better", "third": "bad"}, phone="acme", desk="third"
    )
    assert outcome.outcome == "rejected"
    assert engine.paths == before
    assert (list(engine.sets.serving), without_a_version(engine.sets), engine.sets.leaving) == (["main"], ["acme"], [])
    assert not [event for event in engine.told if isinstance(event, Applied)]
    registry = engine.recorded["main"]
    await until(lambda: registry.open == {"stt a": 1, "llm a": 1, "tts main": 1})


async def test_all_of_it_is_once_it_can_be(engine):
    outcome = await engine.reload(sets={"main": "main", "acme": "good", "new": "better"}, phone="acme", desk="new")
    assert (outcome.outcome, set(outcome.opened)) == ("applied", {"acme", "new"})
    assert engine.paths == ({"main": "main", "acme": "good", "new": "better"},) * 2
    assert set(engine.sets.serving) == set(engine.sets.by_name) == {"main", "acme", "new"}
    assert [event.set for event in engine.told if isinstance(event, Applied)] in (["acme", "new"], ["new", "acme"])


@pytest.mark.parametrize(
    "where",
    ["reference_engine.sets.sets.Sets.reload_all", "reference_engine.reloads.reloading.plan_engine_change"],
)
async def test_an_unexpected_error_does_not_stand_in_the_way_of_later_reloads(engine, where):
    before = engine.paths
    with patch(where, side_effect=ZeroDivisionError("no")):
        engine.write(sets={"main": "main", "new": "good"}, phone="new")
        outcome = await engine.reloading._queue.request("signal")
    assert (outcome.outcome, outcome.problems[0].hint) == ("rejected", "a defect in the engine: please report it")
    assert engine.paths == before
    assert [record["task"] for record in engine.logs if record["event"] == "upkeep.failed"] == [
        "reload of the engine's file"
    ]
    outcome = await engine.reload(sets={"main": "main", "new": "good"}, phone="new")
    assert outcome.outcome == "applied"
    assert engine.paths == ({"main": "main", "new": "good"},) * 2


async def test_an_observer_that_raises_does_not_either(engine):
    engine.reloading._observers.insert(0, module.GuardedObserver(lambda _outcome: 1 / 0, structlog.get_logger()))
    for max_calls in (10, 20):
        outcome = await engine.reload(sets={"main": "main", "acme": "bad"}, max_calls=max_calls)
        assert outcome.outcome == "applied"
    assert [type(event).__name__ for event in engine.told].count("EngineOutcome") == 2
