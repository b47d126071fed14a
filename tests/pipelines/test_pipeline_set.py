"""A pipeline set: one file's pipelines over time. The clock is real where a file is read: reading is in a thread."""

from __future__ import annotations

import threading
from functools import partial

import pytest
import trio
from attrs.exceptions import FrozenInstanceError
from patience import LONG_S, until
from recording import RecordedSet, pipeline, raising
from trio.testing import wait_all_tasks_blocked

from voicepipe.components.requests import CallInfo
from voicepipe.errors import ComponentError, ConfigError, PipelineSetClosed
from voicepipe.pipelines.opening import open_pipeline_set
from voicepipe.pipelines.outcome import Applied, Rejected, Retired, Unchanged
from voicepipe.pipelines.runtime import open_runtime
from voicepipe.pipelines.shared_component import CLOSE_S
from voicepipe.pipelines.versions import KEPT


@pytest.fixture
def recorded(tmp_path):
    return RecordedSet(tmp_path)


def ids(snapshot):
    """The components of the active pipeline."""
    active = snapshot.active
    return [opened.settings.options.id for opened in (*active.stt, *active.llm, *active.tts)]


# --- Starting ----------------------------------------------------------------------------------------------------


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


# --- Reloading ---------------------------------------------------------------------------------------------------


async def test_a_change_is_applied(recorded):
    async with recorded.serve() as pipelines:
        first = pipelines.current
        recorded.write("sales", default=pipeline(), sales=pipeline(tts="b"))
        outcome = await pipelines.reload(trigger="signal")
        assert isinstance(outcome, Applied)
        assert (outcome.set, outcome.version, outcome.trigger) == ("main", 2, "signal")
        assert (outcome.digest, outcome.logging) == (pipelines.current.digest, pipelines.current.config.logging)
        assert outcome.plan.opened == ("tts recorded (b)",)
        assert (outcome.plan.active, outcome.plan.was_active) == ("sales", "default")
        assert outcome.seconds > 0
        assert outcome.at.utcoffset().total_seconds() == 0
        assert pipelines.last_attempt is outcome
        assert (first.version, first.active.name) == (1, "default")
        assert (pipelines.current.version, pipelines.current.active.name) == (2, "sales")
        assert pipelines.history[-1].plan == outcome.plan
        assert [record.state for record in pipelines.history] == ["retired", "serving"]
        assert recorded.events == [outcome, Retired(set="main", version=1)]


async def test_a_comment_changes_nothing(recorded):
    async with recorded.serve() as pipelines:
        first = pipelines.current
        recorded.path.write_text("# a comment\n" + recorded.path.read_text())
        outcome = await pipelines.reload()
        assert isinstance(outcome, Unchanged)
        assert (outcome.version, outcome.digest) == (1, first.digest)
        assert pipelines.current is first
        assert pipelines.last_attempt is outcome
        assert len(pipelines.history) == 1
    assert len(recorded.attempts) == 3


async def test_a_rejected_file_changes_nothing(recorded):
    async with recorded.serve() as pipelines:
        first = pipelines.current
        recorded.write(default=pipeline(stt="b", typo=1))
        outcome = await pipelines.reload()
        assert isinstance(outcome, Rejected)
        assert (outcome.version, outcome.digest) == (1, None)
        assert [problem.path for problem in outcome.problems] == ["pipelines.default.typo"]
        assert pipelines.current is first
        assert len(recorded.attempts) == 3

        recorded.opening["stt b"] = raising(ComponentError("refused"))
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b", tts="b"))
        assert isinstance(outcome, Rejected)
        assert outcome.digest
        assert pipelines.current is first
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}

        del recorded.opening["stt b"]
        assert isinstance(await pipelines.reload(), Applied)
        assert pipelines.current.version == 2


async def test_components_that_stay_are_the_same_object_opened_once(recorded):
    async with recorded.serve() as pipelines:
        first = pipelines.current.active
        outcome = await recorded.rewrite(pipelines, default=pipeline(tts="b", prompt="Be brief."))
        second = pipelines.current.active
        assert second.stt[0].component is first.stt[0].component
        assert second.llm[0].component is first.llm[0].component
        assert second.tts[0].component is not first.tts[0].component
        assert outcome.plan.kept == ("stt recorded (a)", "llm recorded (a)")
    assert sorted(recorded.opened) == ["llm a", "stt a", "tts a", "tts b"]


async def test_pipelines_share_equal_components_and_two_names_of_one_share_it_too(recorded):
    components = {"mine": {"type": "recorded", "id": "x"}, "yours": {"type": "recorded", "id": "x"}}
    recorded.write(
        default=pipeline() | {"stt": "mine"},
        sales=pipeline(selectable=True) | {"stt": "yours"},
        sections={"components": components},
    )
    async with recorded.serve() as pipelines:
        default, sales = pipelines.current.pipelines.values()
        assert default.stt[0].component is sales.stt[0].component
        assert [one.stt[0].label.name for one in (default, sales)] == ["mine", "yours"]
    assert sorted(recorded.opened) == ["llm a", "stt x", "tts a"]


async def test_the_observer_hears_of_every_outcome(recorded):
    async with recorded.serve() as pipelines:
        outcomes = [await pipelines.reload(), await recorded.rewrite(pipelines, default=pipeline(stt="b"))]
        recorded.path.unlink()
        outcomes.append(await pipelines.reload())
        assert [type(outcome) for outcome in outcomes] == [Unchanged, Applied, Rejected]
        assert [event for event in recorded.events if not isinstance(event, Retired)] == outcomes


# --- What else makes a new version -------------------------------------------------------------------------------


SECRETS = {
    "a component's option": pipeline(stt={"id": "a", "text": "${WORD}"}),
    "a greeting": pipeline(greeting="Welcome to ${WORD}."),
    "a prompt": pipeline(prompt="${WORD}"),
    "an apology": pipeline(on_failure={"say": "${WORD}"}),
}


@pytest.mark.parametrize("content", SECRETS.values(), ids=SECRETS)
async def test_a_secret_that_changed_is_a_new_version_of_the_same_digest(recorded, content):
    recorded.environ["WORD"] = "one"
    recorded.write(default=content)
    async with recorded.serve() as pipelines:
        first = pipelines.current
        assert isinstance(await pipelines.reload(), Unchanged)
        recorded.environ["WORD"] = "two"
        outcome = await pipelines.reload()
        assert isinstance(outcome, Applied)
        assert outcome.plan.changed == ("default",)
        assert outcome.digest == first.digest
        assert first.config.pipelines != pipelines.current.config.pipelines
        assert isinstance(await pipelines.reload(), Unchanged)


@pytest.mark.parametrize(
    ("sections", "before", "after"),
    [({"logging": {"level": "${LEVEL}"}}, "INFO", "DEBUG"), ({"active_pipeline": "${LEVEL}"}, "default", "sales")],
)
async def test_a_setting_from_the_environment_that_changed_is_a_new_version(recorded, sections, before, after):
    recorded.environ["LEVEL"] = before
    recorded.write(default=pipeline(selectable=True), sales=pipeline(selectable=True), sections=sections)
    async with recorded.serve() as pipelines:
        recorded.environ["LEVEL"] = after
        outcome = await pipelines.reload()
        assert isinstance(outcome, Applied)
        assert after in {outcome.logging.level, outcome.plan.active}


async def test_a_secret_of_a_pipeline_that_nobody_gets_changes_nothing(recorded):
    recorded.environ["WORD"] = "one"
    recorded.write(default=pipeline(), never=pipeline(stt={"id": "b", "text": "${WORD}"}))
    async with recorded.serve() as pipelines:
        recorded.environ["WORD"] = "two"
        assert isinstance(await pipelines.reload(), Unchanged)


# --- Pins --------------------------------------------------------------------------------------------------------


async def test_a_version_is_closed_when_its_last_call_ends_and_not_before(recorded):
    async with recorded.serve() as pipelines:
        with pipelines.pin() as first:
            with pipelines.pin() as again:
                assert again is first
                await recorded.rewrite(pipelines, default=pipeline(stt="b"))
                assert [(record.calls, record.state) for record in pipelines.history] == [
                    (2, "draining"),
                    (0, "serving"),
                ]
            await wait_all_tasks_blocked()
            assert recorded.open == {"stt a": 1, "stt b": 1, "llm a": 1, "tts a": 1}
        await wait_all_tasks_blocked()
        assert recorded.closed == ["stt a"]
        assert recorded.events[-1] == Retired(set="main", version=1)
        assert pipelines.history[0].state == "retired"


async def test_a_serving_version_is_not_closed_when_its_last_call_ends(recorded):
    async with recorded.serve() as pipelines:
        with pipelines.pin():
            pass
        await wait_all_tasks_blocked()
        assert recorded.closed == []
        assert recorded.events == []


async def test_a_call_that_fails_lets_its_version_go(recorded):
    async with recorded.serve() as pipelines:
        with pytest.raises(ValueError, match="mine"), pipelines.pin():  # noqa: PT012 - the block raises
            await recorded.rewrite(pipelines, default=pipeline(stt="b"))
            raise ValueError("mine")
        await wait_all_tasks_blocked()
        assert recorded.closed == ["stt a"]


async def test_the_history_is_bounded_but_keeps_what_calls_hold(recorded):
    async with recorded.serve() as pipelines:
        with pipelines.pin():
            for number in range(3 * KEPT):
                recorded.write(default=pipeline(prompt=str(number)))
                await pipelines.reload()
                if number == KEPT:
                    middle = pipelines.pin()
                    middle.__enter__()
            versions = [record.version for record in pipelines.history]
            latest = list(range(2 * KEPT + 2, 3 * KEPT + 2))
            assert versions == [1, KEPT + 2, *latest]
        middle.__exit__(None, None, None)
        assert [record.version for record in pipelines.history] == latest


# --- Several reloads at once -------------------------------------------------------------------------------------


class Gate:
    """Stops readings in their thread: `check` is called when the file has been read."""

    def __init__(self, recorded):
        self.readings = 0
        self.read = trio.Event()
        self.go_on = threading.Event()
        self._token = trio.lowlevel.current_trio_token()
        recorded.check = self._check

    def _check(self, options):
        if options.id.startswith("stt"):
            self.readings += 1
            self._token.run_sync_soon(self.read.set)
            assert self.go_on.wait(LONG_S)
        return ()


@pytest.fixture
async def gated(recorded):
    """A set, and a gate that stops its next readings."""
    recorded.write(default=pipeline(stt="stt 0"))
    async with recorded.serve() as pipelines:
        gate = Gate(recorded)
        yield pipelines, gate
        gate.go_on.set()


async def test_a_request_is_answered_by_a_reading_that_began_after_it(recorded, gated):
    pipelines, gate = gated
    answers = {}

    async def ask(name):
        answers[name] = await pipelines.reload(trigger=name)

    async with trio.open_nursery() as nursery:
        recorded.write(default=pipeline(stt="stt 1"))
        nursery.start_soon(ask, "early")
        await gate.read.wait()
        recorded.write(default=pipeline(stt="stt 2"))
        for number in range(99):
            nursery.start_soon(ask, f"late {number}")
        await wait_all_tasks_blocked()
        gate.go_on.set()
    early = answers.pop("early")
    assert (early.version, early.trigger) == (2, "early")
    assert {id(answer) for answer in answers.values()} == {id(pipelines.last_attempt)}
    assert pipelines.last_attempt.version == 3
    assert ids(pipelines.current)[0] == "stt 2"
    assert gate.readings == 2


async def test_cancelling_one_who_waits_does_not_cancel_the_reload(recorded, gated):
    pipelines, gate = gated
    recorded.write(default=pipeline(stt="stt 1"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipelines.reload)
        await gate.read.wait()
        nursery.cancel_scope.cancel()
    assert pipelines.last_attempt is None
    gate.go_on.set()
    await until(lambda: pipelines.last_attempt is not None)
    assert pipelines.current.version == 2


async def test_cancelling_all_who_wait_for_the_next_one_does_not_cancel_it_either(recorded, gated):
    pipelines, gate = gated
    async with trio.open_nursery() as first:
        first.start_soon(pipelines.reload)
        await gate.read.wait()
        recorded.write(default=pipeline(stt="stt 1"))
        async with trio.open_nursery() as second:
            second.start_soon(pipelines.reload)
            await wait_all_tasks_blocked()
            second.cancel_scope.cancel()
        gate.go_on.set()
    await until(lambda: pipelines.current.version == 2)


async def test_the_file_is_read_beside_the_calls(recorded, gated):
    pipelines, gate = gated
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pipelines.reload)
        await gate.read.wait()
        with trio.fail_after(LONG_S / 2), pipelines.pin() as snapshot:  # or the reading would be over
            await trio.sleep(0.01)
            assert snapshot.version == 1
        gate.go_on.set()


# --- Whatever is raised ------------------------------------------------------------------------------------------


class Abandoned(BaseException):
    """A vendor's own cancellation, such as asyncio's."""


RAISED = {
    "error": lambda: ValueError("no"),
    "group": lambda: ExceptionGroup("several", [OSError("reset")]),
    "exit": lambda: SystemExit(3),
    "exit in a group": lambda: BaseExceptionGroup("several", [SystemExit(3)]),
    "base": lambda: Abandoned("no"),
}


@pytest.mark.parametrize("place", ["open", "check", "model"])
@pytest.mark.parametrize("make", RAISED.values(), ids=RAISED)
async def test_whatever_an_adapter_raises_rejects_the_file(recorded, place, make):
    def fail(_options):
        raise make()

    async with recorded.serve() as pipelines:
        before = pipelines.current
        if place == "open":
            recorded.opening["stt b"] = raising(make())
        else:
            setattr(recorded, place, fail)
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt="b"))
        assert isinstance(outcome, Rejected)
        assert outcome.problems
        assert pipelines.current is before
        assert recorded.open == {"stt a": 1, "llm a": 1, "tts a": 1}
        recorded.opening.clear()
        recorded.check, recorded.model = (lambda _options: ()), (lambda _options: None)
        assert isinstance(await pipelines.reload(), Applied)


# --- Failover lists ----------------------------------------------------------------------------------------------


async def test_a_list_that_opens_in_part_is_applied_and_degraded(recorded):
    recorded.opening["stt x"] = raising(ComponentError("refused"))
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt=["x", "b"], llm=["a", "b"]))
        assert isinstance(outcome, Applied)
        (problem,) = outcome.plan.degraded
        assert problem.message == "stt recorded can't be opened: refused"
        assert problem.path == "pipelines.default.stt[0]"
        assert ids(pipelines.current) == ["b", "a", "b", "a"]
        assert recorded.open == {"stt b": 1, "llm a": 1, "llm b": 1, "tts a": 1}

        del recorded.opening["stt x"]
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt=["x", "b"], llm="a"))
        assert outcome.plan.opened == ("stt recorded (x)",)
        assert outcome.plan.degraded == ()
        assert ids(pipelines.current) == ["x", "b", "a", "a"]


async def test_a_list_of_which_nothing_opens_is_rejected_with_all_reasons(recorded):
    for component_id in "xy":
        recorded.opening[f"stt {component_id}"] = raising(ComponentError(f"{component_id} refused"))
    async with recorded.serve() as pipelines:
        outcome = await recorded.rewrite(pipelines, default=pipeline(stt=["x", "y"]))
        assert isinstance(outcome, Rejected)
        assert [problem.path for problem in outcome.problems] == [
            "pipelines.default.stt[0]",
            "pipelines.default.stt[1]",
        ]


# --- Several sets ------------------------------------------------------------------------------------------------


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


# --- Closing -----------------------------------------------------------------------------------------------------


async def test_leaving_waits_for_calls_and_takes_no_more(recorded):
    left = trio.Event()
    async with trio.open_nursery() as nursery:
        release = trio.Event()

        async def call(pipelines):
            with pipelines.pin():
                await release.wait()

        async def serve():
            async with recorded.serve() as pipelines:
                nursery.start_soon(call, pipelines)
                nursery.start_soon(call, pipelines)
                await wait_all_tasks_blocked()
                await recorded.rewrite(pipelines, default=pipeline(stt="b"))
                nursery.start_soon(call, pipelines)
                await wait_all_tasks_blocked()
                nursery.start_soon(refused, pipelines)
            left.set()

        async def refused(pipelines):
            await wait_all_tasks_blocked()
            with pytest.raises(PipelineSetClosed), pipelines.pin():
                pytest.fail("it takes a call")
            with pytest.raises(PipelineSetClosed):
                await pipelines.reload()
            assert recorded.open == {"stt a": 1, "stt b": 1, "llm a": 1, "tts a": 1}
            assert not left.is_set()
            release.set()

        nursery.start_soon(serve)
    assert left.is_set()
    assert recorded.open == {}


@pytest.mark.parametrize("where", ["reading", "opening", "pending"])
async def test_a_reload_that_the_end_overtakes_says_so(recorded, where):
    told = []

    async def ask(pipelines):
        try:
            await pipelines.reload()
        except PipelineSetClosed as error:
            told.append(error)

    async with open_runtime() as runtime, trio.open_nursery() as nursery:
        recorded.write(default=pipeline(stt="stt 0"))
        async with recorded.serve(runtime=runtime) as pipelines:
            gate = Gate(recorded)
            recorded.opening["stt b"] = trio.sleep_forever
            recorded.write(default=pipeline(stt="b") if where == "opening" else pipeline(stt="stt 1"))
            nursery.start_soon(ask, pipelines)
            if where == "opening":
                await until(lambda: "stt b" in recorded.attempts)
            else:
                await gate.read.wait()
            if where == "pending":
                nursery.start_soon(ask, pipelines)
                await wait_all_tasks_blocked()
        gate.go_on.set()
        await wait_all_tasks_blocked()
        assert len(told) == 1 + (where == "pending")
        assert recorded.open == {}


async def test_a_call_that_outlives_a_set_that_failed_ends_in_peace(recorded):
    mine = ValueError("mine")
    async with open_runtime() as runtime:
        with pytest.raises(ValueError, match="mine") as caught:  # noqa: PT012 - the block raises
            async with recorded.serve(runtime=runtime) as pipelines:
                old = pipelines.pin()
                old.__enter__()
                await recorded.rewrite(pipelines, default=pipeline(stt="b"))
                new = pipelines.pin()
                new.__enter__()
                raise mine
        assert caught.value is mine
        await wait_all_tasks_blocked()
        assert recorded.open == {}
        told = list(recorded.events)
        old.__exit__(None, None, None)
        new.__exit__(None, None, None)
        assert recorded.events == told


@pytest.mark.parametrize("how", ["failed", "cancelled"])
async def test_failing_closes_within_its_time_though_calls_are_up(autojump_clock, recorded, how):
    recorded.closing["stt a"] = trio.sleep_forever
    recorded.closing["tts a"] = partial(trio.sleep, 1)
    with trio.CancelScope() as scope:
        try:
            async with recorded.serve() as pipelines:
                call = pipelines.pin()
                call.__enter__()
                began = trio.current_time()
                if how == "failed":
                    raise ValueError("mine")  # noqa: TRY301 - as a caller would
                scope.cancel()
                await trio.sleep_forever()
        except ValueError:
            assert how == "failed"
    assert scope.cancelled_caught == (how == "cancelled")
    assert trio.current_time() - began == CLOSE_S
    assert recorded.open == {}


async def test_cancelling_while_it_waits_for_calls_closes(recorded):
    with trio.CancelScope() as scope:
        async with recorded.serve() as pipelines:
            call = pipelines.pin()
            call.__enter__()
            scope.deadline = trio.current_time() + 0.1
    assert scope.cancelled_caught
    assert recorded.open == {}
